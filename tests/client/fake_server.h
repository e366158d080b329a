// A small gRPC server for tests of the client: stores records in memory, numbers entries, knows
// request ids, and fails on demand. Its answers are deterministic but none of Stele's promises are
// kept: no durability, no hashes, no admission rules.
//
// Thread-safe. Counters and records may be read while it runs.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"

namespace stele::client::testing {

// A status with google.rpc.ErrorInfo and, where `field` is given, BadRequest, as it travels.
grpc::Status DetailedError(grpc::StatusCode code, const std::string& message,
                           const std::string& reason,
                           const std::map<std::string, std::string>& metadata = {},
                           const std::string& field = "");
v1::Status ToProto(const grpc::Status& status);

// What WriteStream does with one message, instead of answering.
enum class StreamFault {
  kNone,
  // Refuses it for want of room, which ends the call.
  kNoRoom,
  // Ends the call before the message is applied.
  kBreakBefore,
  // Applies the message, then ends the call without acknowledging it.
  kBreakAfter,
  // Reports an error for the message that is not logged, then ends the call.
  kUnloggedError,
  // Never answers, until the call is cancelled.
  kHang,
  // Acknowledges a request that was not sent.
  kWrongId,
};

class FakeServer {
 public:
  FakeServer();
  ~FakeServer();

  // HOST:PORT. The port stays the same over Stop and Start.
  const std::string& address() const { return address_; }
  void Stop();
  void Start();

  // Before any other call: unary calls answer with the first of these until there are none.
  std::deque<grpc::Status> failures;
  // While true, Write does not answer, and what comes in is not executed.
  void Hang(bool hang) { hanging.store(hang); }
  std::atomic<bool> hanging{false};
  // Asked for every message of WriteStream with the number of messages before it.
  std::function<StreamFault(uint64_t message_index)> stream_fault;
  // Asked for every new write; a status that is not OK is a logged rejection.
  std::function<grpc::Status(const v1::WriteRequest& request)> reject;
  v1::Limits limits;
  // Pages hold at most this many records.
  int page_size_max = 1000;
  // What searches say if asked to explain; nothing, as an older server, where it has no value.
  std::optional<v1::SearchExplanation> explanation;

  // What was seen.
  struct Seen {
    std::vector<std::string> request_ids;  // as executed, each once
    std::vector<v1::WriteRequest> writes;  // as received, repeats included
    std::vector<std::string> authorizations;
    std::vector<uint64_t> min_indexes;
    std::vector<v1::SearchRequest> searches;
    uint64_t stream_count = 0;
    uint64_t stream_messages = 0;
  };
  Seen seen();
  std::map<std::string, v1::Record> records(const std::string& collection);
  uint64_t log_index();
  void AddCollection(const std::string& name, uint32_t dimension);
  // Another server at the same address: other log id, no memory of requests.
  void ForgetRequests();

 private:
  class Collections;
  class Memory;
  class Admin;
  struct State;

  std::unique_ptr<State> state_;
  std::string address_;
  std::unique_ptr<Collections> collections_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace stele::client::testing
