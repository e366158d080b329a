#include "client/retry.h"

#include <algorithm>
#include <random>
#include <string>

#include "absl/time/clock.h"
#include "client/status.h"

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
  if (absl::IsUnavailable(status)) return true;
  if (!absl::IsResourceExhausted(status)) return false;
  const std::string reason = ErrorReason(status);
  return reason == "OVERLOADED" || reason == "WRITES_EXHAUSTED";
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
