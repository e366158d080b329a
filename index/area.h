// Zeroed memory in large pieces, in huge pages where the system has them: scans of small pages
// spend half their time on address translation.
//
// The only file of the island that asks the system for anything. What is in the memory is decided
// by its owner alone.
//
// Thread safety: as an ordinary value.
#pragma once

#include <cstddef>

namespace stele::index {

// 64-byte aligned. Aborts where there is no memory.
class Area {
 public:
  explicit Area(size_t bytes);
  Area(Area&& other) noexcept;
  Area& operator=(Area&&) = delete;
  ~Area();

  char* data() const { return data_; }

 private:
  void* start_;
  size_t mapped_bytes_ = 0;  // 0: from the heap
  char* data_;
};

}  // namespace stele::index
