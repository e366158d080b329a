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

inline std::string Base64(const Hash& hash) { return EncodeBase64(AsBytes(hash)); }

// What every key id of c2sp.org/signed-note is: the first 4 bytes of SHA-256(name, 0x0a, type,
// public key).
KeyId HashKeyId(std::string_view name, std::string_view type, const PublicKey& key);
// NAME+HEX KEY ID+BASE64 of the type and the public key.
std::string EncodeKey(std::string_view type, const NoteKey& key);
// Nothing, and why, where the text is not that of a key of this type. `noun` and `form` are for the
// error: "a <noun> is NAME+KEY ID+BASE64<form>".
std::optional<NoteKey> ParseKey(std::string_view type, std::string_view noun, std::string_view form,
                                std::string_view text, std::string* error);

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
