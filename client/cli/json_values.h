// JSON as people type it, to and from the values of the wire contract. docs/cli.md has the mapping.
//
// Does not accept what it would have to guess about: duplicate keys, integers outside int64,
// unknown fields and NaN are errors that name the place. Pure; thread-safe.
//
// Invariants:
//  1. ValueFromJson(ValueToJson(v)) == v for every value that the server accepts.
//  2. Input is hostile: nesting is bounded, and no input makes these functions fail an assertion.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "index/types.h"
#include "stele/v1/memory_service.pb.h"
#include "stele/v1/types.pb.h"

namespace stele::client::cli {

using Json = nlohmann::ordered_json;

// `where` names the source in errors, e.g. "notes.jsonl:17" or "--filter".
absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view where);

// Booleans, strings, integers (int64), numbers with a fraction or an exponent (double), arrays
// (list),
// {"timestamp": "2026-01-02T03:04:05Z"}, {"timestamp_micros": 1}, {"bytes": "base64"},
// {"double": "Infinity"}; and the protobuf JSON form, {"int64_value": 5}.
absl::StatusOr<v1::Value> ValueFromJson(const Json& json, absl::string_view where);
Json ValueToJson(const v1::Value& value);

using AttributeMap = google::protobuf::Map<std::string, v1::Value>;
absl::Status AttributesFromJson(const Json& json, absl::string_view where,
                                AttributeMap* attributes);
Json AttributesToJson(const AttributeMap& attributes);

// An array of numbers (sent as float64), or {"q16": [integers]} for raw components.
absl::StatusOr<v1::Vector> VectorFromJson(const Json& json, absl::string_view where);
// Array of raw Q16.16 integers.
absl::StatusOr<v1::Vector> VectorFromQ16Json(const Json& json, absl::string_view where);

// {"id", "vector" | "vector_q16", "attributes", "document" | "document_base64"}; "version" is
// ignored, so that what `list --json` printed can be imported. `vector_required`: false for the
// rows of an ids file, whose vectors are elsewhere.
absl::StatusOr<v1::RecordInput> RecordFromJson(const Json& json, absl::string_view where,
                                               bool vector_required);

// The record with its parts as `RecordFromJson` reads them. The vector is left out where it is
// empty.
Json RecordToJson(const v1::Record& record, bool with_version);

// Number of components that the vector holds in any of its forms.
size_t DimensionOf(const v1::Vector& vector);

// Lower-case hexadecimal.
std::string Hex(absl::string_view bytes);
std::string Hex(const index::Hash& hash);

}  // namespace stele::client::cli
