// AtomicFileWriter: a file that appears under its name complete and synced, or not at all.
//
// It writes under a temporary name in the same directory; Commit syncs, renames and syncs the
// directory. It does not read, and does not lock: two writers of one name both succeed and the
// later Commit wins.
//
// Thread safety: one thread at a time.
//
// Invariants:
// 1. Until Commit has returned OK the name holds what it held before.
// 2. A writer that is destroyed without a successful Commit removes its temporary file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace rocksdb {
class FileSystem;
class FSWritableFile;
}  // namespace rocksdb

namespace stele::storage {

class AtomicFileWriter {
 public:
  // The suffix of every temporary name.
  static constexpr std::string_view kTemporarySuffix = ".tmp";

  // Who may read the file: whom the umask allows, or its owner alone, whatever the umask.
  enum class Access { kByUmask, kOwnerOnly };

  // `file_system` null means the default one. The directory of `path` must exist.
  static absl::StatusOr<std::unique_ptr<AtomicFileWriter>> Create(
      const std::string& path, std::shared_ptr<rocksdb::FileSystem> file_system = nullptr,
      Access access = Access::kByUmask);

  // Removes the temporary files in `directory`. Call it before any writer is at work there.
  static absl::Status RemoveStale(const std::string& directory,
                                  std::shared_ptr<rocksdb::FileSystem> file_system = nullptr);

  ~AtomicFileWriter();
  AtomicFileWriter(const AtomicFileWriter&) = delete;
  AtomicFileWriter& operator=(const AtomicFileWriter&) = delete;

  // Buffered. RESOURCE_EXHAUSTED: no space. After an error only the destructor may follow.
  absl::Status Append(std::string_view bytes);

  // Makes the file durable under its name. Nothing may be appended afterwards.
  absl::Status Commit();

  // Removes the temporary file; does nothing after Commit.
  void Abort();

  const std::string& path() const { return path_; }
  // Bytes appended so far.
  uint64_t size() const { return size_; }

 private:
  AtomicFileWriter(std::string path, std::string temporary_path,
                   std::shared_ptr<rocksdb::FileSystem> file_system,
                   std::unique_ptr<rocksdb::FSWritableFile> file);

  absl::Status FlushBuffer();
  absl::Status Fail(absl::Status status);

  const std::string path_;
  const std::string temporary_path_;
  std::shared_ptr<rocksdb::FileSystem> file_system_;
  std::unique_ptr<rocksdb::FSWritableFile> file_;  // null after Commit or Abort
  std::string buffer_;
  uint64_t size_ = 0;
  absl::Status failure_;
};

}  // namespace stele::storage
