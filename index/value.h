// Typed attribute values in their canonical encoding, and the maps of them that records carry. A
// value is kept as its encoded bytes everywhere: they are what is stored, hashed and compared.
// Doubles are handled as their IEEE 754 binary64 bits; no floating point is used.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/codec.h"

namespace stele::index {

// FROZEN: on disk.
enum class ValueType : uint8_t {
  kBool = 1,
  kInt64 = 2,
  kDouble = 3,
  kString = 4,
  kBytes = 5,
  kTimestamp = 6,  // int64, microseconds since 1970-01-01T00:00:00Z
  kList = 7,       // element type (0 if empty), count, payloads of one scalar type
};

// A decoded value; `payload` is the encoding without the type byte and points into the source.
struct ValueView {
  ValueType type = ValueType::kBool;
  std::string_view payload;
};

std::string EncodeBool(bool value);
std::string EncodeInt64(int64_t value);
std::string EncodeTimestamp(int64_t micros);
// -0 becomes +0. No value for a NaN.
std::optional<std::string> EncodeDouble(uint64_t bits);
// No value if `text` is not UTF-8.
std::optional<std::string> EncodeString(std::string_view text);
std::string EncodeBytes(std::string_view bytes);
// `elements` are encoded scalars. No value if they are of more than one type, or lists themselves.
std::optional<std::string> EncodeList(std::span<const std::string> elements);

// Reads one canonical value; fails the decoder on anything else.
ValueView DecodeValue(Decoder& decoder);

// Reads the payload of a value that was validated before.
int64_t Int64Of(ValueView value);
uint64_t DoubleBitsOf(ValueView value);
std::string_view TextOf(ValueView value);  // string and bytes
std::vector<ValueView> ElementsOf(ValueView list);

// Order of two scalars: numbers (int64 and double) by exact value, strings and bytes as unsigned
// bytes, timestamps and bools by value. No value where the types cannot be compared.
std::optional<std::strong_ordering> Compare(ValueView a, ValueView b);

// The int64 that equals the value, if it is a number and there is one.
std::optional<int64_t> IntegerOf(ValueView value);

// A record's attributes: canonical bytes of a map sorted by name.
using AttributeMap =
    std::vector<std::pair<std::string, std::string>>;  // name -> encoded value, sorted

std::string EncodeAttributes(const AttributeMap& attributes);
// Checks sizes, names (UTF-8, ascending, none twice) and values.
bool DecodeAttributes(std::string_view bytes, AttributeMap* attributes);

// Walks attributes that were validated before.
class AttributesView {
 public:
  explicit AttributesView(std::string_view bytes) : bytes_(bytes) {}

  std::optional<ValueView> Find(std::string_view name) const;
  // visit(name, encoded value, encoding of the whole pair)
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    Decoder decoder(bytes_);
    for (uint32_t left = bytes_.empty() ? 0 : decoder.U32(); left > 0; --left) {
      const char* pair = decoder.position();
      std::string_view name = decoder.Sized(bytes_.size());
      const char* value = decoder.position();
      DecodeValue(decoder);
      const char* end = decoder.position();
      visit(name, std::string_view(value, static_cast<size_t>(end - value)),
            std::string_view(pair, static_cast<size_t>(end - pair)));
    }
  }

 private:
  std::string_view bytes_;
};

}  // namespace stele::index
