// Which log indices readers hold. A reader takes a pin without a lock; the writer asks which
// indices are still held before it reclaims anything.
//
// A pin holds two indices: `at`, the state it reads, and `began`, the newest published index when
// it was taken. What dies at or before every `at` is invisible to readers; what was unlinked at or
// before every `began` cannot be reached by them.
//
// Thread safety: all functions, from any thread. Invariant: a pin is visible to OldestHeld before
// its holder checks the horizon, so an index that passes the check stays readable until the pin is
// dropped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "index/types.h"

namespace stele::server {

class ReaderRegistry {
 public:
  struct Held {
    index::LogIndex at;     // smallest `at` of any pin, or the given bound
    index::LogIndex began;  // smallest `began` of any pin, or the given bound
  };

  // Gives back its place when destroyed.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(slot_, other.slot_);
      return *this;
    }
    ~Pin();

   private:
    friend class ReaderRegistry;
    struct Slot;
    explicit Pin(Slot* slot) : slot_(slot) {}
    Slot* slot_ = nullptr;
  };

  ReaderRegistry();
  ~ReaderRegistry();

  // Spins only while all 4,096 places are taken.
  Pin Take(index::LogIndex at, index::LogIndex began);
  Held OldestHeld(index::LogIndex bound) const;
  uint64_t active() const;

 private:
  static constexpr unsigned kSlots = 4096;
  std::unique_ptr<Pin::Slot[]> slots_;
};

}  // namespace stele::server
