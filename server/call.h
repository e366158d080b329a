// One unary call, from the gate to its end, and the two things every call shares: waiting for a log
// index without holding a thread, and moving long work off gRPC's threads.
//
// Deadlines are looked at here and nowhere else in the services.
//
// Thread safety: Done once, from any thread; after it the call must not be touched. The rest from
// any thread before that.
//
// Invariants:
//   1. A call that the gate let in, or refused, is counted as finished exactly once.
//   2. A Call deletes itself, after Done.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/engine.h"
#include "server/executor.h"
#include "server/gate.h"

namespace stele::server {

// What every service works with; all outlive it.
struct Parts {
  Engine* engine = nullptr;
  const Gate* gate = nullptr;
  Executor* executor = nullptr;
};

class Call final : public grpc::ServerUnaryReactor {
 public:
  // Asks the gate. Where it refuses, the call is done: return it to gRPC and do nothing else.
  // `method` is a literal.
  Call(grpc::CallbackServerContext* context, const Gate* gate, std::string_view method);

  bool admitted() const { return admitted_; }
  // Who calls: the actor of what is logged.
  const std::string& actor() const { return caller_.name; }

  // The client has gone, or the deadline has passed: nobody reads the answer.
  bool Stopped() const;
  // CANCELLED or DEADLINE_EXCEEDED. REQUIRES: Stopped().
  absl::Status StopStatus() const;
  // time_point::max() where there is none.
  std::chrono::system_clock::time_point deadline() const { return deadline_; }

  // Requested when the server stops.
  std::stop_token closing() const { return gate_->closing(); }

  // `hook` runs once when the client goes away: at once if it has.
  void OnGone(std::function<void()> hook);

  // Ends the call. The response must be complete.
  void Done(const absl::Status& status);

 private:
  void OnCancel() override;
  void OnDone() override;

  const Gate* const gate_;
  const std::string_view method_;
  const std::chrono::steady_clock::time_point began_;
  const std::chrono::system_clock::time_point deadline_;
  Caller caller_;
  bool admitted_ = false;
  std::mutex mutex_;
  std::atomic<bool> gone_{false};
  std::function<void()> hook_;
};

// Runs `then` once, on some thread that it must not hold for long: with OK when `min_index` is
// published (at once, if it is), else with the reason: DEADLINE_EXCEEDED MIN_INDEX_NOT_REACHED (a
// moment before the call's deadline, so that the client gets it; after a minute where there is
// none), CANCELLED, UNAVAILABLE STOPPING (as soon as the server stops).
void WhenReached(Engine* engine, index::LogIndex min_index, Call* call,
                 std::function<void(absl::Status)> then);

// Runs `work`, which ends the call, on the executor; ends it here if there is no room
// (RESOURCE_EXHAUSTED OVERLOADED), or if it has stopped when its turn comes.
void RunDetached(Executor* executor, Call* call, std::function<void()> work);

// What a call ends with where there is no room for its work: RESOURCE_EXHAUSTED OVERLOADED.
absl::Status Overloaded();

// Ends the call: where `status` is CANCELLED because the call has stopped, with the reason for
// that.
void EndCall(Call* call, const absl::Status& status);

// Runs `work` on the executor and ends the call with what it returns; otherwise as RunDetached.
// `work` may return CANCELLED early where the call has stopped.
void RunOnExecutor(Executor* executor, Call* call, std::function<absl::Status()> work);

}  // namespace stele::server
