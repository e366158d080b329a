// Threads that share out one scan. The caller takes part, so a scan always makes progress, and
// several scans run side by side.
//
// Thread safety: Run from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace stele::server {

class SearchPool {
 public:
  // `threads` >= 1, the caller of Run included.
  explicit SearchPool(uint32_t threads);
  ~SearchPool();

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Calls work() on the calling thread and on every worker that becomes free, each once; returns
  // when all of them have. `work` takes its share from a counter of its own until nothing is left.
  void Run(const std::function<void()>& work);

 private:
  struct Job {
    const std::function<void()>* work;
    uint32_t places;  // workers that may still join
    uint32_t running = 0;
    std::condition_variable done;
  };
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job*> jobs_;
  bool closing_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace stele::server
