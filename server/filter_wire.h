// Filters from the wire to index/filter.h. docs/protocol.md, "Filters", states what they mean.
//
// Thread safety: pure functions.
//
// Invariant: what is returned is within the limits of the rules version and accepted by
// DecodeFilter.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "index/filter.h"
#include "stele/v1/types.pb.h"

namespace stele::server {

// `field` is the path of the filter in the request. Errors: FILTER_EMPTY (a filter or condition
// that states nothing), FILTER_TOO_LARGE, FILTER_TOO_DEEP, FILTER_LITERAL, ATTRIBUTE_NAME.
absl::StatusOr<index::Filter> ConvertFilter(const v1::Filter& filter, std::string_view field);

}  // namespace stele::server
