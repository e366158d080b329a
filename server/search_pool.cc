#include "server/search_pool.h"

#include <algorithm>

namespace stele::server {

SearchPool::SearchPool(uint32_t threads) {
  for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this] { Loop(); });
}

SearchPool::~SearchPool() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void SearchPool::Run(const std::function<void()>& work) {
  if (workers_.empty()) return work();
  Job job{&work, static_cast<uint32_t>(workers_.size()), 0, {}};
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(&job);
  }
  wake_.notify_all();
  work();
  std::unique_lock lock(mutex_);
  // Nobody joins any more: there is nothing left to take.
  if (auto place = std::find(jobs_.begin(), jobs_.end(), &job); place != jobs_.end()) {
    jobs_.erase(place);
  }
  job.done.wait(lock, [&] { return job.running == 0; });
}

void SearchPool::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    Job* job = jobs_.front();
    ++job->running;
    if (--job->places == 0) jobs_.pop_front();
    lock.unlock();
    (*job->work)();
    lock.lock();
    if (--job->running == 0) job->done.notify_all();
    // A worker that comes round again would find nothing: take the job off for everyone.
    if (auto place = std::find(jobs_.begin(), jobs_.end(), job); place != jobs_.end()) {
      jobs_.erase(place);
    }
  }
}

}  // namespace stele::server
