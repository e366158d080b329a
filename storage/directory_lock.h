// DirectoryLock: one process at a time may use a data directory.
//
// An advisory lock (flock) on the file LOCK, released by the kernel when the process ends, however
// it ends. The file also holds the decimal process id of the last exclusive holder, for messages.
//
// Thread safety: plain ownership.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stele::storage {

class DirectoryLock {
 public:
  enum class Mode { kExclusive, kShared };

  // Errors: FAILED_PRECONDITION "data directory ... is in use by process N", PERMISSION_DENIED
  // (not writable; for kShared: not readable), NOT_FOUND (no directory, or for kShared no LOCK
  // file).
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Acquire(const std::string& directory,
                                                                Mode mode);

  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int descriptor);

  const int descriptor_;
};

}  // namespace stele::storage
