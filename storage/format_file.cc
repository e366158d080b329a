#include "storage/format_file.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "storage/bytes.h"
#include "storage/checksum.h"

namespace stele::storage {
namespace {

// FROZEN: on disk. docs/format-storage.md, "FORMAT". Every version begins with magic and version
// and ends with the checksum of all before it, so that newer is told from damaged.
constexpr std::string_view kMagic = "STELEDIR";
constexpr size_t kVersionOffset = 8;
constexpr size_t kLogIdOffset = 12;
constexpr size_t kBaseIndexOffset = 28;
constexpr size_t kChecksumOffset = 36;
constexpr size_t kFormatSize = kChecksumOffset + kChecksumSize;
static_assert(kFormatSize == 52);

}  // namespace

std::string EncodeFormat(const DirectoryFormat& format) {
  std::string bytes(kFormatSize, '\0');
  bytes.replace(0, kMagic.size(), kMagic);
  StoreBigEndian32(kFormatVersion, bytes.data() + kVersionOffset);
  std::memcpy(bytes.data() + kLogIdOffset, format.log_id.bytes.data(), format.log_id.bytes.size());
  StoreBigEndian64(format.base_index, bytes.data() + kBaseIndexOffset);
  const Checksum checksum = ComputeChecksum(std::string_view(bytes).substr(0, kChecksumOffset));
  std::memcpy(bytes.data() + kChecksumOffset, checksum.data(), kChecksumSize);
  return bytes;
}

absl::StatusOr<DirectoryFormat> DecodeFormat(std::string_view bytes, std::string_view where) {
  const std::string name(where);
  if (bytes.size() < kLogIdOffset + kChecksumSize || !bytes.starts_with(kMagic) ||
      !ChecksumMatches(bytes.substr(bytes.size() - kChecksumSize),
                       bytes.substr(0, bytes.size() - kChecksumSize))) {
    return absl::DataLossError(absl::StrCat(name, " is damaged"));
  }
  const uint32_t version = LoadBigEndian32(bytes.data() + kVersionOffset);
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, " has format version ", version, "; this program reads version ", kFormatVersion));
  }
  if (bytes.size() != kFormatSize) return absl::DataLossError(absl::StrCat(name, " is damaged"));
  DirectoryFormat format;
  std::memcpy(format.log_id.bytes.data(), bytes.data() + kLogIdOffset, format.log_id.bytes.size());
  format.base_index = LoadBigEndian64(bytes.data() + kBaseIndexOffset);
  return format;
}

}  // namespace stele::storage
