#include "tests/reference/values.h"

#include <bit>
#include <cmath>
#include <cstdlib>

#include "tests/reference/bytes.h"

namespace stele::reference {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}

  uint64_t Number(int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; ++i) {
      value += uint64_t{static_cast<unsigned char>(bytes_.at(at_++))} << (8 * i);
    }
    return value;
  }
  std::string Text() {
    const uint64_t size = Number(4);
    at_ += size;
    if (at_ > bytes_.size()) std::abort();
    return bytes_.substr(at_ - size, size);
  }
  size_t at() const { return at_; }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
};

Value ReadPayload(int type, Reader& reader) {
  Value value;
  value.type = type;
  if (type == 1) value.boolean = reader.Number(1) == 1;
  if (type == 2 || type == 6) value.integer = static_cast<int64_t>(reader.Number(8));
  if (type == 3) value.number = std::bit_cast<double>(reader.Number(8));
  if (type == 4 || type == 5) value.text = reader.Text();
  if (type == 7) {
    const int element_type = static_cast<int>(reader.Number(1));
    const uint64_t count = reader.Number(4);
    for (uint64_t i = 0; i < count; ++i) {
      value.elements.push_back(ReadPayload(element_type, reader));
    }
  }
  return value;
}

Value ReadValue(Reader& reader) {
  const int type = static_cast<int>(reader.Number(1));
  return ReadPayload(type, reader);
}

template <typename T>
int Order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

// An int64 against a double: ranges first, then whole parts, then what is behind the point.
int OrderMixed(int64_t a, double b) {
  constexpr double kTwo63 = 9223372036854775808.0;
  if (b >= kTwo63) return -1;
  if (b < -kTwo63) return 1;
  const double whole = std::trunc(b);
  if (const int order = Order(a, static_cast<int64_t>(whole)); order != 0) return order;
  return Order(whole, b);
}

bool EqualsAny(const Value& value, const std::vector<Value>& literals) {
  for (const Value& literal : literals) {
    if (Compare(value, literal) == 0) return true;
  }
  return false;
}

bool HoldsOf(index::Filter::Test test, const Value& value, const std::vector<Value>& literals) {
  using Test = index::Filter::Test;
  if (test == Test::kExists) return true;
  if (test == Test::kMissing) return false;
  if (test == Test::kEquals || test == Test::kOneOf) return EqualsAny(value, literals);
  if (test == Test::kNotEquals || test == Test::kNotOneOf) return !EqualsAny(value, literals);
  if (test == Test::kContains) {
    for (const Value& element : value.elements) {
      if (EqualsAny(element, literals)) return true;
    }
    return false;
  }
  const std::optional<int> order = Compare(value, literals.at(0));
  if (!order.has_value()) return false;
  if (test == Test::kLess) return *order < 0;
  if (test == Test::kLessOrEqual) return *order <= 0;
  if (test == Test::kGreater) return *order > 0;
  return *order >= 0;
}

}  // namespace

Value ParseValue(const std::string& encoded) {
  Reader reader(encoded);
  return ReadValue(reader);
}

Attributes ParseAttributes(const std::string& encoded) {
  Attributes attributes;
  if (encoded.empty()) return attributes;
  Reader reader(encoded);
  for (uint64_t left = reader.Number(4); left > 0; --left) {
    const std::string name = reader.Text();
    const size_t begin = reader.at();
    ReadValue(reader);
    attributes[name] = encoded.substr(begin, reader.at() - begin);
  }
  return attributes;
}

std::string EncodeAttributes(const Attributes& attributes) {
  if (attributes.empty()) return {};
  std::string out = U32(attributes.size());
  for (const auto& [name, value] : attributes) out += Sized(name) + value;
  return out;
}

std::optional<int> Compare(const Value& a, const Value& b) {
  if (a.type == 2 && b.type == 3) return OrderMixed(a.integer, b.number);
  if (a.type == 3 && b.type == 2) return -OrderMixed(b.integer, a.number);
  if (a.type != b.type || a.type == 7) return std::nullopt;
  if (a.type == 1) return Order(a.boolean, b.boolean);
  if (a.type == 3) return Order(a.number, b.number);
  if (a.type == 4 || a.type == 5) return Order(a.text, b.text);
  return Order(a.integer, b.integer);
}

bool Matches(const index::Filter& filter, const Attributes& attributes) {
  using Kind = index::Filter::Kind;
  if (filter.kind == Kind::kCondition) {
    const auto place = attributes.find(filter.attribute);
    if (place == attributes.end()) return filter.test == index::Filter::Test::kMissing;
    std::vector<Value> literals;
    for (const std::string& literal : filter.literals) literals.push_back(ParseValue(literal));
    return HoldsOf(filter.test, ParseValue(place->second), literals);
  }
  size_t matching = 0;
  for (const index::Filter& part : filter.parts) matching += Matches(part, attributes) ? 1 : 0;
  if (filter.kind == Kind::kAllOf) return matching == filter.parts.size();
  if (filter.kind == Kind::kAnyOf) return matching > 0;
  return matching == 0;
}

}  // namespace stele::reference
