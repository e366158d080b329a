// When to try again: one policy for calls and streams.
//
// Does not know what is safe to repeat. Writes are, because they carry their request id along.
// Not thread-safe: one object per operation.
//
// Invariants:
//  1. Nothing waits beyond the deadline.
//  2. Waits double from 50 ms to 2 s, each with up to 25% of jitter taken off.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace stele::client {

// UNAVAILABLE, and what gRPC reports of connections that are lost, e.g. a bare CANCELLED: the
// request may not have arrived, or its reply was lost. RESOURCE_EXHAUSTED where the server says
// that it is for want of room now (OVERLOADED, WRITES_EXHAUSTED): nothing was done. What will be
// too large the next time as well is not.
bool IsRetryable(const absl::Status& status);

class Backoff {
 public:
  using Observer = std::function<void(const absl::Status& error, absl::Duration wait)>;

  explicit Backoff(Observer observer) : observer_(std::move(observer)) {}

  // Sleeps for the next wait and returns true; returns false at once, without sleeping, where the
  // wait would end after the deadline. Tells the observer of `error` before it sleeps.
  bool Wait(const absl::Status& error, absl::Time deadline);

  // Begins again with the shortest wait: there was progress.
  void Reset() { attempts_ = 0; }

  int attempts() const { return attempts_; }

 private:
  Observer observer_;
  int attempts_ = 0;
};

}  // namespace stele::client
