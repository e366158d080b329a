#include "server/query_wire.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/conversion.h"

namespace stele::server {

absl::Status PrepareQuery(const v1::SearchQuery& wire, const index::CollectionConfig& config,
                          const std::string& path, const index::Filter* filter,
                          PreparedQuery* prepared) {
  absl::StatusOr<std::vector<int32_t>> vector =
      ConvertVector(wire.vector(), config.dimension, config.metric, absl::StrCat(path, "vector"));
  if (!vector.ok()) return vector.status();
  prepared->vector = *std::move(vector);
  prepared->query.vector = prepared->vector;
  prepared->query.k = wire.k();
  prepared->query.filter = filter;
  if (!wire.has_threshold()) return absl::OkStatus();
  const absl::StatusOr<int64_t> bound =
      ConvertThreshold(wire.threshold(), config.metric, absl::StrCat(path, "threshold"));
  if (bound.ok()) prepared->query.distance_max = *bound;
  return bound.status();
}

}  // namespace stele::server
