// Exact k-nearest-neighbour search over a range of blocks, at one log index. Under the total order
// (distance, id) every query has one answer, so ranges may be scanned in any order and on any
// number of threads, each into its own TopHits, and merged.
//
// It starts no threads and does not watch deadlines: the caller scans a few blocks at a time.
//
// Thread safety: pure with respect to its arguments; a TopHits belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "index/collection.h"
#include "index/filter.h"
#include "index/kernels.h"
#include "index/types.h"

namespace stele::index {

inline constexpr uint32_t kSearchKMax = 10'000;

struct SearchQuery {
  std::span<const int32_t> vector;      // admitted; normalised under COSINE
  uint32_t k = 0;                       // 1..kSearchKMax
  const Filter* filter = nullptr;       // null: every record
  std::optional<int64_t> distance_max;  // inclusive, raw
};

// Raw distance, and the version that was visible; valid while the caller holds its log index.
struct SearchHit {
  int64_t distance = 0;
  const RecordVersion* version = nullptr;
};

// Whether `a` comes before `b`: by distance, then id as unsigned bytes.
bool Precedes(const SearchHit& a, const SearchHit& b);

// The best k of what it is offered.
class TopHits {
 public:
  TopHits(uint32_t k, std::optional<int64_t> distance_max);

  // Anything farther cannot enter.
  int64_t distance_limit() const { return limit_; }
  void Offer(const SearchHit& hit);
  void Merge(const TopHits& other);
  // Nearest first; the object is empty afterwards.
  std::vector<SearchHit> TakeSorted();

 private:
  uint32_t k_;
  int64_t limit_;
  std::vector<SearchHit> heap_;  // the worst hit first
};

// Scans blocks [block_begin, block_end) of `collection` at n for every query; `hits` has one
// element for each. REQUIRES: n held by the caller, block_end <= block_count().
void ScanBlocks(const Collection& collection, LogIndex n, uint32_t block_begin, uint32_t block_end,
                std::span<const SearchQuery> queries, const Kernels& kernels,
                std::span<TopHits> hits);

}  // namespace stele::index
