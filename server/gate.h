// The one place where a call is let in: who calls (API key or client certificate), whether the role
// suffices for the method, the counting and timing of every RPC, and the word to leave when the
// server stops.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ServerContextBase;
}

namespace stele::server {

class KeyRing;
class Metrics;

// Each role may do what those before it may; an auditor reads only. See docs/operations.md.
enum class Role : uint8_t { kReader = 1, kAuditor = 2, kWriter = 3, kAdmin = 4 };

// Who calls. `name` is logged as the actor of every entry that the caller makes: the key's name,
// the common name of a client certificate, or "anonymous".
struct Caller {
  std::string name;
  Role role = Role::kReader;
};

class Gate {
 public:
  // `keys` may be null: then everyone is "anonymous" with every role. Both must outlive the gate.
  Gate(const KeyRing* keys, Metrics* metrics);

  // `method` is the RPC's name alone, e.g. "Search". Errors: UNAUTHENTICATED (missing or unknown
  // key), PERMISSION_DENIED (role too small: names the role needed), UNAVAILABLE (Close was
  // called), each with an ErrorInfo payload.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context,
                               std::string_view method) const;

  // Counts one finished RPC: status code and latency, by method.
  void Finished(std::string_view method, const absl::Status& status,
                std::chrono::steady_clock::time_point began) const;

  // Once for every call that was let in, when it is over for gRPC as well: nothing of its answer is
  // left to send.
  void Left() const { inside_.fetch_sub(1); }
  int64_t calls_inside() const { return inside_.load(); }

  // The server stops: nobody is let in any more (UNAVAILABLE), and whoever waits for something that
  // need not happen ends at once.
  void Close() { closing_.request_stop(); }
  std::stop_token closing() const { return closing_.get_token(); }

 private:
  absl::StatusOr<Caller> Check(const grpc::ServerContextBase& context,
                               std::string_view method) const;

  const KeyRing* keys_;
  Metrics* metrics_;
  mutable std::atomic<int64_t> inside_{0};
  std::stop_source closing_;
};

}  // namespace stele::server
