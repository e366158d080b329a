#include "index/search.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "index/check.h"

namespace stele::index {
namespace {

// Above this share of a block's rows (in 64ths) a coarse reading has not paid.
constexpr int kPaysBelow = 32;
// So many blocks are then computed without it, before it is tried again.
constexpr uint32_t kBlocksWithout = 15;
constexpr uint32_t kStretchBlocks = 32;
// Fewer queries than this do not make up for laying out a tile.
constexpr size_t kTileQueriesMin = 4;
// Of a row, read for its 4-bit bound.
constexpr size_t kHeaderBytes = 16;

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

void Prefetch(const void* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(static_cast<const char*>(from) + i);
  }
}

// Into the second cache, which holds more requests at a time.
void PrefetchFar(const void* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(static_cast<const char*>(from) + i, 0, 2);
  }
}

void PrefetchCoarse(const VectorBlock& block) {
  const uint8_t* end = block.high_plane + kBlockRows * block.nibble_bytes();
  PrefetchFar(&block, static_cast<size_t>(end - reinterpret_cast<const uint8_t*>(&block)));
}

// The visible rows of a block that the 4-bit readings do not rule out.
uint64_t Keep4(const VectorBlock& block, uint64_t visible, const CodedQuery& query, int64_t limit,
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

#ifndef NDEBUG
// Both bounds against the distances that they bound, for every row, whether kept or not.
void CheckBounds(const VectorBlock& block, uint64_t rows, const CodedQuery& query,
                 const int32_t* high_dots, const Kernels& kernels, std::vector<int32_t>* z) {
  ForEachRow(rows, [&](uint32_t row) {
    kernels.decode(block.planes(row), block.scale(row), block.dimension, z->data());
    const int64_t distance = query.Distance(z->data());
    const uint64_t bit = uint64_t{1} << row;
    Check(Keep4(block, bit, query, distance, high_dots, kernels) == bit);
    int32_t low_dot = 0;
    kernels.nibble_dots(query.codes().data(), block.low(row), GroupCount(block.dimension), 1,
                        &low_dot);
    Check(query.LeastDistance8(block.code(row), high_dots[row], low_dot) <= distance);
  });
}
#endif

}  // namespace

int64_t RawDistance(Metric metric, std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto dimension = static_cast<uint32_t>(a.size());
  if (metric == Metric::kDot) return -ScalarKernels().dot(a.data(), b.data(), dimension);
  return ScalarKernels().squared_l2(a.data(), b.data(), dimension);
}

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
  narrowed |= other.narrowed;
  candidates += other.candidates;
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
      stretch_count_((block_count_ + kStretchBlocks - 1) / kStretchBlocks),
      epochs_(collection.vectors().epoch_count()) {
  // About the golden section of the whole.
  stride_ = std::max(1u, static_cast<uint32_t>(uint64_t{stretch_count_} * 40503 >> 16));
  while (std::gcd(stride_, stretch_count_) > 1) ++stride_;
  FindCandidates();
  coded_.reserve(queries.size() * epochs_);
  for (const SearchQuery& query : queries) {
    for (uint32_t epoch = 0; epoch < epochs_; ++epoch) {
      coded_.emplace_back(query.vector, collection.vectors().Mean(epoch),
                          collection.config().metric, kernels);
    }
  }
  if (kernels.tile_dots == nullptr || queries.size() < kTileQueriesMin) return;
  const size_t code_bytes = TileCodeBytes(GroupCount(collection.config().dimension));
  tile_codes_.resize(epochs_);
  for (uint32_t epoch = 0; epoch < epochs_; ++epoch) {
    tile_codes_[epoch].resize((queries.size() + kTileSlack) * code_bytes);
    for (size_t query = 0; query < queries.size(); ++query) {
      const std::span<const int8_t> codes = coded_[query * epochs_ + epoch].codes();
      std::copy(codes.begin(), codes.end(), tile_codes_[epoch].data() + query * code_bytes);
    }
  }
}

