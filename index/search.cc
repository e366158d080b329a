#include "index/search.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace stele::index {
namespace {

// The rows of a block that are visible at n, as a bit mask.
uint64_t VisibleRows(const VectorBlock& block, LogIndex n) {
  uint64_t mask = 0;
  for (uint32_t row = 0; row < kBlockRows; ++row) {
    const bool visible = block.born[row].Get() <= n && n < block.died[row].Get();
    mask |= uint64_t{visible} << row;
  }
  return mask;
}

uint64_t MatchingRows(const VectorBlock& block, LogIndex n, uint64_t mask, const Filter& filter) {
  for (uint64_t left = mask; left != 0; left &= left - 1) {
    const auto row = static_cast<unsigned>(std::countr_zero(left));
    const RecordVersion* version = FindVisible(block.versions[row].Get(), n);
    if (!filter.Matches(AttributesView(version->attributes()))) mask &= ~(uint64_t{1} << row);
  }
  return mask;
}

// Distances of the masked rows, run by run: rows outside the mask may be written to meanwhile.
void Distances(const VectorBlock& block, uint64_t mask, Metric metric, const SearchQuery& query,
               const Kernels& kernels, int64_t* out) {
  const size_t dimension = query.vector.size();
  const RowsFunction function = metric == Metric::kDot ? kernels.dot_rows : kernels.squared_l2_rows;
  for (uint64_t left = mask; left != 0;) {
    const auto first = static_cast<uint32_t>(std::countr_zero(left));
    const auto count = static_cast<uint32_t>(std::countr_one(left >> first));
    function(query.vector.data(), block.components() + first * dimension, dimension, count,
             static_cast<uint32_t>(dimension), out + first);
    if (metric == Metric::kDot) {
      for (uint32_t row = first; row < first + count; ++row) out[row] = -out[row];
    }
    left = first + count == kBlockRows ? 0 : left >> (first + count) << (first + count);
  }
}

}  // namespace

bool Precedes(const SearchHit& a, const SearchHit& b) {
  if (a.distance != b.distance) return a.distance < b.distance;
  return a.version->id() < b.version->id();
}

TopHits::TopHits(uint32_t k, std::optional<int64_t> distance_max)
    : k_(k), limit_(distance_max.value_or(std::numeric_limits<int64_t>::max())) {}

void TopHits::Offer(const SearchHit& hit) {
  if (hit.distance > limit_) return;
  if (heap_.size() < k_) {
    heap_.push_back(hit);
    std::push_heap(heap_.begin(), heap_.end(), Precedes);
  } else if (Precedes(hit, heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end(), Precedes);
    heap_.back() = hit;
    std::push_heap(heap_.begin(), heap_.end(), Precedes);
  }
  // Equal distances stay in the race: the id decides.
  if (heap_.size() == k_) limit_ = std::min(limit_, heap_.front().distance);
}

void TopHits::Merge(const TopHits& other) {
  for (const SearchHit& hit : other.heap_) Offer(hit);
}

std::vector<SearchHit> TopHits::TakeSorted() {
  std::sort(heap_.begin(), heap_.end(), Precedes);
  return std::move(heap_);
}

void ScanBlocks(const Collection& collection, LogIndex n, uint32_t block_begin, uint32_t block_end,
                std::span<const SearchQuery> queries, const Kernels& kernels,
                std::span<TopHits> hits) {
  const Metric metric = collection.config().metric;
  int64_t distances[kBlockRows];
  for (uint32_t number = block_begin; number < block_end; ++number) {
    const VectorBlock& block = collection.vectors().block(number);
    const uint64_t visible = VisibleRows(block, n);
    if (visible == 0) continue;
    for (size_t i = 0; i < queries.size(); ++i) {
      const SearchQuery& query = queries[i];
      const uint64_t mask =
          query.filter == nullptr ? visible : MatchingRows(block, n, visible, *query.filter);
      Distances(block, mask, metric, query, kernels, distances);
      for (uint64_t left = mask; left != 0; left &= left - 1) {
        const auto row = static_cast<unsigned>(std::countr_zero(left));
        if (distances[row] > hits[i].distance_limit()) continue;
        hits[i].Offer({distances[row], FindVisible(block.versions[row].Get(), n)});
      }
    }
  }
}

}  // namespace stele::index
