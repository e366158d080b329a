// A few threads for work that is too long for gRPC's own: scans, replies with documents, the
// preparation of large writes. What waits is bounded; beyond that the caller is told so at once.
//
// It knows no priorities and no deadlines: a task looks at its own deadline when it begins.
//
// Thread safety: all functions, from any thread; not the destructor.
//
// Invariant: a task that was accepted runs exactly once, also when the executor is being destroyed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace stele::server {

class Executor {
 public:
  // REQUIRES: threads > 0.
  Executor(uint32_t threads, size_t queue_max);
  // Runs what was accepted, then ends the threads.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, with nothing done, if `queue_max` tasks are waiting.
  [[nodiscard]] bool Submit(std::function<void()> task);

 private:
  void Work();

  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace stele::server
