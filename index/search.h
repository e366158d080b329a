// Exact k-nearest-neighbour search at one log index. Under the total order (distance, id) every
// query has one answer, so blocks may be scanned in any order and on any number of threads, each
// into its own TopHits, and merged.
//
// A block goes through a cascade: the 4-bit readings of its rows rule out most, the 8-bit ones
// most of the rest, and what is left is computed exactly (search_bounds.h). Nothing that could be
// in the answer is ever ruled out.
//
// It starts no threads and does not watch deadlines: the caller scans a few blocks at a time.
//
// Thread safety: a SearchScan is immutable; a TopHits belongs to one thread.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "index/collection.h"
#include "index/filter.h"
#include "index/kernels.h"
#include "index/search_bounds.h"
#include "index/types.h"

namespace stele::index {

inline constexpr uint32_t kSearchKMax = 10'000;

struct SearchQuery {
  std::span<const int32_t> vector;      // admitted; normalised under COSINE
  uint32_t k = 0;                       // 1..kSearchKMax
  const Filter* filter = nullptr;       // null: every record
  std::optional<int64_t> distance_max;  // inclusive, raw
};

// Of two admitted vectors of one dimension; normalised under COSINE.
int64_t RawDistance(Metric metric, std::span<const int32_t> a, std::span<const int32_t> b);

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
  // Whether there is such a limit yet.
  bool prunes() const { return limit_ != std::numeric_limits<int64_t>::max(); }
  // Told that k hits at most this far are known elsewhere.
  void Tighten(int64_t limit) { limit_ = limit < limit_ ? limit : limit_; }
  void Offer(const SearchHit& hit);
  void Merge(const TopHits& other);
  // Nearest first; the object is empty afterwards.
  std::vector<SearchHit> TakeSorted();

 private:
  uint32_t k_;
  int64_t limit_;
  std::vector<SearchHit> heap_;  // the worst hit first
};

// What a search did, for explaining it.
struct SearchCounts {
  uint64_t rows = 0;          // visible rows met
  bool narrowed = false;      // whether the filter's postings were used,
  uint64_t candidates = 0;    // and how many visible rows they named
  uint64_t kept4 = 0;         // rows that the 4-bit readings did not rule out
  uint64_t kept8 = 0;         // rows that the 8-bit readings did not rule out
  uint64_t filter_tests = 0;  // rows whose attributes were looked at
  uint64_t computed = 0;      // rows whose distance was computed
  uint64_t bytes = 0;         // of planes and headers read

  void Add(const SearchCounts& other);
};

// An array that begins with a cache line: kernels are faster where none of their loads is split.
// New elements are zero.
template <typename T>
class LineArray {
 public:
  void resize(size_t size) { lines_.resize((size + kPerLine - 1) / kPerLine); }
  T* data() { return lines_.data()->values; }
  const T* data() const { return lines_.data()->values; }

 private:
  static constexpr size_t kPerLine = 64 / sizeof(T);
  struct alignas(64) Line {
    T values[kPerLine];
  };
  std::vector<Line> lines_;
};

// One search of one or more queries over a collection at n.
class SearchScan {
 public:
  // REQUIRES: `collection` visible at n, n held by the caller as long as this lives; so do the
  // queries' vectors and filters.
  SearchScan(const Collection& collection, LogIndex n, std::span<const SearchQuery> queries,
             const Kernels& kernels);

  // Work is divided into stretches of neighbouring blocks, numbered in an order of the scan's own,
  // so that the first ones are a fair sample.
  uint32_t stretch_count() const { return stretch_count_; }
  std::span<const SearchQuery> queries() const { return queries_; }
  // Bytes of 4-bit codes in a stretch.
  size_t stretch_code_bytes() const;
  // What a thread works with; for any number of calls of Scan, one at a time.
  struct Scratch;
  std::shared_ptr<Scratch> MakeScratch() const;
  // Scans stretches [begin, end); `hits` and `counts` have one element for each query.
  void Scan(uint32_t begin, uint32_t end, std::span<TopHits> hits, std::span<SearchCounts> counts,
            Scratch* scratch) const;

 private:
  struct Pass;
  // Fills candidates_ and wanted_.
  void FindCandidates();
  void ScanStretch(uint32_t first_block, std::span<TopHits> hits, std::span<SearchCounts> counts,
                   Scratch* scratch) const;
  // Asks for what candidates will need, so that it has come from memory by then.
  void PrefetchCandidates(uint32_t begin, uint32_t end) const;
  // A block goes through three steps; between them it waits in `pass`, while what it needs next is
  // on its way from memory. First the 4-bit readings,
  void BeginBlock(uint32_t number, std::span<TopHits> hits, std::span<SearchCounts> counts,
                  Scratch* scratch, Pass* pass) const;
  // then the 8-bit readings of what they kept,
  void NarrowBlock(std::span<const TopHits> hits, std::span<SearchCounts> counts, Scratch* scratch,
                   Pass* pass) const;
  // then the distances of what is left.
  void FinishBlock(std::span<TopHits> hits, std::span<SearchCounts> counts, Scratch* scratch,
                   Pass* pass) const;
  // The products of the active queries' codes with the HIGH plane.
  void MultiplyHigh(Scratch* scratch, Pass* pass) const;
  // Of the rows kept so far, those that the 8-bit readings do not rule out.
  uint64_t Keep8(const VectorBlock& block, uint64_t kept4, size_t query, const int32_t* high_dots,
                 int64_t limit, SearchCounts* counts) const;
  // Computes rows and offers them.
  void Compute(const VectorBlock& block, uint64_t rows, size_t query, Scratch* scratch,
               TopHits* hits, SearchCounts* counts) const;
  const CodedQuery& Coded(size_t query, const VectorBlock& block) const {
    return coded_[query * epochs_ + block.epoch];
  }

  const Collection& collection_;
  const LogIndex n_;
  const std::span<const SearchQuery> queries_;
  const Kernels& kernels_;
  const uint32_t block_count_;
  const uint32_t stretch_count_;
  uint32_t stride_ = 1;  // has no factor in common with stretch_count_
  uint32_t epochs_;
  // For each query: the rows of each block that its filter may match; empty: all.
  std::vector<std::vector<uint64_t>> candidates_;
  // For each block, where every query has candidates: the rows that any has.
  std::vector<uint64_t> wanted_;
  std::vector<CodedQuery> coded_;  // of query q under epoch e: [q * epochs_ + e]
  // For each epoch the codes of all queries, as tiles are multiplied with; empty: no tiles.
  std::vector<LineArray<int8_t>> tile_codes_;
};

// The whole search of one query, on the calling thread.
std::vector<SearchHit> SearchAll(const Collection& collection, LogIndex n, const SearchQuery& query,
                                 const Kernels& kernels);

}  // namespace stele::index
