#include "server/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "index/codec.h"
#include "server/quote.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace stele::server {
namespace {

constexpr uint8_t kFormat = 1;

}  // namespace

uint64_t HashArguments(std::string_view canonical) {
  return XXH3_64bits(canonical.data(), canonical.size());
}

std::string EncodePageToken(const PageToken& token) {
  const auto& id = token.log_id.bytes;
  index::Encoder encoder;
  encoder.U8(kFormat).Raw({reinterpret_cast<const char*>(id.data()), id.size()});
  encoder.U64(token.index).U64(token.arguments_hash).Sized(token.last);
  encoder.U64(HashArguments(encoder.bytes()));
  return absl::WebSafeBase64Escape(encoder.bytes());
}

std::optional<PageToken> DecodePageToken(std::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(View(text), &bytes)) return std::nullopt;
  index::Decoder decoder(bytes);
  PageToken token;
  if (decoder.U8() != kFormat) return std::nullopt;
  const std::string_view id = decoder.Raw(token.log_id.bytes.size());
  if (!decoder.ok()) return std::nullopt;
  std::copy(id.begin(), id.end(), token.log_id.bytes.begin());
  token.index = decoder.U64();
  token.arguments_hash = decoder.U64();
  token.last = decoder.Sized(index::kIdBytesMax);
  decoder.U64();
  // Compares the checksum, and refuses the other spellings that base64 has of the same bytes.
  if (!decoder.Done() || EncodePageToken(token) != text) return std::nullopt;
  return token;
}

}  // namespace stele::server
