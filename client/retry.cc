#include "client/retry.h"

#include <algorithm>
#include <random>
#include <string>

#include "absl/strings/match.h"
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

// What gRPC itself reports where a connection goes while a call is on its way to it, or where a
// dying peer or a proxy resets the stream. What a server says carries a reason.
bool IsLostConnection(const absl::Status& status) {
  if (!ErrorReason(status).empty()) return false;
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return status.message() == "CANCELLED" || absl::StrContains(status.message(), "RST_STREAM");
    case absl::StatusCode::kInternal:
      return absl::StrContains(status.message(), "RST_STREAM");
    case absl::StatusCode::kUnknown:
      return absl::StrContains(status.message(), "Stream removed");
    default:
      return false;
  }
}

}  // namespace

bool IsRetryable(const absl::Status& status) {
  if (absl::IsUnavailable(status) || IsLostConnection(status)) return true;
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
