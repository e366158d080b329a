// Typed attribute values, built from C++ values.
//
// Does not validate (NaN, mixed lists): the server does, and names the attribute.
// Thread-compatible.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "stele/v1/types.pb.h"

namespace stele::client {

// Opaque bytes, as opposed to a UTF-8 string.
struct Bytes {
  std::string data;
};

class Value {
 public:
  Value(bool value) { proto_.set_bool_value(value); }                              // NOLINT
  Value(double value) { proto_.set_double_value(value); }                          // NOLINT
  Value(std::string value) { proto_.set_string_value(value); }                     // NOLINT
  Value(const char* value) { proto_.set_string_value(value); }                     // NOLINT
  Value(absl::string_view value) { proto_.set_string_value(std::string(value)); }  // NOLINT
  Value(Bytes value) { proto_.set_bytes_value(std::move(value.data)); }            // NOLINT
  // Truncated to whole microseconds since 1970-01-01T00:00:00Z.
  Value(absl::Time value) { proto_.set_timestamp_micros(absl::ToUnixMicros(value)); }  // NOLINT

  // Every integer type that fits in int64 (uint64_t does not, so it has to be cast knowingly).
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool> &&
           (std::signed_integral<Integer> || sizeof(Integer) < sizeof(int64_t)))
      Value(Integer value) {  // NOLINT
    proto_.set_int64_value(static_cast<int64_t>(value));
  }

  // A list; all of one scalar type.
  Value(const std::vector<Value>& values) {  // NOLINT
    v1::ValueList* list = proto_.mutable_list_value();
    for (const Value& value : values) *list->add_values() = value.proto_;
  }

  explicit Value(v1::Value proto) : proto_(std::move(proto)) {}

  const v1::Value& proto() const { return proto_; }

 private:
  v1::Value proto_;
};

using Attributes = std::map<std::string, Value>;

}  // namespace stele::client
