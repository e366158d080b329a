// The FORMAT file: which format a data directory has, which log it holds, where that log begins.
//
// It is written once, when the directory is created; its presence is what makes the directory a
// data directory. The same bytes stand inside the journal, so that a journal which was moved in
// from another directory is noticed. docs/format-storage.md states the bytes.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/log_id.h"

namespace stele::storage {

// The format that this program writes, and the newest that it reads.
constexpr uint32_t kFormatVersion = 1;
// More than any version of the file has.
constexpr size_t kFormatFileSizeMax = 4096;

struct DirectoryFormat {
  LogId log_id;
  uint64_t base_index = 0;

  bool operator==(const DirectoryFormat&) const = default;
};

std::string EncodeFormat(const DirectoryFormat& format);

// `where` names the bytes in messages. Errors: DATA_LOSS (damaged), FAILED_PRECONDITION (sound, but
// of another format version; both versions are named).
absl::StatusOr<DirectoryFormat> DecodeFormat(std::string_view bytes, std::string_view where);

}  // namespace stele::storage
