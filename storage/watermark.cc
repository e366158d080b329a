#include "storage/watermark.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/bytes.h"
#include "storage/checksum.h"
#include "storage/file_util.h"

namespace stele::storage {
namespace {

// FROZEN: on disk. docs/format-storage.md, "watermark".
constexpr char kMagic[4] = {'S', 'T', 'W', 'M'};
constexpr uint32_t kVersion = 1;
constexpr size_t kSlotSize = 512;
constexpr size_t kSlotStride = 4096;
constexpr size_t kFileSize = kSlotStride + kSlotSize;
constexpr size_t kVersionOffset = 4;
constexpr size_t kLogIdOffset = 8;
constexpr size_t kNextIndexOffset = 24;
constexpr size_t kLogRootOffset = 32;
constexpr size_t kChecksumOffset = kSlotSize - kChecksumSize;
static_assert(kLogRootOffset + sizeof(WatermarkSlot::log_root) <= kChecksumOffset);

std::string EncodeSlot(const WatermarkSlot& slot) {
  std::string bytes(kSlotSize, '\0');
  std::memcpy(bytes.data(), kMagic, sizeof(kMagic));
  StoreBigEndian32(kVersion, bytes.data() + kVersionOffset);
  std::memcpy(bytes.data() + kLogIdOffset, slot.log_id.bytes.data(), slot.log_id.bytes.size());
  StoreBigEndian64(slot.next_index, bytes.data() + kNextIndexOffset);
  std::memcpy(bytes.data() + kLogRootOffset, slot.log_root.data(), slot.log_root.size());
  const Checksum checksum = ComputeChecksum(std::string_view(bytes).substr(0, kChecksumOffset));
  std::memcpy(bytes.data() + kChecksumOffset, checksum.data(), kChecksumSize);
  return bytes;
}

std::optional<WatermarkSlot> DecodeSlot(std::string_view bytes) {
  if (bytes.size() != kSlotSize) return std::nullopt;
  if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) return std::nullopt;
  if (LoadBigEndian32(bytes.data() + kVersionOffset) != kVersion) return std::nullopt;
  if (!ChecksumMatches(bytes.substr(kChecksumOffset), bytes.substr(0, kChecksumOffset))) {
    return std::nullopt;
  }
  WatermarkSlot slot;
  std::memcpy(slot.log_id.bytes.data(), bytes.data() + kLogIdOffset, slot.log_id.bytes.size());
  slot.next_index = LoadBigEndian64(bytes.data() + kNextIndexOffset);
  std::memcpy(slot.log_root.data(), bytes.data() + kLogRootOffset, slot.log_root.size());
  return slot;
}

}  // namespace

absl::Status WatermarkFile::Create(rocksdb::FileSystem& file_system, const std::string& path,
                                   const WatermarkSlot& slot) {
  const std::string encoded = EncodeSlot(slot);
  std::string bytes(kFileSize, '\0');
  bytes.replace(0, kSlotSize, encoded);
  bytes.replace(kSlotStride, kSlotSize, encoded);
  return WriteFileSynced(file_system, path, bytes);
}

absl::StatusOr<WatermarkState> WatermarkFile::Read(rocksdb::FileSystem& file_system,
                                                   const std::string& path, const LogId& log_id) {
  const absl::StatusOr<std::string> bytes = ReadFilePrefix(file_system, path, kFileSize);
  if (absl::IsNotFound(bytes.status())) {
    return absl::DataLossError(absl::StrCat("the watermark file ", path, " is missing"));
  }
  if (!bytes.ok()) return bytes.status();
  WatermarkState state;
  bool found = false;
  for (int position = 0; position < 2; ++position) {
    const size_t offset = static_cast<size_t>(position) * kSlotStride;
    const std::string_view rest = std::string_view(*bytes).substr(std::min(offset, bytes->size()));
    const std::optional<WatermarkSlot> slot = DecodeSlot(rest.substr(0, kSlotSize));
    if (!slot.has_value()) {
      ++state.damaged_slots;
      continue;
    }
    if (slot->log_id != log_id) {
      return absl::FailedPreconditionError(absl::StrCat("the watermark file ", path,
                                                        " belongs to log ", slot->log_id.ToHex(),
                                                        ", the directory to log ", log_id.ToHex()));
    }
    if (!found || slot->next_index > state.slot.next_index) {
      state.slot = *slot;
      state.position = position;
    }
    found = true;
  }
  if (!found) {
    return absl::DataLossError(absl::StrCat("both slots of the watermark file ", path,
                                            " are damaged: how far the log was durable is lost"));
  }
  return state;
}

absl::StatusOr<std::unique_ptr<WatermarkFile>> WatermarkFile::Open(rocksdb::FileSystem& file_system,
                                                                   const std::string& path,
                                                                   const WatermarkState& state) {
  std::unique_ptr<rocksdb::FSRandomRWFile> file;
  const rocksdb::IOStatus status = file_system.NewRandomRWFile(path, {}, &file, nullptr);
  if (!status.ok()) return FromRocks(status, path);
  return std::unique_ptr<WatermarkFile>(
      new WatermarkFile(path, std::move(file), 1 - state.position));
}

WatermarkFile::WatermarkFile(std::string path, std::unique_ptr<rocksdb::FSRandomRWFile> file,
                             int next_position)
    : path_(std::move(path)), file_(std::move(file)), next_position_(next_position) {}

WatermarkFile::~WatermarkFile() { file_->Close({}, nullptr).PermitUncheckedError(); }

absl::Status WatermarkFile::Write(const WatermarkSlot& slot) {
  const std::string bytes = EncodeSlot(slot);
  const uint64_t offset = static_cast<uint64_t>(next_position_) * kSlotStride;
  rocksdb::IOStatus status = file_->Write(offset, bytes, {}, nullptr);
  if (status.ok()) status = file_->Sync({}, nullptr);
  if (!status.ok()) return FromRocks(status, absl::StrCat("write of ", path_));
  next_position_ = 1 - next_position_;
  return absl::OkStatus();
}

}  // namespace stele::storage
