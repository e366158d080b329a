// A value that one writer publishes and any number of readers see, with everything the writer did
// before. The only place in the island that knows about other threads.
#pragma once

#include <atomic>

namespace stele::index {

template <typename T>
class Cell {
 public:
  Cell() = default;
  explicit Cell(T value) : value_(value) {}
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  T Get() const { return value_.load(std::memory_order_acquire); }
  // One writer at a time.
  void Set(T value) { value_.store(value, std::memory_order_release); }

 private:
  std::atomic<T> value_{};
};

}  // namespace stele::index