void SearchScan::FindCandidates() {
  const Postings& postings = collection_.postings();
  candidates_.resize(queries_.size());
  bool all = true;
  for (size_t query = 0; query < queries_.size(); ++query) {
    const Filter* filter = queries_[query].filter;
    if (postings.Narrows(filter, uint64_t{block_count_} * kBlockRows)) {
      candidates_[query] = postings.Candidates(*filter, block_count_);
    } else {
      all = false;
    }
  }
  if (!all) return;
  wanted_.resize(block_count_);
  for (const std::vector<uint64_t>& blocks : candidates_) {
    for (uint32_t number = 0; number < block_count_; ++number) wanted_[number] |= blocks[number];
  }
}

size_t SearchScan::stretch_code_bytes() const {
  return size_t{kStretchBlocks} * kBlockRows * NibbleBytes(collection_.config().dimension);
}

// One block on its way through the cascade.
struct SearchScan::Pass {
  // A query that coarse readings are made for, and what is left of the block's rows for it.
  struct Active {
    size_t query;
    uint64_t rows;
    uint64_t kept;
  };
  const VectorBlock* block = nullptr;  // null: none
  std::vector<Active> active;
  LineArray<int32_t> high_dots;  // 64 for each of them

  const int32_t* HighDots(size_t i) const { return high_dots.data() + i * kBlockRows; }
};

struct SearchScan::Scratch {
  // Of one query; small, since all queries go by at every block.
  struct Turn {
    uint32_t blocks_without = 0;  // still to be computed without coarse readings
    bool narrowed = false;
    uint64_t rows = 0;        // met,
    uint64_t rows_coded = 0;  // and by coarse readings
  };

  std::vector<int32_t> row;
  std::vector<Turn> turns;
  Pass passes[3];
  LineArray<int8_t> codes;  // of some of the queries, as TileDotsFunction takes them
  LineArray<uint8_t> tile;
};

std::shared_ptr<SearchScan::Scratch> SearchScan::MakeScratch() const {
  auto scratch = std::make_shared<Scratch>();
  scratch->row.resize(collection_.config().dimension);
  scratch->turns.resize(queries_.size());
  for (size_t query = 0; query < queries_.size(); ++query) {
    scratch->turns[query].narrowed = !candidates_[query].empty();
  }
  return scratch;
}

void SearchScan::Scan(uint32_t begin, uint32_t end, std::span<TopHits> hits,
                      std::span<SearchCounts> counts, Scratch* scratch) const {
  for (uint32_t place = begin; place < end; ++place) {
    const auto stretch = static_cast<uint32_t>(uint64_t{place} * stride_ % stretch_count_);
    ScanStretch(stretch * kStretchBlocks, hits, counts, scratch);
  }
  const size_t row_bytes = NibbleBytes(collection_.config().dimension) + kHeaderBytes;
  for (size_t query = 0; query < queries_.size(); ++query) {
    Scratch::Turn& turn = scratch->turns[query];
    counts[query].rows += turn.rows;
    counts[query].narrowed |= turn.narrowed;
    counts[query].candidates += turn.narrowed ? turn.rows : 0;
    counts[query].bytes += turn.rows_coded * row_bytes;
    turn.rows = 0;
    turn.rows_coded = 0;
  }
}

void SearchScan::ScanStretch(uint32_t first_block, std::span<TopHits> hits,
                             std::span<SearchCounts> counts, Scratch* scratch) const {
  const VectorStore& vectors = collection_.vectors();
  const uint32_t end = std::min(first_block + kStretchBlocks, block_count_);
  if (!wanted_.empty()) PrefetchCandidates(first_block, end);
  for (uint32_t number = first_block; number < end + 2; ++number) {
    if (number < end) {
      // Without a tile the kernels do it themselves.
      if (!tile_codes_.empty() && number + 1 < end) PrefetchCoarse(vectors.block(number + 1));
      BeginBlock(number, hits, counts, scratch, &scratch->passes[number % 3]);
    }
    NarrowBlock(hits, counts, scratch, &scratch->passes[(number + 2) % 3]);
    FinishBlock(hits, counts, scratch, &scratch->passes[(number + 1) % 3]);
  }
}

