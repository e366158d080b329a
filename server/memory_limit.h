// The limit on the memory of the process: what is resident, asked of the kernel now and then, and
// what was admitted since. Nothing is counted in the state.
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "index/command.h"

namespace stele::server {

class MemoryLimit {
 public:
  // `limit_bytes` 0: no limit. `resident_bytes` null: of this process.
  explicit MemoryLimit(uint64_t limit_bytes, std::function<uint64_t()> resident_bytes = nullptr);

  // RESOURCE_EXHAUSTED where `bytes` more would be too much, unless the operations only delete or
  // drop. At the limit it asks the allocator, once a second, to give back what is free.
  absl::Status Admit(std::span<const index::PreparedOperation> operations, uint64_t bytes);

 private:
  void Measure();

  const uint64_t limit_bytes_;
  const std::function<uint64_t()> resident_bytes_;
  uint64_t measured_bytes_ = 0;
  uint64_t admitted_bytes_ = 0;  // since it was measured
  std::chrono::steady_clock::time_point measured_at_{};
  std::chrono::steady_clock::time_point trimmed_at_{};
};

// Of this process; 0 where the kernel does not tell.
uint64_t ResidentBytes();

}  // namespace stele::server
