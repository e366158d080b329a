#include "index/request_log.h"

#include <cstring>

#include "index/check.h"

namespace stele::index {

const RequestEntry& RequestLog::View::At(LogIndex index) const {
  Check(index >= first_ && index < end_);
  return ring_[index / kChunk % kRing][index % kChunk];
}

RequestLog::View RequestLog::MakeView() const {
  View view;
  view.first_ = first_;
  view.end_ = next_;
  view.ring_ = ring_;
  return view;
}

const RequestEntry& RequestLog::At(LogIndex index) const {
  return ring_[index / kChunk % kRing][index % kChunk];
}

void RequestLog::Append(LogIndex index, const RequestEntry& entry) {
  Check(index == next_);
  if (next_ - first_ == kDedupEntries) {
    const RequestKey& forgotten = At(first_).request;
    if (forgotten != RequestKey{}) Erase(forgotten);
    ++first_;
  }
  auto& chunk = ring_[index / kChunk % kRing];
  // A chunk that comes round again is replaced, not overwritten: views may still hold the old one.
  if (index % kChunk == 0 || chunk == nullptr) chunk.reset(new RequestEntry[kChunk]);
  chunk[index % kChunk] = entry;
  ++next_;
  if (entry.request != RequestKey{}) Insert(entry.request, index);
}

std::optional<LogIndex> RequestLog::Find(const RequestKey& key) const {
  if (places_.empty()) return std::nullopt;
  const LogIndex index = places_[PlaceOf(key)];
  if (index == kNever) return std::nullopt;
  return index;
}

size_t RequestLog::HomeOf(const RequestKey& key) const {
  // The key is a digest: any of its bytes are uniform.
  uint64_t word = 0;
  for (unsigned i = 0; i < 8; ++i) word |= uint64_t{key[i]} << (8 * i);
  return static_cast<size_t>(word & (places_.size() - 1));
}

// The place that holds the key, or the free one where it would go.
size_t RequestLog::PlaceOf(const RequestKey& key) const {
  size_t place = HomeOf(key);
  while (places_[place] != kNever && At(places_[place]).request != key) {
    place = (place + 1) & (places_.size() - 1);
  }
  return place;
}

void RequestLog::Insert(const RequestKey& key, LogIndex index) {
  if (2 * (used_ + 1) > places_.size()) Grow();
  places_[PlaceOf(key)] = index;
  ++used_;
}

void RequestLog::Erase(const RequestKey& key) {
  const size_t mask = places_.size() - 1;
  size_t hole = PlaceOf(key);
  Check(places_[hole] != kNever);
  places_[hole] = kNever;
  --used_;
  // Moves back what the hole would cut off from its home.
  for (size_t place = (hole + 1) & mask; places_[place] != kNever; place = (place + 1) & mask) {
    const size_t home = HomeOf(At(places_[place]).request);
    if (((place - home) & mask) < ((place - hole) & mask)) continue;
    places_[hole] = places_[place];
    places_[place] = kNever;
    hole = place;
  }
}

void RequestLog::Grow() {
  std::vector<LogIndex> old = std::move(places_);
  places_.assign(old.empty() ? 64 : 2 * old.size(), kNever);
  for (LogIndex index : old) {
    if (index != kNever) places_[PlaceOf(At(index).request)] = index;
  }
}

size_t RequestLog::memory_bytes() const {
  size_t bytes = ring_.capacity() * sizeof(ring_[0]) + places_.capacity() * sizeof(LogIndex);
  for (const auto& chunk : ring_) bytes += chunk != nullptr ? kChunk * sizeof(RequestEntry) : 0;
  return bytes;
}

}  // namespace stele::index