void SearchScan::PrefetchCandidates(uint32_t begin, uint32_t end) const {
  const VectorStore& vectors = collection_.vectors();
  for (uint32_t number = begin; number < end; ++number) {
    if (wanted_[number] != 0) Prefetch(&vectors.block(number), 128);
  }
  for (uint32_t number = begin; number < end; ++number) {
    const VectorBlock& block = vectors.block(number);
    ForEachRow(wanted_[number], [&](uint32_t row) {
      Prefetch(block.squared_norms + row, 1);
      Prefetch(block.steps + row, 1);
      Prefetch(block.residuals4 + row, 1);
      PrefetchFar(block.high(row), block.nibble_bytes());
    });
  }
}

void SearchScan::BeginBlock(uint32_t number, std::span<TopHits> hits,
                            std::span<SearchCounts> counts, Scratch* scratch, Pass* pass) const {
  if (!wanted_.empty() && wanted_[number] == 0) return;
  const VectorBlock& block = collection_.vectors().block(number);
  const uint64_t visible = VisibleRows(block, n_);
  if (visible == 0) return;
  for (size_t query = 0; query < queries_.size(); ++query) {
    Scratch::Turn& turn = scratch->turns[query];
    uint64_t rows = visible;
    if (turn.narrowed) {
      rows &= candidates_[query][number];
      if (rows == 0) continue;
    }
    const auto row_count = static_cast<uint64_t>(std::popcount(rows));
    turn.rows += row_count;
    if (turn.blocks_without > 0) {
      --turn.blocks_without;
    } else if (hits[query].prunes() && Coded(query, block).coded()) {
      turn.rows_coded += row_count;
      pass->active.push_back({query, rows, 0});
      continue;
    }
    Compute(block, rows, query, scratch, &hits[query], &counts[query]);
  }
  if (pass->active.empty()) return;
  pass->block = &block;
  MultiplyHigh(scratch, pass);
  for (size_t i = 0; i < pass->active.size(); ++i) {
    Pass::Active& active = pass->active[i];
    active.kept = Keep4(block, active.rows, Coded(active.query, block),
                        hits[active.query].distance_limit(), pass->HighDots(i), kernels_);
    ForEachRow(active.kept, [&](uint32_t row) {
      Prefetch(block.low(row), block.nibble_bytes());
      Prefetch(block.residuals8 + row, 1);
      if (queries_[active.query].filter != nullptr) Prefetch(&block.versions[row], 1);
    });
  }
}

void SearchScan::NarrowBlock(std::span<const TopHits> hits, std::span<SearchCounts> counts,
                             Scratch* scratch, Pass* pass) const {
  if (pass->block == nullptr) return;
  const VectorBlock& block = *pass->block;
  for (size_t i = 0; i < pass->active.size(); ++i) {
    Pass::Active& active = pass->active[i];
    const size_t query = active.query;
#ifndef NDEBUG
    CheckBounds(block, active.rows, Coded(query, block), pass->HighDots(i), kernels_,
                &scratch->row);
#endif
    if (active.kept == 0) continue;
    active.kept = Keep8(block, active.kept, query, pass->HighDots(i), hits[query].distance_limit(),
                        &counts[query]);
    if (std::popcount(active.kept) > kPaysBelow)
      scratch->turns[query].blocks_without = kBlocksWithout;
    ForEachRow(active.kept, [&](uint32_t row) {
      Prefetch(block.planes(row).residual, block.residual_bytes());
      if (queries_[query].filter != nullptr) Prefetch(block.versions[row].Get(), 128);
    });
  }
}

void SearchScan::FinishBlock(std::span<TopHits> hits, std::span<SearchCounts> counts,
                             Scratch* scratch, Pass* pass) const {
  if (pass->block == nullptr) return;
  for (const auto& [query, rows, kept] : pass->active) {
    if (kept != 0) Compute(*pass->block, kept, query, scratch, &hits[query], &counts[query]);
  }
  pass->block = nullptr;
  pass->active.clear();
}

