#include "storage/snapshot_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/file_util.h"

namespace stele::storage {
namespace {

// FROZEN: on disk.
constexpr std::string_view kPrefix = "snapshot-";
constexpr std::string_view kSuffix = ".stele";
constexpr size_t kIndexDigits = 20;

std::optional<uint64_t> ParseFileName(std::string_view name) {
  if (name.size() != kPrefix.size() + kIndexDigits + kSuffix.size()) return std::nullopt;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size(), kIndexDigits);
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  uint64_t index = 0;
  // Fails for 20 digits beyond 2^64 - 1.
  if (!absl::SimpleAtoi({digits.data(), digits.size()}, &index)) return std::nullopt;
  return index;
}

absl::Status FromErrno(int error, const std::string& path) {
  const std::string message = absl::StrCat(path, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InternalError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotFile>> SnapshotFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FromErrno(errno, path);
  struct stat attributes;
  std::string_view bytes;
  int error = 0;
  if (fstat(descriptor, &attributes) != 0) {
    error = errno;
  } else if (!S_ISREG(attributes.st_mode)) {
    error = EINVAL;
  } else if (static_cast<uint64_t>(attributes.st_size) > std::numeric_limits<size_t>::max() / 2) {
    error = EFBIG;
  } else if (attributes.st_size > 0) {
    const size_t size = static_cast<size_t>(attributes.st_size);
    void* const address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      error = errno;
    } else {
      madvise(address, size, MADV_SEQUENTIAL);
      bytes = {static_cast<const char*>(address), size};
    }
  }
  close(descriptor);
  if (error != 0) return FromErrno(error, path);
  return std::unique_ptr<SnapshotFile>(new SnapshotFile(path, bytes));
}

SnapshotFile::SnapshotFile(std::string path, std::string_view bytes)
    : path_(std::move(path)), bytes_(bytes) {}

SnapshotFile::~SnapshotFile() {
  if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

absl::StatusOr<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(const Options& options) {
  Options resolved = options;
  resolved.file_system = OrDefault(options.file_system);
  rocksdb::FileSystem& file_system = *resolved.file_system;
  if (!options.read_only) {
    const absl::StatusOr<bool> exists = FileExists(file_system, options.directory);
    if (!exists.ok()) return exists.status();
    if (!*exists) {
      absl::Status status = FromRocks(
          file_system.CreateDirIfMissing(options.directory, {}, nullptr), options.directory);
      if (status.ok()) status = SyncDirectory(file_system, ParentDirectory(options.directory));
      if (!status.ok()) return status;
    }
    const absl::Status removed =
        AtomicFileWriter::RemoveStale(options.directory, resolved.file_system);
    if (!removed.ok()) return removed;
  }
  return std::unique_ptr<SnapshotStore>(new SnapshotStore(std::move(resolved)));
}

SnapshotStore::SnapshotStore(Options options) : options_(std::move(options)) {}

bool SnapshotStore::IsFileName(std::string_view name) { return ParseFileName(name).has_value(); }

std::string SnapshotStore::FileName(uint64_t index) {
  const std::string digits = absl::StrCat(index);
  return absl::StrCat(std::string(kPrefix), std::string(kIndexDigits - digits.size(), '0'), digits,
                      std::string(kSuffix));
}

absl::StatusOr<std::unique_ptr<AtomicFileWriter>> SnapshotStore::NewWriter(uint64_t index) {
  if (options_.read_only) {
    return absl::FailedPreconditionError(absl::StrCat(options_.directory, " was opened read-only"));
  }
  return AtomicFileWriter::Create(JoinPath(options_.directory, FileName(index)),
                                  options_.file_system);
}

absl::StatusOr<std::vector<SnapshotStore::Listed>> SnapshotStore::List() const {
  const absl::StatusOr<std::vector<std::string>> names =
      ListDirectory(*options_.file_system, options_.directory);
  if (absl::IsNotFound(names.status()) && options_.read_only) return std::vector<Listed>();
  if (!names.ok()) return names.status();
  std::vector<Listed> listed;
  // The names are sorted, and by their fixed width so are the indices.
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    const std::optional<uint64_t> index = ParseFileName(*name);
    if (!index.has_value()) continue;
    Listed file{*index, 0, JoinPath(options_.directory, *name)};
    const rocksdb::IOStatus status =
        options_.file_system->GetFileSize(file.path, {}, &file.size_bytes, nullptr);
    // One that KeepNewest has removed in between is not there.
    if (status.IsNotFound() || status.IsPathNotFound()) continue;
    if (!status.ok()) return FromRocks(status, file.path);
    listed.push_back(std::move(file));
  }
  return listed;
}

absl::StatusOr<std::unique_ptr<SnapshotFile>> SnapshotStore::OpenSnapshot(uint64_t index) const {
  return SnapshotFile::Open(JoinPath(options_.directory, FileName(index)));
}

absl::Status SnapshotStore::Remove(uint64_t index) {
  if (options_.read_only) {
    return absl::FailedPreconditionError(absl::StrCat(options_.directory, " was opened read-only"));
  }
  const std::string path = JoinPath(options_.directory, FileName(index));
  const absl::Status status = FromRocks(options_.file_system->DeleteFile(path, {}, nullptr),
                                        absl::StrCat("removal of ", path));
  return status.ok() ? SyncDirectory(*options_.file_system, options_.directory) : status;
}

absl::Status SnapshotStore::KeepNewest(size_t count) {
  const absl::StatusOr<std::vector<Listed>> listed = List();
  if (!listed.ok()) return listed.status();
  for (size_t i = count; i < listed->size(); ++i) {
    const absl::Status status = Remove((*listed)[i].index);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace stele::storage
