// Records and queries as a caller writes them, and the builders of write operations.
//
// Does not check sizes or names: the server does, and says which field.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/filter.h"
#include "client/options.h"
#include "client/value.h"
#include "client/vector.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client {

struct Record {
  // 1..256 bytes of UTF-8.
  std::string id = {};
  // Of the collection's dimension.
  Vector vector = {};
  Attributes attributes = {};
  // Opaque bytes, returned as they are.
  std::string document = {};
};

struct Query {
  Vector vector = {};
  // 1..10000.
  uint32_t k = 10;
  std::optional<Filter> filter = {};
  // Inclusive. L2: at most this score; DOT and COSINE: at least this score.
  std::optional<double> score_threshold = {};
  // Inclusive, exact; not together with score_threshold.
  std::optional<int64_t> distance_raw_max = {};
};

v1::RecordInput ToProto(const Record& record);
v1::SearchQuery ToProto(const Query& query);
v1::Selector ToProto(const Select& select);

// Operations for Client::Write, where several kinds or collections go into one entry.
v1::Operation UpsertOperation(absl::string_view collection, v1::RecordInput record);
v1::Operation InsertOperation(absl::string_view collection, v1::RecordInput record);
v1::Operation UpdateOperation(absl::string_view collection, absl::string_view id,
                              const Attributes& set, const std::vector<std::string>& remove);
v1::Operation DeleteOperation(absl::string_view collection, absl::string_view id);

}  // namespace stele::client