void SearchScan::MultiplyHigh(Scratch* scratch, Pass* pass) const {
  const VectorBlock& block = *pass->block;
  const uint32_t groups = GroupCount(block.dimension);
  const size_t count = pass->active.size();
  pass->high_dots.resize((count + kTileSlack) * kBlockRows);
  if (!tile_codes_.empty() && count >= kTileQueriesMin) {
    const size_t code_bytes = TileCodeBytes(groups);
    const int8_t* codes = tile_codes_[block.epoch].data();
    uint64_t rows = 0;
    for (const Pass::Active& active : pass->active) rows |= active.rows;
    if (count < queries_.size()) {
      scratch->codes.resize((queries_.size() + kTileSlack) * code_bytes);
      for (size_t i = 0; i < count; ++i) {
        std::copy_n(codes + pass->active[i].query * code_bytes, code_bytes,
                    scratch->codes.data() + i * code_bytes);
      }
      codes = scratch->codes.data();
    }
    scratch->tile.resize(TileBytes(groups));
    kernels_.fill_tile(block.high(0), groups, rows, scratch->tile.data());
    kernels_.tile_dots(scratch->tile.data(), codes, static_cast<uint32_t>(count), groups,
                       pass->high_dots.data());
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const int8_t* codes = Coded(pass->active[i].query, block).codes().data();
    ForEachRun(pass->active[i].rows, [&](uint32_t first, uint32_t rows) {
      kernels_.nibble_dots(codes, block.high(first), groups, rows,
                           pass->high_dots.data() + i * kBlockRows + first);
    });
  }
}

uint64_t SearchScan::Keep8(const VectorBlock& block, uint64_t kept4, size_t query,
                           const int32_t* high_dots, int64_t limit, SearchCounts* counts) const {
  const CodedQuery& coded = Coded(query, block);
  uint64_t kept = kept4;
  ForEachRow(kept4, [&](uint32_t row) {
    int32_t low_dot = 0;
    kernels_.nibble_dots(coded.codes().data(), block.low(row), GroupCount(block.dimension), 1,
                         &low_dot);
    if (coded.LeastDistance8(block.code(row), high_dots[row], low_dot) > limit) {
      kept &= ~(uint64_t{1} << row);
    }
  });
  const auto rows4 = static_cast<uint64_t>(std::popcount(kept4));
  counts->kept4 += rows4;
  counts->kept8 += static_cast<uint64_t>(std::popcount(kept));
  counts->bytes += rows4 * block.nibble_bytes();
  return kept;
}

void SearchScan::Compute(const VectorBlock& block, uint64_t rows, size_t query, Scratch* scratch,
                         TopHits* hits, SearchCounts* counts) const {
  const CodedQuery& coded = Coded(query, block);
  const Filter* filter = queries_[query].filter;
  const auto version_of = [&](uint32_t row) { return FindVisible(block.versions[row].Get(), n_); };
  ForEachRow(rows, [&](uint32_t row) {
    if (filter != nullptr) {
      ++counts->filter_tests;
      if (!filter->Matches(AttributesView(version_of(row)->attributes()))) return;
    }
    kernels_.decode(block.planes(row), block.scale(row), block.dimension, scratch->row.data());
    ++counts->computed;
    counts->bytes += 2 * block.nibble_bytes() + block.residual_bytes();
    const int64_t distance = coded.Distance(scratch->row.data());
    if (distance <= hits->distance_limit()) hits->Offer({distance, version_of(row)});
  });
}

std::vector<SearchHit> SearchAll(const Collection& collection, LogIndex n, const SearchQuery& query,
                                 const Kernels& kernels) {
  const SearchScan scan(collection, n, {&query, 1}, kernels);
  TopHits hits(query.k, query.distance_max);
  SearchCounts counts;
  scan.Scan(0, scan.stretch_count(), {&hits, 1}, {&counts, 1}, scan.MakeScratch().get());
  return hits.TakeSorted();
}

}  // namespace stele::index
