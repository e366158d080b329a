// Names and ids as they stand in error messages. A message travels in an HTTP/2 trailer of a few
// kilobytes, so what a client sent is shortened, and control characters and broken UTF-8 are
// escaped.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace stele::server {

// In double quotes, at most 64 bytes of it.
std::string Quote(std::string_view text);

// The packaged absl has a string_view of its own.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace stele::server
