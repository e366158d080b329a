#include "client/retry.h"

#include <algorithm>
#include <random>

#include "absl/time/clock.h"

namespace stele::client {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(50);
constexpr absl::Duration kLongestWait = absl::Seconds(2);
constexpr int kDoublingsMax = 6;

double JitterFactor() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.75, 1.0)(generator);
}

}  // namespace

bool IsRetryable(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable;
}

bool Backoff::Wait(const absl::Status& error, absl::Time deadline) {
  const int doublings = std::min(attempts_, kDoublingsMax);
  const absl::Duration wait =
      std::min(kLongestWait, kFirstWait * (int64_t{1} << doublings)) * JitterFactor();
  ++attempts_;
  if (absl::Now() + wait >= deadline) return false;
  if (observer_) observer_(error, wait);
  absl::SleepFor(wait);
  return true;
}

}  // namespace stele::client
