#include "storage/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "storage/file_util.h"
#include "storage/layout.h"

namespace stele::storage {
namespace {

absl::Status OpenError(const std::string& directory, const std::string& path,
                       DirectoryLock::Mode mode, int error) {
  const std::string reason = std::strerror(error);
  if (error == EACCES || error == EPERM || error == EROFS) {
    const char* const lacking =
        mode == DirectoryLock::Mode::kExclusive ? " is not writable: " : " is not readable: ";
    return absl::PermissionDeniedError(absl::StrCat("data directory ", directory, lacking, reason));
  }
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat(path, ": ", reason));
  if (error == ENOSPC) return absl::ResourceExhaustedError(absl::StrCat(path, ": ", reason));
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", reason));
}

std::string Holder(int descriptor) {
  char text[32];
  const ssize_t size = pread(descriptor, text, sizeof(text), 0);
  if (size <= 0) return "another process";
  const absl::string_view pid =
      absl::StripAsciiWhitespace(absl::string_view(text, static_cast<size_t>(size)));
  if (pid.find_first_not_of("0123456789") != absl::string_view::npos) return "another process";
  return absl::StrCat("process ", pid);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryLock>> DirectoryLock::Acquire(const std::string& directory,
                                                                      Mode mode) {
  const std::string path = JoinPath(directory, kLockName);
  const int flags = mode == Mode::kExclusive ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC;
  const int descriptor = open(path.c_str(), flags, 0600);
  if (descriptor < 0) return OpenError(directory, path, mode, errno);
  const int operation = (mode == Mode::kExclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (flock(descriptor, operation) != 0) {
    const int error = errno;
    const std::string holder = Holder(descriptor);
    close(descriptor);
    if (error == EWOULDBLOCK) {
      return absl::FailedPreconditionError(
          absl::StrCat("data directory ", directory, " is in use by ", holder));
    }
    return absl::InternalError(absl::StrCat("lock of ", path, ": ", std::strerror(error)));
  }
  if (mode == Mode::kExclusive) {
    // For messages only: a failure here costs a process id, not the lock.
    const std::string pid = absl::StrCat(getpid(), "\n");
    if (ftruncate(descriptor, 0) == 0) {
      [[maybe_unused]] const ssize_t written = pwrite(descriptor, pid.data(), pid.size(), 0);
    }
  }
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(descriptor));
}

DirectoryLock::DirectoryLock(int descriptor) : descriptor_(descriptor) {}

DirectoryLock::~DirectoryLock() { close(descriptor_); }

}  // namespace stele::storage
