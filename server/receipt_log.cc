#include "server/receipt_log.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace stele::server {

struct ReceiptLog::Lost {
  // Reports the first, and then not more than once in a while.
  static constexpr std::chrono::seconds kReportGap{60};

  void Add(uint64_t more, const std::string& why) {
    std::string report;
    {
      const std::lock_guard lock(mutex);
      count += more;
      const Clock::time_point now = Clock::now();
      if (!on_lost || (reported.has_value() && now - *reported < kReportGap)) return;
      reported = now;
      report = absl::StrCat(count, " receipts were not logged so far: ", why);
    }
    on_lost(report);
  }

  std::mutex mutex;
  uint64_t count = 0;
  std::optional<Clock::time_point> reported;
  OnLost on_lost;
};

ReceiptLog::ReceiptLog(Engine* engine, Options options, OnLost on_lost)
    : engine_(engine), options_(options), lost_(std::make_shared<Lost>()) {
  lost_->on_lost = std::move(on_lost);
  thread_ = std::thread([this] { Loop(); });
}

ReceiptLog::~ReceiptLog() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReceiptLog::Add(const index::Hash& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() < index::kLoggedReceiptsMax) {
      if (waiting_.empty()) oldest_ = Clock::now();
      const bool wakes = waiting_.insert(digest).second &&
                         (waiting_.size() == 1 || waiting_.size() == options_.count);
      if (wakes) changed_.notify_all();
      return;
    }
    if (waiting_.contains(digest)) return;
  }
  lost_->Add(1, "more searches than the log takes digests of");
}

uint64_t ReceiptLog::lost() const {
  const std::lock_guard lock(lost_->mutex);
  return lost_->count;
}

void ReceiptLog::Loop() {
  Clock::time_point next{};  // no entry before
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    changed_.wait_until(lock, oldest_ + options_.age,
                        [this] { return closing_ || waiting_.size() >= options_.count; });
    changed_.wait_until(lock, next, [this] { return closing_; });
    const std::set<index::Hash> digests = std::exchange(waiting_, {});
    next = Clock::now() + options_.gap;
    lock.unlock();
    Write(digests);
    lock.lock();
  }
}

void ReceiptLog::Write(const std::set<index::Hash>& digests) {
  index::Operation operation;
  operation.kind = index::OperationKind::kReceipts;
  operation.receipts.assign(digests.begin(), digests.end());
  WriteTask task;
  task.actor = "stele";
  task.operations.push_back(index::Prepare(std::move(operation)));
  engine_->Submit(std::move(task), [lost = lost_, count = digests.size()](
                                       const absl::StatusOr<WriteResult>& result) {
    if (!result.ok()) lost->Add(count, std::string(result.status().message()));
  });
}

}  // namespace stele::server
