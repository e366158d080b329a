// What client.cc and client_records.cc share. Internal: not installed.
//
// Fills in the fields that every request of a kind has. Pure but for NewRequestId; thread-safe.
#pragma once

#include <algorithm>
#include <string>

#include "client/connection.h"
#include "client/options.h"
#include "client/request_id.h"
#include "client/status.h"

namespace stele::client {

// min_index, at_index, at_time, explain and receipt, where the request has them.
template <typename Request>
void FillRead(const Connection& connection, const ReadOptions& options, Request* request) {
  uint64_t min_index = options.min_index;
  bool has_point = false;
  if constexpr (requires { request->set_at_index(0); }) {
    has_point = options.at_index.has_value();
    if (has_point) request->set_at_index(*options.at_index);
  }
  if constexpr (requires { request->set_at_time_micros(0); }) {
    if (options.at_time.has_value()) {
      request->set_at_time_micros(absl::ToUnixMicros(*options.at_time));
      has_point = true;
    }
  }
  if (connection.options().read_your_writes && !has_point) {
    min_index = std::max(min_index, connection.written_index());
  }
  request->set_min_index(min_index);
  if constexpr (requires { request->set_explain(true); }) request->set_explain(options.explain);
  if constexpr (requires { request->set_receipt(true); }) request->set_receipt(options.receipt);
}

// Sends a write: request id, known index, retries; on failure the status carries the request id.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallWrite(Connection* connection, Stub* stub,
                                   grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                   Request* request, const WriteOptions& options) {
  const absl::Time deadline = connection->Deadline(options.timeout);
  if (connection->known_index() == 0) {
    // Without a known index the server could not refuse this request, should a retry of it arrive
    // after its id has been forgotten. A key that may not ask goes without.
    const auto limits = connection->Limits(deadline);
    if (absl::IsUnavailable(limits.status()) || absl::IsDeadlineExceeded(limits.status())) {
      return limits.status();
    }
  }
  request->set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  request->set_known_index(connection->known_index());
  absl::StatusOr<Response> response = connection->Call(stub, method, *request, deadline);
  if (!response.ok()) {
    absl::Status status = response.status();
    AttachRequestId(request->request_id(), &status);
    return status;
  }
  connection->ObserveWrite(response->position());
  return response;
}

}  // namespace stele::client
