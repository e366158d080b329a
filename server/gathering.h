// When a group that could be synced should wait for more, so that one sync serves them all.
//
// Writers that wait for their reply before they write again would else fall into two halves: one
// is synced while the other is on its way, and every sync serves half of them. So a group waits for
// as many entries as were last seen at once, but never longer than the last sync took, which is
// what the waiting may save; and after waits in vain it is not tried for a while. A writer alone
// never waits.
//
// It reads no clock and holds no thread. Thread safety: none; the committer's own.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace stele::server {

class Gathering {
 public:
  // A sync of this much is no longer dominated by what every sync costs: it does not wait.
  static constexpr uint64_t kBytesMax = 256u << 10;

  // How many entries the group, which has `entries` of `bytes` together, should have before it is
  // taken; 0: it should not wait.
  size_t Wanted(size_t entries, uint64_t bytes) {
    if (entries == 0 || entries >= seen_ || bytes >= kBytesMax) return 0;
    if (skip_ == 0) return seen_;
    --skip_;
    return 0;
  }
  // The most that it may wait.
  std::chrono::microseconds TimeMax() const { return sync_time_; }

  // The group was taken with so many entries, after a wait for `wanted` > 0.
  void Waited(size_t entries, size_t wanted) {
    vain_ = entries >= wanted ? 0 : std::min(vain_ + 1, kVainMax);
    skip_ = (1u << vain_) - 1;
  }
  // It was synced; `waiting` more have been applied in the meantime.
  void Synced(size_t entries, size_t waiting, std::chrono::microseconds sync_time) {
    seen_ = entries + waiting;
    sync_time_ = sync_time;
  }

 private:
  static constexpr uint32_t kVainMax = 6;

  size_t seen_ = 0;  // entries at once, lately
  std::chrono::microseconds sync_time_{0};
  uint32_t vain_ = 0;  // waits in vain, one after the other
  uint32_t skip_ = 0;  // groups that will not wait
};

}  // namespace stele::server
