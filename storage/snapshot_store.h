// SnapshotStore: the snapshot files of a data directory, named by the entry they were taken after.
//
// It knows names, not content: whether a snapshot is the right one is for the reader to compute.
// A file "snapshot-<20 decimal digits>.stele" is complete by construction (AtomicFileWriter).
//
// Thread safety: may be used from any thread; a file that KeepNewest removes stays readable through
// the SnapshotFile objects that are open on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/atomic_file.h"

namespace stele::storage {

// A file mapped for reading. Its bytes do not change while it is open.
class SnapshotFile {
 public:
  // Maps any file, not only one of a store. Errors: NOT_FOUND, PERMISSION_DENIED.
  static absl::StatusOr<std::unique_ptr<SnapshotFile>> Open(const std::string& path);

  ~SnapshotFile();
  SnapshotFile(const SnapshotFile&) = delete;
  SnapshotFile& operator=(const SnapshotFile&) = delete;

  std::string_view bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  SnapshotFile(std::string path, std::string_view bytes);

  const std::string path_;
  const std::string_view bytes_;
};

class SnapshotStore {
 public:
  struct Options {
    // <data directory>/snapshots; made if missing.
    std::string directory;
    std::shared_ptr<rocksdb::FileSystem> file_system;  // null: the default one
    bool read_only = false;                            // changes nothing; NewWriter is refused
  };

  struct Listed {
    uint64_t index = 0;
    uint64_t size_bytes = 0;
    std::string path;
  };

  // Removes stale temporary files, so one store at a time may write to a directory.
  static absl::StatusOr<std::unique_ptr<SnapshotStore>> Open(const Options& options);

  // "snapshot-00000000000000000042.stele".
  static std::string FileName(uint64_t index);
  // Whether it is the name of some snapshot.
  static bool IsFileName(std::string_view name);

  const std::string& directory() const { return options_.directory; }

  // The file appears when the writer commits; a snapshot of the same index is replaced.
  absl::StatusOr<std::unique_ptr<AtomicFileWriter>> NewWriter(uint64_t index);

  // Newest first. Other files in the directory are not listed.
  absl::StatusOr<std::vector<Listed>> List() const;

  // NOT_FOUND if there is none of that index.
  absl::StatusOr<std::unique_ptr<SnapshotFile>> OpenSnapshot(uint64_t index) const;

  // Removes one snapshot durably. NOT_FOUND if there is none of that index.
  absl::Status Remove(uint64_t index);

  // Removes all but the `count` newest.
  absl::Status KeepNewest(size_t count);

 private:
  explicit SnapshotStore(Options options);

  const Options options_;
};

}  // namespace stele::storage
