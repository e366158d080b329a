// WatermarkFile: the small file that says up to which entry the journal is known to be durable.
//
// RocksDB does not know its last synced offset: after damage it opens with synced records silently
// missing. The watermark, written and synced after every batch, is what the journal is measured
// against. It does not know the journal.
//
// Two slots of one 512-byte sector each, 4096 bytes apart, written in turn: a torn write damages
// only the slot that was being replaced. docs/format-storage.md states the bytes.
//
// Thread safety: none; the owner serialises.
//
// Invariants:
// 1. After OK from Write, Read returns that watermark until the next Write begins, and then one of
//    the two.
// 2. Both slots unreadable is an error, never "no watermark".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/log_id.h"

namespace rocksdb {
class FileSystem;
class FSRandomRWFile;
}  // namespace rocksdb

namespace stele::storage {

// Entries up to and including `index` are durable, and `log_root` is the log's root after it.
struct Watermark {
  LogId log_id;
  uint64_t index = 0;
  std::array<uint8_t, 32> log_root{};

  bool operator==(const Watermark&) const = default;
};

// What a slot holds: as Watermark, but counted, so that "nothing yet" needs no special value.
struct WatermarkSlot {
  LogId log_id;
  uint64_t next_index = 0;  // entries below it are durable
  std::array<uint8_t, 32> log_root{};

  bool operator==(const WatermarkSlot&) const = default;
};

struct WatermarkState {
  WatermarkSlot slot;     // the valid slot with the highest next_index
  int position = 0;       // 0 or 1: where it stands
  int damaged_slots = 0;  // 0 or 1
};

class WatermarkFile {
 public:
  // Creates the file with both slots equal, and syncs it. `file_system` must outlive the object.
  static absl::Status Create(rocksdb::FileSystem& file_system, const std::string& path,
                             const WatermarkSlot& slot);

  // Reads without changing anything. Errors: DATA_LOSS naming the file (both slots damaged, or
  // missing), FAILED_PRECONDITION naming both ids (a slot of another log).
  static absl::StatusOr<WatermarkState> Read(rocksdb::FileSystem& file_system,
                                             const std::string& path, const LogId& log_id);

  // Opens for writing; `state` is what Read returned.
  static absl::StatusOr<std::unique_ptr<WatermarkFile>> Open(rocksdb::FileSystem& file_system,
                                                             const std::string& path,
                                                             const WatermarkState& state);

  ~WatermarkFile();
  WatermarkFile(const WatermarkFile&) = delete;
  WatermarkFile& operator=(const WatermarkFile&) = delete;

  // Overwrites the older slot and syncs. After an error the object must not be used again.
  absl::Status Write(const WatermarkSlot& slot);

 private:
  WatermarkFile(std::string path, std::unique_ptr<rocksdb::FSRandomRWFile> file, int next_position);

  const std::string path_;
  std::unique_ptr<rocksdb::FSRandomRWFile> file_;
  int next_position_;
};

}  // namespace stele::storage
