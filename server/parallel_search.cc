#include "server/parallel_search.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

namespace stele::server {
namespace {

// Of coarse codes that a thread reads, times queries, before it looks whether the search was
// cancelled and how far the others are.
constexpr uint64_t kScanChunkBytes = 512u << 10;

// The least distance limit that any thread knows for a query.
class SharedLimit {
 public:
  explicit SharedLimit(int64_t limit) : limit_(limit) {}
  SharedLimit(const SharedLimit& other) : limit_(other.limit_.load()) {}

  void Exchange(index::TopHits& hits) {
    int64_t known = limit_.load(std::memory_order_relaxed);
    const int64_t mine = hits.distance_limit();
    while (mine < known && !limit_.compare_exchange_weak(known, mine, std::memory_order_relaxed)) {
    }
    hits.Tighten(known);
  }

 private:
  std::atomic<int64_t> limit_;
};

// What one thread has found.
struct Part {
  explicit Part(const index::SearchScan& scan)
      : counts(scan.queries().size()), scratch(scan.MakeScratch()) {
    for (const index::SearchQuery& query : scan.queries()) {
      hits.emplace_back(query.k, query.distance_max);
    }
  }
  std::vector<index::TopHits> hits;
  std::vector<index::SearchCounts> counts;
  std::shared_ptr<index::SearchScan::Scratch> scratch;
};

}  // namespace

std::optional<SearchAnswer> ParallelSearch(SearchPool* pool, const index::SearchScan& scan,
                                           const std::function<bool()>& cancelled) {
  const std::span<const index::SearchQuery> queries = scan.queries();
  const uint32_t stretches = scan.stretch_count();
  const uint64_t stretch_bytes = scan.stretch_code_bytes() * queries.size();
  const auto step =
      static_cast<uint32_t>(std::clamp<uint64_t>(kScanChunkBytes / stretch_bytes, 1, 256));
  Part all(scan);
  std::vector<SharedLimit> limits;
  for (const index::TopHits& hits : all.hits) limits.emplace_back(hits.distance_limit());
  std::atomic<uint32_t> next{0};
  std::atomic<bool> stopped{false};
  std::mutex merging;
  const std::function<void()> work = [&] {
    std::optional<Part> mine;
    for (;;) {
      const uint32_t begin = next.fetch_add(step);
      if (begin >= stretches) break;
      if (stopped.load() || (cancelled && cancelled())) {
        stopped = true;
        break;
      }
      if (!mine.has_value()) mine.emplace(scan);
      scan.Scan(begin, std::min(begin + step, stretches), mine->hits, mine->counts,
                mine->scratch.get());
      for (size_t i = 0; i < limits.size(); ++i) limits[i].Exchange(mine->hits[i]);
    }
    if (!mine.has_value()) return;
    std::lock_guard lock(merging);
    for (size_t i = 0; i < queries.size(); ++i) {
      all.hits[i].Merge(mine->hits[i]);
      all.counts[i].Add(mine->counts[i]);
    }
  };
  if (step < stretches) {
    pool->Run(work);
  } else {
    work();
  }
  if (stopped.load()) return std::nullopt;
  SearchAnswer answer;
  for (index::TopHits& top : all.hits) answer.hits.push_back(top.TakeSorted());
  answer.counts = std::move(all.counts);
  return answer;
}

}  // namespace stele::server
