// Golden retrieval tests: which records exactly some queries must find, in a file that people can
// read and that a user's CI checks. docs/golden.md states it.
//
// It does not search: whoever asks gives it receipts (index/search_receipt.h). Pure; thread-safe.
//
// Invariant: GoldenFromJson(GoldenToText(g)) == g; what it would have to guess about is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/json_values.h"
#include "index/search_receipt.h"

namespace stele::client::cli {

struct GoldenHit {
  std::string id;
  int64_t distance_raw = 0;
  bool operator==(const GoldenHit&) const = default;
};

struct GoldenQuery {
  std::string name;  // unique in its file
  std::string collection;
  v1::SearchQuery query;  // vector q16, threshold raw: nothing is converted a second time
  Json filter;            // as it was typed; null: none
  std::vector<GoldenHit> hits;
};

// The state that was asked.
struct GoldenState {
  std::string log;
  uint64_t log_index = 0;
  uint64_t state_index = 0;
  std::string state_root;     // hexadecimal
  std::string snapshot_hash;  // hexadecimal; empty where it was not a snapshot
};

struct Golden {
  GoldenState state;
  std::vector<GoldenQuery> queries;
};

std::string GoldenToText(const Golden& golden);
absl::StatusOr<Golden> GoldenFromJson(absl::string_view text, absl::string_view where);

// The state that a receipt is about.
GoldenState StateOf(const index::ReceiptState& state);
// What a query found, from its receipt.
std::vector<GoldenHit> HitsOf(const index::SearchReceipt& receipt);
// The query as it was compared: raw vector and threshold.
v1::SearchQuery QueryOf(const index::SearchReceipt& receipt, const v1::SearchQuery& asked);

// How what was found differs from what was expected.
struct GoldenDifference {
  struct Rank {
    size_t rank = 0;  // from 1
    std::optional<GoldenHit> expected;
    std::optional<GoldenHit> got;
  };
  std::vector<Rank> ranks;            // where they differ
  std::vector<GoldenHit> missing;     // expected, and not found at any rank
  std::vector<GoldenHit> unexpected;  // found, and not expected at any rank
};
GoldenDifference Compare(const std::vector<GoldenHit>& expected, const std::vector<GoldenHit>& got);

Json DifferenceToJson(const GoldenDifference& difference);
// A table of the ranks that differ, at most `rows_max` of them, and what is missing and new.
std::string DifferenceToText(const GoldenDifference& difference, size_t rows_max);

}  // namespace stele::client::cli
