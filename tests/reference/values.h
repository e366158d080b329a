// Attribute values and filters of the reference: decoded into plain structures, compared in the
// most obvious way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "index/filter.h"

namespace stele::reference {

struct Value {
  int type = 0;  // numbers of docs/format.md
  bool boolean = false;
  int64_t integer = 0;  // and timestamps
  double number = 0;
  std::string text;  // and bytes
  std::vector<Value> elements;
};

using Attributes = std::map<std::string, std::string>;  // name -> encoded value

// REQUIRES: canonical bytes.
Value ParseValue(const std::string& encoded);
Attributes ParseAttributes(const std::string& encoded);
std::string EncodeAttributes(const Attributes& attributes);

// -1, 0 or 1; nothing where the types do not compare.
std::optional<int> Compare(const Value& a, const Value& b);

bool Matches(const index::Filter& filter, const Attributes& attributes);

}  // namespace stele::reference
