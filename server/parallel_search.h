// A search whose blocks are shared out over the search threads. The answer does not depend on their
// number, nor on who scans what.
//
// Thread safety: any number of searches at a time.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "index/search.h"
#include "server/search_pool.h"

namespace stele::server {

// One element for each query.
struct SearchAnswer {
  std::vector<std::vector<index::SearchHit>> hits;
  std::vector<index::SearchCounts> counts;  // what was done for it
};

// Blocks the calling thread, which takes part. `cancelled` (may be null) is asked between chunks of
// rows, by any thread; nothing is returned once it said yes.
std::optional<SearchAnswer> ParallelSearch(SearchPool* pool, const index::SearchScan& scan,
                                           const std::function<bool()>& cancelled);

}  // namespace stele::server
