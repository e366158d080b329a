// A pipelined, resumable writer over MemoryService.WriteStream.
//
// Keeps up to `window` write requests in flight. When the connection breaks it opens another one
// and sends every request that was not acknowledged again, with the same request ids, so each takes
// effect once. Does not split anything: one request is one entry (see batch_builder.h).
//
// Not thread-safe; starts no threads. All acknowledgements are delivered from inside Send and
// Finish; the callback must not call the writer.
//
// Invariants:
//  1. Acknowledgements are delivered once per request, in the order of Send.
//  2. A request keeps its request id and known_index for its whole life.
//     Where the server had no room for a request, those behind it may be executed before it is.
//  3. Nothing waits longer than `stall_timeout` without an acknowledgement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client {

class Connection;

// The fate of one request.
struct BatchAck {
  // Counts requests from 0 in the order of Send.
  uint64_t sequence = 0;
  std::string request_id;
  // Durable and applied, or the rejection, which took no effect.
  absl::StatusOr<v1::WriteResponse> result;
};

class BulkWriter {
 public:
  struct Options {
    // Requests in flight at most; at least 1.
    size_t window = 8;
    // Instead of the connection's timeout.
    std::optional<absl::Duration> stall_timeout;
  };
  using AckCallback = std::function<void(const BatchAck& ack)>;

  // Made by Client::NewBulkWriter.
  BulkWriter(std::shared_ptr<Connection> connection, const Options& options, AckCallback on_ack);
  ~BulkWriter();
  BulkWriter(BulkWriter&&) noexcept;
  BulkWriter& operator=(BulkWriter&&) noexcept;

  // Sends a request; blocks while the window is full. An empty request_id is filled in, and so is a
  // known_index of 0. A rejection is reported to the callback and does not stop the writer; a
  // failure of the stream itself that cannot be retried is returned, here and ever after.
  absl::Status Send(v1::WriteRequest request);

  // Waits until every request is acknowledged and closes the stream.
  absl::Status Finish();

  // Requests sent and not yet acknowledged. After a failure their outcome is unknown.
  size_t in_flight() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace stele::client
