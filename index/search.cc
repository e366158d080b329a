#include "index/search.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

namespace stele::index {
namespace {

// Above this share of a block's rows (in 64ths) a coarse reading has not paid.
constexpr int kPaysBelow = 32;
// So many blocks are then computed without it, before it is tried again.
constexpr uint32_t kBlocksWithout = 15;

// The rows of a block that are visible at n, as a bit mask.
uint64_t VisibleRows(const VectorBlock& block, LogIndex n) {
  if (n < block.died_min.Get() && block.full_from.Get() <= n) return ~uint64_t{0};
  uint64_t mask = 0;
  for (uint32_t row = 0; row < kBlockRows; ++row) {
    const bool visible = block.born[row].Get() <= n && n < block.died[row].Get();
    mask |= uint64_t{visible} << row;
  }
  return mask;
}

// visit(row) for every set bit.
template <typename Visit>
void ForEachRow(uint64_t mask, Visit&& visit) {
  for (; mask != 0; mask &= mask - 1) visit(static_cast<uint32_t>(std::countr_zero(mask)));
}

// visit(first, count) for every run of set bits. Rows outside the mask may be written meanwhile.
template <typename Visit>
void ForEachRun(uint64_t mask, Visit&& visit) {
  while (mask != 0) {
    const auto first = static_cast<uint32_t>(std::countr_zero(mask));
    const auto count = static_cast<uint32_t>(std::countr_one(mask >> first));
    visit(first, count);
    mask = first + count == kBlockRows ? 0 : mask >> (first + count) << (first + count);
  }
}

void PrefetchHeader(const VectorBlock& block) {
  const auto prefetch = [](const void* from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) {
      __builtin_prefetch(static_cast<const char*>(from) + i);
    }
  };
  prefetch(&block, 64);
  prefetch(block.squared_norms, sizeof(block.squared_norms));
  prefetch(block.steps, sizeof(block.steps));
  prefetch(block.residuals4, sizeof(block.residuals4));
}

// The visible rows of a block that the 4-bit readings do not rule out.
uint64_t Kept4(const VectorBlock& block, uint64_t visible, const CodedQuery& query, int64_t limit,
               const int32_t* dots, const Kernels& kernels) {
  const BoundTerms terms = query.Terms4(block.norm_max.Get(), limit);
  if (visible == ~uint64_t{0}) {
    return kernels.keep_rows(terms, block.squared_norms, block.steps, block.residuals4, dots);
  }
  // The other rows may be written meanwhile.
  int64_t squared_norms[kBlockRows] = {};
  uint32_t steps[kBlockRows] = {};
  uint32_t residuals[kBlockRows] = {};
  ForEachRow(visible, [&](uint32_t row) {
    squared_norms[row] = block.squared_norms[row];
    steps[row] = block.steps[row];
    residuals[row] = block.residuals4[row];
  });
  return visible & kernels.keep_rows(terms, squared_norms, steps, residuals, dots);
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

void SearchCounts::Add(const SearchCounts& other) {
  rows += other.rows;
  kept4 += other.kept4;
  kept8 += other.kept8;
  filter_tests += other.filter_tests;
  computed += other.computed;
  bytes += other.bytes;
}

SearchScan::SearchScan(const Collection& collection, LogIndex n,
                       std::span<const SearchQuery> queries, const Kernels& kernels)
    : collection_(collection),
      n_(n),
      queries_(queries),
      kernels_(kernels),
      block_count_(collection.vectors().block_count()),
      epochs_(collection.vectors().epoch_count()) {
  // About the golden section of the whole.
  stride_ = std::max(1u, static_cast<uint32_t>(uint64_t{block_count_} * 40503 >> 16));
  while (std::gcd(stride_, block_count_) > 1) ++stride_;
  coded_.reserve(queries.size() * epochs_);
  for (const SearchQuery& query : queries) {
    for (uint32_t epoch = 0; epoch < epochs_; ++epoch) {
      coded_.emplace_back(query.vector, collection.vectors().Mean(epoch),
                          collection.config().metric, kernels);
    }
  }
}

size_t SearchScan::block_code_bytes() const {
  return size_t{kBlockRows} * GroupCount(collection_.config().dimension) * kGroupBytes;
}

// What one thread works with.
struct SearchScan::Scratch {
  Scratch(uint32_t dimension, size_t queries) : row(dimension), blocks_without(queries) {}

  std::vector<int32_t> row;
  // For each query: blocks still to be computed without coarse readings.
  std::vector<uint32_t> blocks_without;
  int32_t high_dots[kBlockRows] = {};
  int32_t low_dots[kBlockRows] = {};
};

void SearchScan::Scan(uint32_t begin, uint32_t end, std::span<TopHits> hits,
                      std::span<SearchCounts> counts) const {
  Scratch scratch(collection_.config().dimension, queries_.size());
  const VectorStore& vectors = collection_.vectors();
  for (uint32_t place = begin; place < end; ++place) {
    const VectorBlock& block = vectors.block(BlockNumber(place));
    const VectorBlock* next = place + 1 < end ? &vectors.block(BlockNumber(place + 1)) : nullptr;
    if (next != nullptr) PrefetchHeader(*next);
    const uint64_t visible = VisibleRows(block, n_);
    if (visible == 0) continue;
    for (size_t query = 0; query < queries_.size(); ++query) {
      const bool last = query + 1 == queries_.size();
      ScanBlock(block, visible, last && next != nullptr ? next->high(0) : nullptr, query, &scratch,
                &hits[query], &counts[query]);
    }
  }
}

void SearchScan::ScanBlock(const VectorBlock& block, uint64_t visible, const uint8_t* next_plane,
                           size_t query, Scratch* scratch, TopHits* hits,
                           SearchCounts* counts) const {
  const CodedQuery& coded = coded_[query * epochs_ + block.epoch];
  const Filter* filter = queries_[query].filter;
  const uint32_t groups = GroupCount(block.dimension);
  const auto in_block = static_cast<uint64_t>(std::popcount(visible));
  counts->rows += in_block;

  uint64_t kept = visible;
  uint32_t& blocks_without = scratch->blocks_without[query];
  // Before k rows are known nothing can be ruled out.
  if (blocks_without > 0) {
    --blocks_without;
  } else if (coded.coded() && hits->distance_limit() != std::numeric_limits<int64_t>::max()) {
    ForEachRun(visible, [&](uint32_t first, uint32_t count) {
      kernels_.nibble_dots(coded.codes(), block.high(first), groups, count,
                           first + count == kBlockRows ? next_plane : nullptr,
                           scratch->high_dots + first);
    });
    counts->bytes += in_block * (block.nibble_bytes() + 16);
    kept &= Kept4(block, visible, coded, hits->distance_limit(), scratch->high_dots, kernels_);
    counts->kept4 += static_cast<uint64_t>(std::popcount(kept));
    ForEachRow(kept, [&](uint32_t row) {
      counts->bytes += block.nibble_bytes();
      kernels_.nibble_dots(coded.codes(), block.low(row), groups, 1, nullptr,
                           scratch->low_dots + row);
      const int64_t least =
          coded.LeastDistance8(block.code(row), scratch->high_dots[row], scratch->low_dots[row]);
      if (least > hits->distance_limit()) kept &= ~(uint64_t{1} << row);
    });
    counts->kept8 += static_cast<uint64_t>(std::popcount(kept));
    if (std::popcount(kept) > kPaysBelow) blocks_without = kBlocksWithout;
  }
  ForEachRow(kept, [&](uint32_t row) {
    const RecordVersion* version = FindVisible(block.versions[row].Get(), n_);
    if (filter != nullptr) {
      ++counts->filter_tests;
      if (!filter->Matches(AttributesView(version->attributes()))) return;
    }
    kernels_.decode(block.row(row), block.scale(row), block.dimension, scratch->row.data());
    ++counts->computed;
    counts->bytes += 2 * block.nibble_bytes() + block.residual_bytes();
    const int64_t distance = coded.Distance(scratch->row.data());
    if (distance <= hits->distance_limit()) hits->Offer({distance, version});
  });
}

std::vector<SearchHit> SearchAll(const Collection& collection, LogIndex n, const SearchQuery& query,
                                 const Kernels& kernels) {
  const SearchScan scan(collection, n, {&query, 1}, kernels);
  TopHits hits(query.k, query.distance_max);
  SearchCounts counts;
  scan.Scan(0, scan.block_count(), {&hits, 1}, {&counts, 1});
  return hits.TakeSorted();
}

}  // namespace stele::index
