// Predicates over attributes. Their meaning is log format, because delete-by-filter is replayed for
// ever: docs/protocol.md, "Filters". Thread-safe once built.
//
// Invariants: a record without the attribute fails every test but Exists(false); a value of another
// type fails every test but NotEquals, NotOneOf and Exists(true); kNoneOf is logical negation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/codec.h"
#include "index/value.h"

namespace stele::index {

struct Filter {
  // FROZEN: on disk.
  enum class Kind : uint8_t { kCondition = 1, kAllOf = 2, kAnyOf = 3, kNoneOf = 4 };
  // FROZEN: on disk.
  enum class Test : uint8_t {
    kEquals = 1,
    kNotEquals = 2,
    kOneOf = 3,
    kNotOneOf = 4,
    kLess = 5,
    kLessOrEqual = 6,
    kGreater = 7,
    kGreaterOrEqual = 8,
    kExists = 9,
    kMissing = 10,
    kContains = 11,
  };

  Kind kind = Kind::kAllOf;
  std::vector<Filter> parts;  // kAllOf, kAnyOf, kNoneOf
  Test test = Test::kEquals;  // kCondition
  std::string attribute;      // kCondition
  // Encoded scalars: none for kExists and kMissing, any number for kOneOf and kNotOneOf, else one.
  std::vector<std::string> literals;

  bool Matches(AttributesView attributes) const;
};

// What kFilterConditionsMax limits: conditions, a one-of list counted by its literals, and empty
// lists.
uint32_t ConditionCount(const Filter& filter);
uint32_t Depth(const Filter& filter);

// REQUIRES: within the limits, literals scalar.
void EncodeFilter(const Filter& filter, Encoder& encoder);
// Fails the decoder on anything that EncodeFilter does not write, or beyond the limits.
Filter DecodeFilter(Decoder& decoder);

}  // namespace stele::index
