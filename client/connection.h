// The channel to one server, shared by a Client and its writers and iterators. Internal: not
// installed, and the only header of the library that includes gRPC.
//
// Does not know any RPC by name. Thread-safe.
//
// Invariants:
//  1. known_index never decreases; it is the newest log index that any reply has shown.
//  2. written_index is the newest log index of an acknowledged write of this client.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/options.h"
#include "client/retry.h"
#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/audit_service.grpc.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"

namespace stele::client {

absl::Status StatusFromGrpc(const grpc::Status& status);

class Connection {
 public:
  // Reads the TLS files; does not wait for the server.
  static absl::StatusOr<std::shared_ptr<Connection>> Open(const Options& options);

  const Options& options() const { return options_; }
  v1::CollectionService::Stub* collections() { return collections_.get(); }
  v1::MemoryService::Stub* memory() { return memory_.get(); }
  v1::AdminService::Stub* admin() { return admin_.get(); }
  v1::AuditService::Stub* audit() { return audit_.get(); }

  uint64_t known_index() const { return known_index_.load(); }
  uint64_t written_index() const { return written_index_.load(); }
  void Observe(const v1::Position& position);
  void ObserveWrite(const v1::Position& position);

  absl::Time Deadline(std::optional<absl::Duration> timeout) const {
    return absl::Now() + timeout.value_or(options_.timeout);
  }

  absl::Time AttemptDeadline(absl::Time deadline) const {
    return std::min(deadline,
                    absl::Now() + options_.attempt_timeout.value_or(absl::InfiniteDuration()));
  }

  // Metadata and deadline of one attempt.
  void Prepare(absl::Time deadline, grpc::ClientContext* context) const;

  // One call with its retries, until the deadline. `method` is a member of a generated stub.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub* stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, absl::Time deadline) {
    Backoff backoff(options_.on_retry);
    for (;;) {
      grpc::ClientContext context;
      const absl::Time attempt_deadline = AttemptDeadline(deadline);
      Prepare(attempt_deadline, &context);
      Response response;
      const absl::Status status = StatusFromGrpc((stub->*method)(&context, request, &response));
      if (status.ok()) {
        Observe(response.position());
        return response;
      }
      // The attempt's time is over, and not the call's.
      const bool late = absl::IsDeadlineExceeded(status) && attempt_deadline < deadline;
      if ((!IsRetryable(status) && !late) || !backoff.Wait(status, deadline)) {
        return Explain(status);
      }
    }
  }

  // Adds the server's address to failures that are about reaching it.
  absl::Status Explain(const absl::Status& status) const;

  // The server's limits, asked once and remembered; the server's index becomes known with them.
  absl::StatusOr<v1::Limits> Limits(absl::Time deadline);

 private:
  explicit Connection(const Options& options) : options_(options) {}

  const Options options_;
  std::unique_ptr<v1::CollectionService::Stub> collections_;
  std::unique_ptr<v1::MemoryService::Stub> memory_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
  std::unique_ptr<v1::AuditService::Stub> audit_;
  std::atomic<uint64_t> known_index_{0};
  std::atomic<uint64_t> written_index_{0};
  std::mutex limits_mutex_;
  std::optional<v1::Limits> limits_;  // guarded by limits_mutex_
};

}  // namespace stele::client
