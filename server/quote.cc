#include "server/quote.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "index/codec.h"

namespace stele::server {
namespace {

constexpr size_t kShownBytesMax = 64;

// The longest prefix within the limit that does not cut a character in two.
std::string_view Prefix(std::string_view text) {
  size_t size = kShownBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace

std::string Quote(std::string_view text) {
  const bool cut = text.size() > kShownBytesMax;
  const std::string_view shown = cut ? Prefix(text) : text;
  const std::string escaped =
      index::IsUtf8(shown) ? absl::Utf8SafeCHexEscape(View(shown)) : absl::CHexEscape(View(shown));
  return absl::StrCat("\"", escaped, cut ? "..." : "", "\"");
}

}  // namespace stele::server
