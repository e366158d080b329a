// Filters as JSON, with plain values. docs/cli.md has the grammar.
//
// Does not evaluate. Pure; thread-safe. Input is hostile; its nesting is bounded by ParseJson.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/json_values.h"
#include "client/filter.h"

namespace stele::client::cli {

// {"attribute": "year", "greater_or_equal": 2020}, {"all_of": [...]}, {"any_of": [...]},
// {"none_of": [...]}; and the protobuf JSON form with "condition", "filters", "values" and
// lowerCamelCase names.
absl::StatusOr<Filter> FilterFromJson(const Json& json, absl::string_view where);

// The same from text.
absl::StatusOr<Filter> ParseFilter(absl::string_view text, absl::string_view where);

}  // namespace stele::client::cli
