// What the fault tests share: a script of requests with what must come of each by the naive
// reference, an engine that is led through it, and the question whether a data directory still
// holds all that was acknowledged.
//
// Thread safety: none, but Progress, which the engine's threads write.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine.h"
#include "tests/index/arithmetic_data.h"

namespace stele::fault {

struct Request {
  std::string id;
  std::vector<index::Operation> operations;
};

// What the reference makes of a request.
struct Expected {
  index::Outcome outcome = index::Outcome::kOk;
  index::Hash root{};  // of the state afterwards
};

// Creates, upserts with documents and attributes, updates, deletes, deletes by filter, drops, and
// requests that are refused. The same seed gives the same script.
class Script {
 public:
  Script(uint64_t seed, size_t count);

  size_t size() const { return requests_.size(); }
  const Request& request(size_t i) const { return requests_[i]; }
  const Expected& expected(size_t i) const { return expected_[i]; }
  // After the first `count` requests.
  const index::Hash& RootAfter(size_t count) const;

 private:
  std::vector<Request> requests_;
  std::vector<Expected> expected_;
  index::Hash empty_root_{};
};

// What a client of the engine knows.
class Progress {
 public:
  struct Known {
    size_t attempted = 0;                   // requests handed to the engine
    std::vector<std::string> acknowledged;  // encoded commit records; empty: no reply yet
    size_t acknowledged_count() const;      // up to the last that is acknowledged
  };

  Known known() const;
  void Attempt(size_t request);
  void Acknowledge(size_t request, const index::CommitRecord& commit);

 private:
  mutable std::mutex mutex_;
  Known known_;
};

server::EngineOptions Options(const std::string& directory,
                              std::shared_ptr<rocksdb::FileSystem> file_system);

server::WriteTask MakeTask(const Request& request);

// Hands requests from..to-1 to the engine, a few at a time, with snapshots now and then. The first
// failure ends it, after the replies of those that were on their way.
absl::Status Drive(server::Engine& engine, const Script& script, size_t from, size_t to,
                   uint64_t seed, Progress* progress);
absl::StatusOr<server::SnapshotInfo> TakeSnapshot(server::Engine& engine);

// How many requests of the script the log holds; an error says what is not as it must be: a hole, a
// request of another place, an outcome or root that the reference does not give, an
// acknowledgement that is gone or reads differently.
absl::StatusOr<size_t> CheckLog(const server::Engine& engine, const Script& script,
                                const Progress::Known& known);

// Opens what a fault has left, checks it, retries an old request, drives the script to its end,
// closes, replays the log alone and opens once more. `later` (may be null) sees all that is written
// meanwhile.
struct Recovery {
  std::string directory;
  std::shared_ptr<rocksdb::FileSystem> file_system;
  uint64_t seed = 0;
  Progress* progress = nullptr;
};
absl::Status Recover(const Recovery& recovery, const Script& script, const Progress::Known& known);

// Everything that can be read: position, roots, each row of the log, each record with its vector,
// attributes and document, and searches. Equal directories give equal texts.
absl::StatusOr<std::string> Everything(const server::Engine& engine);

// STELE_SEED if set, else fresh; printed.
uint64_t Seed();
// A number from the environment, for the long forms.
uint64_t FromEnvironment(const char* name, uint64_t otherwise);

}  // namespace stele::fault
