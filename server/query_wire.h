// A query of the wire as index/ searches it: converted for the collection that it is put to.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "index/collection.h"
#include "index/filter.h"
#include "index/search.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::server {

// Not to be copied: `query` points to the vector.
struct PreparedQuery {
  std::vector<int32_t> vector;
  index::SearchQuery query;
};
// Vector, k and threshold of `wire`, which stands at `path` ("queries[3].", or empty) in its
// request; `filter`, its converted filter, may be null and must outlive `prepared`. Errors: those
// of ConvertVector and ConvertThreshold.
absl::Status PrepareQuery(const v1::SearchQuery& wire, const index::CollectionConfig& config,
                          const std::string& path, const index::Filter* filter,
                          PreparedQuery* prepared);

}  // namespace stele::server
