#include "storage/ballast.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "storage/file_util.h"
#include "storage/layout.h"

namespace stele::storage {
namespace {

// The disk must be far from full for a ballast to be worth its room.
constexpr uint64_t kShareOfFree = 16;

}  // namespace

bool DropBallast(const std::string& directory) {
  return unlink(JoinPath(directory, kBallastName).c_str()) == 0;
}

absl::Status KeepBallast(const std::string& directory, uint64_t bytes) {
  const std::string path = JoinPath(directory, kBallastName);
  struct stat found {};
  if (stat(path.c_str(), &found) == 0) {
    if (bytes > 0 && static_cast<uint64_t>(found.st_size) == bytes) return absl::OkStatus();
    DropBallast(directory);
  }
  if (bytes == 0) return absl::OkStatus();
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0 ||
      uint64_t{disk.f_bavail} * disk.f_frsize / kShareOfFree < bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        path, ": the file system has less than ", kShareOfFree, " times ", bytes, " bytes left"));
  }
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const int error = file < 0 ? errno : posix_fallocate(file, 0, static_cast<off_t>(bytes));
  if (file >= 0) close(file);
  if (error == 0) return absl::OkStatus();
  DropBallast(directory);
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": no room could be set aside: ", strerror(error)));
}

}  // namespace stele::storage
