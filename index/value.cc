#include "index/value.h"

#include <bit>
#include <limits>

namespace stele::index {
namespace {

constexpr uint64_t kSignBit = uint64_t{1} << 63;
constexpr uint64_t kInfinityBits = 0x7ff0000000000000;
constexpr uint64_t kMinusTwo63Bits = 0xc3e0000000000000;

bool IsNan(uint64_t bits) { return (bits & ~kSignBit) > kInfinityBits; }

std::string Encoded(ValueType type, std::string_view payload) {
  std::string bytes(1, static_cast<char>(type));
  bytes.append(payload);
  return bytes;
}

std::string_view DecodePayload(ValueType type, Decoder& decoder) {
  switch (type) {
    case ValueType::kBool: {
      std::string_view payload = decoder.Raw(1);
      if (!payload.empty() && payload[0] != 0 && payload[0] != 1) decoder.Fail();
      return payload;
    }
    case ValueType::kInt64:
    case ValueType::kTimestamp:
      return decoder.Raw(8);
    case ValueType::kDouble: {
      std::string_view payload = decoder.Raw(8);
      uint64_t bits = Decoder(payload).U64();
      if (IsNan(bits) || bits == kSignBit) decoder.Fail();
      return payload;
    }
    case ValueType::kString:
    case ValueType::kBytes: {
      const char* begin = decoder.position();
      std::string_view text = decoder.Sized(kAttributesBytesMax);
      if (type == ValueType::kString && !IsUtf8(text)) decoder.Fail();
      return decoder.ok() ? std::string_view(begin, text.size() + 4) : std::string_view();
    }
    case ValueType::kList:
      break;
  }
  decoder.Fail();
  return {};
}

// A double cut off at the point; nothing where that is no int64.
struct Truncated {
  int64_t whole = 0;
  bool has_rest = false;
};
std::optional<Truncated> Truncate(uint64_t bits) {
  const bool negative = (bits & kSignBit) != 0;
  const uint64_t magnitude = bits & ~kSignBit;
  const int exponent = static_cast<int>(magnitude >> 52) - 1075;
  const uint64_t fraction = magnitude & ((uint64_t{1} << 52) - 1);
  const uint64_t mantissa = magnitude >> 52 == 0 ? fraction : fraction | (uint64_t{1} << 52);
  // |b| >= 2^63 unless the mantissa's 53 bits end below bit 63; and -2^63 is an int64, too.
  if (bits == kMinusTwo63Bits) return Truncated{std::numeric_limits<int64_t>::min(), false};
  if (exponent > 10) return std::nullopt;
  uint64_t whole = 0;
  bool has_rest = mantissa != 0;
  if (exponent >= 0) {
    whole = mantissa << exponent;
    has_rest = false;
  } else if (exponent > -64) {
    whole = mantissa >> -exponent;
    has_rest = (whole << -exponent) != mantissa;
  }
  return Truncated{negative ? -static_cast<int64_t>(whole) : static_cast<int64_t>(whole), has_rest};
}

// Order of an int64 and a double, by exact value.
std::strong_ordering CompareMixed(int64_t a, uint64_t bits) {
  const bool negative = (bits & kSignBit) != 0;
  const std::optional<Truncated> b = Truncate(bits);
  if (!b.has_value()) return negative ? std::strong_ordering::greater : std::strong_ordering::less;
  if (a != b->whole) return a <=> b->whole;
  if (!b->has_rest) return std::strong_ordering::equal;
  return negative ? std::strong_ordering::greater : std::strong_ordering::less;
}

// Maps binary64 bits to integers of the same order.
int64_t OrderKey(uint64_t bits) {
  return (bits & kSignBit) != 0 ? -static_cast<int64_t>(bits & ~kSignBit)
                                : static_cast<int64_t>(bits);
}

}  // namespace

std::string EncodeBool(bool value) {
  return Encoded(ValueType::kBool, value ? std::string_view("\1", 1) : std::string_view("\0", 1));
}

std::string EncodeInt64(int64_t value) {
  return Encoded(ValueType::kInt64, Encoder().I64(value).bytes());
}

std::string EncodeTimestamp(int64_t micros) {
  return Encoded(ValueType::kTimestamp, Encoder().I64(micros).bytes());
}

std::optional<std::string> EncodeDouble(uint64_t bits) {
  if (IsNan(bits)) return std::nullopt;
  return Encoded(ValueType::kDouble, Encoder().U64(bits == kSignBit ? 0 : bits).bytes());
}

std::optional<std::string> EncodeString(std::string_view text) {
  if (!IsUtf8(text)) return std::nullopt;
  return Encoded(ValueType::kString, Encoder().Sized(text).bytes());
}

std::string EncodeBytes(std::string_view bytes) {
  return Encoded(ValueType::kBytes, Encoder().Sized(bytes).bytes());
}

std::optional<std::string> EncodeList(std::span<const std::string> elements) {
  Encoder encoder;
  encoder.U8(static_cast<uint8_t>(ValueType::kList));
  encoder.U8(elements.empty() ? uint8_t{0} : static_cast<uint8_t>(elements[0][0]));
  encoder.U32(static_cast<uint32_t>(elements.size()));
  for (const std::string& element : elements) {
    if (element[0] != elements[0][0] || element[0] == static_cast<char>(ValueType::kList)) {
      return std::nullopt;
    }
    encoder.Raw(std::string_view(element).substr(1));
  }
  return encoder.Take();
}

ValueView DecodeValue(Decoder& decoder) {
  const auto type = static_cast<ValueType>(decoder.U8());
  if (type != ValueType::kList) return {type, DecodePayload(type, decoder)};
  const char* begin = decoder.position();
  const auto element_type = static_cast<ValueType>(decoder.U8());
  uint32_t count = decoder.U32();
  if ((count == 0) != (element_type == ValueType{0})) decoder.Fail();
  for (; count > 0 && decoder.ok(); --count) DecodePayload(element_type, decoder);
  if (!decoder.ok()) return {};
  return {type, std::string_view(begin, static_cast<size_t>(decoder.position() - begin))};
}

int64_t Int64Of(ValueView value) { return Decoder(value.payload).I64(); }

uint64_t DoubleBitsOf(ValueView value) { return Decoder(value.payload).U64(); }

std::string_view TextOf(ValueView value) { return value.payload.substr(4); }

std::vector<ValueView> ElementsOf(ValueView list) {
  Decoder decoder(list.payload);
  const auto type = static_cast<ValueType>(decoder.U8());
  std::vector<ValueView> elements(decoder.U32());
  for (ValueView& element : elements) element = {type, DecodePayload(type, decoder)};
  return elements;
}

std::optional<std::strong_ordering> Compare(ValueView a, ValueView b) {
  if (a.type == ValueType::kInt64 && b.type == ValueType::kDouble) {
    return CompareMixed(Int64Of(a), DoubleBitsOf(b));
  }
  if (a.type == ValueType::kDouble && b.type == ValueType::kInt64) {
    return 0 <=> CompareMixed(Int64Of(b), DoubleBitsOf(a));
  }
  if (a.type != b.type) return std::nullopt;
  switch (a.type) {
    case ValueType::kBool:
      return a.payload[0] <=> b.payload[0];
    case ValueType::kInt64:
    case ValueType::kTimestamp:
      return Int64Of(a) <=> Int64Of(b);
    case ValueType::kDouble:
      return OrderKey(DoubleBitsOf(a)) <=> OrderKey(DoubleBitsOf(b));
    case ValueType::kString:
    case ValueType::kBytes:
      return TextOf(a).compare(TextOf(b)) <=> 0;
    case ValueType::kList:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<int64_t> IntegerOf(ValueView value) {
  if (value.type == ValueType::kInt64) return Int64Of(value);
  if (value.type != ValueType::kDouble) return std::nullopt;
  const std::optional<Truncated> number = Truncate(DoubleBitsOf(value));
  if (!number.has_value() || number->has_rest) return std::nullopt;
  return number->whole;
}

std::string EncodeAttributes(const AttributeMap& attributes) {
  if (attributes.empty()) return {};
  Encoder encoder;
  encoder.U32(static_cast<uint32_t>(attributes.size()));
  for (const auto& [name, value] : attributes) encoder.Sized(name).Raw(value);
  return encoder.Take();
}

bool DecodeAttributes(std::string_view bytes, AttributeMap* attributes) {
  attributes->clear();
  if (bytes.empty()) return true;
  if (bytes.size() > kAttributesBytesMax) return false;
  Decoder decoder(bytes);
  const uint32_t count = decoder.U32();
  if (count == 0 || count > kAttributesMax) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view name = decoder.Sized(kAttributeNameBytesMax);
    const char* begin = decoder.position();
    DecodeValue(decoder);
    if (!decoder.ok() || name.empty() || !IsUtf8(name)) return false;
    if (i > 0 && name <= attributes->back().first) return false;
    attributes->emplace_back(name,
                             std::string(begin, static_cast<size_t>(decoder.position() - begin)));
  }
  return decoder.Done();
}

std::optional<ValueView> AttributesView::Find(std::string_view name) const {
  Decoder decoder(bytes_);
  for (uint32_t left = bytes_.empty() ? 0 : decoder.U32(); left > 0; --left) {
    std::string_view candidate = decoder.Sized(bytes_.size());
    ValueView value = DecodeValue(decoder);
    if (candidate == name) return value;
  }
  return std::nullopt;
}

}  // namespace stele::index
