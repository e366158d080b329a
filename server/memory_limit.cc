#include "server/memory_limit.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace stele::server {
namespace {

constexpr std::chrono::milliseconds kMeasurePeriod{100};
constexpr std::chrono::seconds kTrimPeriod{1};
// Admitted without measuring again.
constexpr uint64_t kUnmeasuredBytesMax = uint64_t{1} << 20;

bool OnlyFrees(std::span<const index::PreparedOperation> operations) {
  return std::all_of(operations.begin(), operations.end(), [](const auto& prepared) {
    switch (prepared.operation.kind) {
      case index::OperationKind::kDelete:
      case index::OperationKind::kDeleteByFilter:
      case index::OperationKind::kDropCollection:
      case index::OperationKind::kSnapshotSealed:
        return true;
      default:
        return false;
    }
  });
}

}  // namespace

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total_pages = 0, resident_pages = 0;
  file >> total_pages >> resident_pages;
  return file ? resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

MemoryLimit::MemoryLimit(uint64_t limit_bytes, std::function<uint64_t()> resident_bytes)
    : limit_bytes_(limit_bytes),
      resident_bytes_(resident_bytes != nullptr ? std::move(resident_bytes) : ResidentBytes) {}

void MemoryLimit::Measure() {
  measured_bytes_ = resident_bytes_();
  admitted_bytes_ = 0;
  measured_at_ = std::chrono::steady_clock::now();
}

absl::Status MemoryLimit::Admit(std::span<const index::PreparedOperation> operations,
                                uint64_t bytes) {
  if (limit_bytes_ == 0 || OnlyFrees(operations)) return absl::OkStatus();
  const auto now = std::chrono::steady_clock::now();
  if (admitted_bytes_ + bytes > kUnmeasuredBytesMax || now - measured_at_ >= kMeasurePeriod) {
    Measure();
  }
  if (measured_bytes_ + admitted_bytes_ + bytes > limit_bytes_ &&
      now - trimmed_at_ >= kTrimPeriod) {
    trimmed_at_ = now;
    malloc_trim(0);
    Measure();
  }
  if (measured_bytes_ + admitted_bytes_ + bytes > limit_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the process holds ", measured_bytes_ + admitted_bytes_,
                     " bytes of memory, and memory-limit is ", limit_bytes_,
                     "; nothing was logged. Delete something, or raise the limit"));
  }
  admitted_bytes_ += bytes;
  return absl::OkStatus();
}

}  // namespace stele::server
