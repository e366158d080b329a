// The certificate of an erasure: what the operator states to have destroyed. docs/format.md,
// "Erasure certificate", states the text; it travels as a signed note. It checks no signature.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/hash.h"

namespace stele::index {

struct ErasureCertificate {
  std::string origin;            // as of a checkpoint
  LogIndex entry = 0;            // that marked the content
  LogIndex completed = 0;        // that says that it is gone
  uint64_t items_count = 0;      // operations of the log that lost their content
  uint64_t snapshots_count = 0;  // files that were rewritten
  std::vector<Hash> records;     // record keys, ascending
  // The log in which both entries are.
  uint64_t size = 0;
  Hash root{};
};

// FROZEN: first line of the text.
inline constexpr std::string_view kErasureHeader = "stele/erasure-certificate@v1";

std::string EncodeErasureText(const ErasureCertificate& certificate);
// Nothing, and why, where the text is not of the form.
std::optional<ErasureCertificate> ParseErasureText(std::string_view text, std::string* error);

}  // namespace stele::index
