// How unary reads run: a plan (memory_reads.h) is checked at once, waits for min_index without a
// thread, and does its work on the executor.
//
// Thread safety: as gRPC asks for it.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "server/call.h"

namespace stele::server {

// `means` are what making the plan takes besides the request.
template <typename Plan, typename Request, typename Response, typename... Means>
grpc::ServerUnaryReactor* RunRead(const Parts& parts, grpc::CallbackServerContext* context,
                                  std::string_view method, const Request* request,
                                  Response* response, const Means*... means) {
  auto* call = new Call(context, parts.gate, method);
  if (!call->admitted()) return call;
  absl::StatusOr<Plan> made = Plan::Make(*request, means...);
  if (!made.ok()) {
    call->Done(made.status());
    return call;
  }
  auto plan = std::make_shared<const Plan>(*std::move(made));
  const auto work = [engine = parts.engine, call, plan, response] {
    return plan->Run(
        *engine, [call] { return call->Stopped(); }, response);
  };
  WhenReached(parts.engine, request->min_index(), call,
              [executor = parts.executor, call, plan, work](const absl::Status& status) {
                if (!status.ok()) return call->Done(status);
                if constexpr (requires { plan->is_short(); }) {
                  if (plan->is_short()) return call->Done(work());
                }
                RunOnExecutor(executor, call, work);
              });
  return call;
}

}  // namespace stele::server
