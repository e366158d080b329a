// Searches of one collection that come while others are being answered share one pass over its
// memory: for one query such a pass is bound by memory, for many by arithmetic.
//
// At most one joined pass of a collection runs at a time. What comes meanwhile waits, starts
// together when it ends, in order of arrival, and sees the newest state of that moment. A search
// that finds no pass under way starts at once. Searches with a filter do not join those without,
// whose passes are shorter.
//
// It does not know the wire and does not watch deadlines: each search says itself whether it has
// stopped.
//
// Thread safety: all functions, from any thread.
//
// Invariants:
//   1. `done` of an accepted search is called exactly once, on a thread of the executor.
//   2. Each answer is that of its own query alone at the index of its view.
//   3. A search that has stopped, or cannot be prepared, changes nothing for the others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/collection.h"
#include "index/search.h"
#include "server/engine.h"
#include "server/executor.h"

namespace stele::server {

// More hits rule out fewer rows: such a search would hold up those that it joins.
inline constexpr uint32_t kJoinedKMax = 256;

// Valid during the call of `done`.
struct JoinedAnswer {
  const ReadView* view = nullptr;
  const index::Collection* collection = nullptr;
  const std::vector<index::SearchHit>* hits = nullptr;
  const index::SearchCounts* counts = nullptr;
};

struct JoinOptions {
  uint32_t searches_max = 32;  // in one pass; 1: joining is off
  // A pass over fewer 4-bit codes reads them from the caches, and is over before others gather.
  uint64_t code_bytes_min = 4u << 20;
};

struct JoinableSearch {
  std::string collection;
  bool filtered = false;
  // The query for a collection of this kind; what it points to lives until `done` was called.
  std::function<absl::StatusOr<index::SearchQuery>(const index::CollectionConfig&)> prepare;
  // Asked by several threads, until `done` is called.
  std::function<bool()> stopped;
  // CANCELLED where it had stopped before or during the pass.
  std::function<void(const absl::StatusOr<JoinedAnswer>&)> done;
};

class JoinedSearches {
 public:
  // Both outlive the searches; the engine outlives the executor.
  JoinedSearches(const Engine* engine, Executor* executor, JoinOptions options);
  ~JoinedSearches();

  // Whether a pass over the collection is long enough, and joining is on at all.
  bool Worthwhile(std::string_view collection) const;
  // False, with nothing done, if too many wait.
  [[nodiscard]] bool Submit(JoinableSearch search);

 private:
  struct State;
  // Shared with the tasks on the executor.
  std::shared_ptr<State> state_;
};

}  // namespace stele::server
