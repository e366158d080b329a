#include "server/reader_registry.h"

#include <algorithm>
#include <thread>

namespace stele::server {

struct alignas(64) ReaderRegistry::Pin::Slot {
  std::atomic<bool> taken{false};
  // kNever while nothing is held.
  std::atomic<index::LogIndex> at{index::kNever};
  std::atomic<index::LogIndex> began{index::kNever};
};

ReaderRegistry::Pin::~Pin() {
  if (slot_ == nullptr) return;
  slot_->at.store(index::kNever, std::memory_order_release);
  slot_->began.store(index::kNever, std::memory_order_release);
  slot_->taken.store(false, std::memory_order_release);
}

ReaderRegistry::ReaderRegistry() : slots_(new Pin::Slot[kSlots]) {}
ReaderRegistry::~ReaderRegistry() = default;

ReaderRegistry::Pin ReaderRegistry::Take(index::LogIndex at, index::LogIndex began) {
  // Threads start looking at different places, so that they seldom meet.
  thread_local unsigned place =
      static_cast<unsigned>(std::hash<std::thread::id>()(std::this_thread::get_id()) % kSlots);
  for (unsigned tried = 0;; ++tried) {
    Pin::Slot& slot = slots_[place];
    if (!slot.taken.exchange(true, std::memory_order_acquire)) {
      // Released: what the place's last holder has read was read before, for whoever sees this pin.
      slot.began.store(began, std::memory_order_release);
      slot.at.store(at, std::memory_order_release);
      // Pairs with the fence in OldestHeld: it sees the pin, or this reader sees what it unlinked.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      return Pin(&slot);
    }
    place = (place + 1) % kSlots;
    if (tried % kSlots == kSlots - 1) std::this_thread::yield();
  }
}

ReaderRegistry::Held ReaderRegistry::OldestHeld(index::LogIndex bound) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Held held{bound, bound};
  for (unsigned i = 0; i < kSlots; ++i) {
    held.at = std::min(held.at, slots_[i].at.load(std::memory_order_acquire));
    held.began = std::min(held.began, slots_[i].began.load(std::memory_order_acquire));
  }
  return held;
}

uint64_t ReaderRegistry::active() const {
  uint64_t count = 0;
  for (unsigned i = 0; i < kSlots; ++i) count += slots_[i].taken.load() ? 1 : 0;
  return count;
}

}  // namespace stele::server
