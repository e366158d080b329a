// What the texts of proofs share: how they are put together and taken apart. For index/ alone.
//
// Thread safety: pure functions.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "index/proof_text.h"

namespace stele::index {

inline std::string Join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(part);
  return text;
}

// parse(lines, value) says whether it could; where it could not, `*error` is what `lines` says.
template <typename Value, typename Parse>
std::optional<Value> ParseLines(std::string_view text, std::string* error, Parse&& parse) {
  LineParser lines(text);
  Value value;
  if (parse(lines, value)) return value;
  *error = lines.error();
  return std::nullopt;
}

}  // namespace stele::index
