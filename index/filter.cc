#include "index/filter.h"

#include <algorithm>

namespace stele::index {
namespace {

ValueView Literal(const std::string& encoded) {
  Decoder decoder(encoded);
  return DecodeValue(decoder);
}

bool AnyEqual(const std::vector<std::string>& literals, ValueView value) {
  return std::any_of(literals.begin(), literals.end(), [&](const std::string& literal) {
    return Compare(value, Literal(literal)) == std::strong_ordering::equal;
  });
}

bool Holds(Filter::Test test, const std::vector<std::string>& literals, ValueView value) {
  using Test = Filter::Test;
  switch (test) {
    case Test::kExists:
      return true;
    case Test::kMissing:
      return false;
    case Test::kEquals:
    case Test::kOneOf:
      return AnyEqual(literals, value);
    case Test::kNotEquals:
    case Test::kNotOneOf:
      return !AnyEqual(literals, value);
    case Test::kContains: {
      if (value.type != ValueType::kList) return false;
      std::vector<ValueView> elements = ElementsOf(value);
      return std::any_of(elements.begin(), elements.end(),
                         [&](ValueView element) { return AnyEqual(literals, element); });
    }
    case Test::kLess:
    case Test::kLessOrEqual:
    case Test::kGreater:
    case Test::kGreaterOrEqual:
      break;
  }
  const auto order = Compare(value, Literal(literals[0]));
  if (!order.has_value()) return false;
  if (test == Test::kLess) return *order < 0;
  if (test == Test::kLessOrEqual) return *order <= 0;
  if (test == Test::kGreater) return *order > 0;
  return *order >= 0;
}

// How many literals a test takes: exactly 0, exactly 1, or any number.
bool LiteralCountFits(Filter::Test test, size_t count) {
  switch (test) {
    case Filter::Test::kExists:
    case Filter::Test::kMissing:
      return count == 0;
    case Filter::Test::kOneOf:
    case Filter::Test::kNotOneOf:
      return true;
    default:
      return count == 1;
  }
}

Filter DecodeNode(Decoder& decoder, uint32_t depth, uint32_t* budget) {
  Filter filter;
  if (depth > kFilterDepthMax) {
    decoder.Fail();
    return filter;
  }
  filter.kind = static_cast<Filter::Kind>(decoder.U8());
  if (filter.kind == Filter::Kind::kCondition) {
    filter.test = static_cast<Filter::Test>(decoder.U8());
    filter.attribute = decoder.Sized(kAttributeNameBytesMax);
    uint32_t count = decoder.U32();
    const uint32_t cost =
        filter.test == Filter::Test::kOneOf || filter.test == Filter::Test::kNotOneOf ? count : 1;
    if (filter.test < Filter::Test::kEquals || filter.test > Filter::Test::kContains ||
        filter.attribute.empty() || !IsUtf8(filter.attribute) ||
        !LiteralCountFits(filter.test, count) || std::max(cost, 1u) > *budget) {
      decoder.Fail();
      return filter;
    }
    *budget -= std::max(cost, 1u);
    for (; count > 0 && decoder.ok(); --count) {
      const char* begin = decoder.position();
      if (DecodeValue(decoder).type == ValueType::kList) decoder.Fail();
      if (!decoder.ok()) return filter;
      filter.literals.emplace_back(begin, static_cast<size_t>(decoder.position() - begin));
    }
    return filter;
  }
  const uint32_t count = decoder.U32();
  const uint32_t cost = count == 0 ? 1 : 0;
  if (filter.kind < Filter::Kind::kAllOf || filter.kind > Filter::Kind::kNoneOf ||
      count > decoder.remaining() || cost > *budget) {
    decoder.Fail();
    return filter;
  }
  *budget -= cost;
  for (uint32_t i = 0; i < count && decoder.ok(); ++i) {
    filter.parts.push_back(DecodeNode(decoder, depth + 1, budget));
  }
  return filter;
}

}  // namespace

bool Filter::Matches(AttributesView attributes) const {
  const auto matches = [&](const Filter& part) { return part.Matches(attributes); };
  switch (kind) {
    case Kind::kAllOf:
      return std::all_of(parts.begin(), parts.end(), matches);
    case Kind::kAnyOf:
      return std::any_of(parts.begin(), parts.end(), matches);
    case Kind::kNoneOf:
      return std::none_of(parts.begin(), parts.end(), matches);
    case Kind::kCondition:
      break;
  }
  const std::optional<ValueView> value = attributes.Find(attribute);
  if (!value.has_value()) return test == Test::kMissing;
  return Holds(test, literals, *value);
}

uint32_t ConditionCount(const Filter& filter) {
  if (filter.kind == Filter::Kind::kCondition) {
    return std::max<uint32_t>(1, static_cast<uint32_t>(filter.literals.size()));
  }
  uint32_t count = filter.parts.empty() ? 1 : 0;
  for (const Filter& part : filter.parts) count += ConditionCount(part);
  return count;
}

uint32_t Depth(const Filter& filter) {
  uint32_t depth = 0;
  for (const Filter& part : filter.parts) depth = std::max(depth, Depth(part));
  return depth + 1;
}

void EncodeFilter(const Filter& filter, Encoder& encoder) {
  encoder.U8(static_cast<uint8_t>(filter.kind));
  if (filter.kind == Filter::Kind::kCondition) {
    encoder.U8(static_cast<uint8_t>(filter.test)).Sized(filter.attribute);
    encoder.U32(static_cast<uint32_t>(filter.literals.size()));
    for (const std::string& literal : filter.literals) encoder.Raw(literal);
    return;
  }
  encoder.U32(static_cast<uint32_t>(filter.parts.size()));
  for (const Filter& part : filter.parts) EncodeFilter(part, encoder);
}

Filter DecodeFilter(Decoder& decoder) {
  uint32_t budget = kFilterConditionsMax;
  return DecodeNode(decoder, 1, &budget);
}

}  // namespace stele::index
