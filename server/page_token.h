// Page tokens: where a listing goes on, on which state, and for which arguments. Opaque to clients;
// a checksum finds damage, it is no secret: a token gives no right that its holder has not anyway.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "index/types.h"
#include "storage/log_id.h"

namespace stele::server {

struct PageToken {
  storage::LogId log_id;
  index::LogIndex index = 0;    // the state of all pages
  uint64_t arguments_hash = 0;  // HashArguments of what must not change between pages
  std::string last;             // the last name or id that was returned
};

// Base64url, without padding.
std::string EncodePageToken(const PageToken& token);
// Nothing for what EncodePageToken does not write.
std::optional<PageToken> DecodePageToken(std::string_view text);

// A hash of canonical bytes.
uint64_t HashArguments(std::string_view canonical);

}  // namespace stele::server
