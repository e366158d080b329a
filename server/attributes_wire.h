// Attribute values between the wire and their canonical encoding (index/value.h).
//
// Thread safety: pure functions.
//
// Invariant: what the Encode functions return is accepted by the decoders of index/.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "index/value.h"
#include "stele/v1/types.pb.h"

namespace stele::server {

using WireAttributes = google::protobuf::Map<std::string, v1::Value>;

// One value. `field` is its path in the request. Errors: ATTRIBUTE_TYPE (no kind, a nested or mixed
// list), ATTRIBUTE_NAN, ATTRIBUTE_NOT_UTF8.
absl::StatusOr<std::string> EncodeValue(const v1::Value& value, std::string_view field);

// Errors: ATTRIBUTE_NAME (empty, too long, not UTF-8).
absl::Status CheckAttributeName(std::string_view name, std::string_view field);

// A whole map. Errors: those above, ATTRIBUTES_TOO_LARGE (how many, how many bytes together).
absl::StatusOr<std::string> EncodeAttributes(const WireAttributes& attributes,
                                             std::string_view field);

// The way back, for replies. REQUIRES: `encoded` was validated before.
void DecodeAttributes(std::string_view encoded, WireAttributes* attributes);

}  // namespace stele::server
