#include "storage/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/file_util.h"

namespace stele::storage {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

// Distinct among the writers of this process and, by the process id, of others.
std::string TemporaryPath(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return absl::StrCat(path, ".", getpid(), ".", counter.fetch_add(1),
                      std::string(AtomicFileWriter::kTemporarySuffix));
}

// An empty file with mode 0600 from its first moment; it is opened again by RocksDB, which leaves
// the mode alone.
absl::Status MakeOwnerOnly(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) {
    (void)close(file);
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("making ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AtomicFileWriter>> AtomicFileWriter::Create(
    const std::string& path, std::shared_ptr<rocksdb::FileSystem> file_system, Access access) {
  file_system = OrDefault(std::move(file_system));
  const std::string temporary_path = TemporaryPath(path);
  if (access == Access::kOwnerOnly) {
    const absl::Status made = MakeOwnerOnly(temporary_path);
    if (!made.ok()) return made;
  }
  std::unique_ptr<rocksdb::FSWritableFile> file;
  const rocksdb::IOStatus status = file_system->NewWritableFile(temporary_path, {}, &file, nullptr);
  if (!status.ok()) return FromRocks(status, temporary_path);
  return std::unique_ptr<AtomicFileWriter>(
      new AtomicFileWriter(path, temporary_path, std::move(file_system), std::move(file)));
}

absl::Status AtomicFileWriter::RemoveStale(const std::string& directory,
                                           std::shared_ptr<rocksdb::FileSystem> file_system) {
  file_system = OrDefault(std::move(file_system));
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(*file_system, directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!std::string_view(name).ends_with(kTemporarySuffix)) continue;
    const std::string path = JoinPath(directory, name);
    const rocksdb::IOStatus status = file_system->DeleteFile(path, {}, nullptr);
    if (!status.ok()) return FromRocks(status, absl::StrCat("removal of ", path));
  }
  return absl::OkStatus();
}

AtomicFileWriter::AtomicFileWriter(std::string path, std::string temporary_path,
                                   std::shared_ptr<rocksdb::FileSystem> file_system,
                                   std::unique_ptr<rocksdb::FSWritableFile> file)
    : path_(std::move(path)),
      temporary_path_(std::move(temporary_path)),
      file_system_(std::move(file_system)),
      file_(std::move(file)) {}

AtomicFileWriter::~AtomicFileWriter() { Abort(); }

absl::Status AtomicFileWriter::Append(std::string_view bytes) {
  if (file_ == nullptr) return absl::FailedPreconditionError(absl::StrCat(path_, " is closed"));
  if (!failure_.ok()) return failure_;
  buffer_.append(bytes);
  size_ += bytes.size();
  return buffer_.size() >= kBufferBytes ? FlushBuffer() : absl::OkStatus();
}

absl::Status AtomicFileWriter::Commit() {
  if (file_ == nullptr) return absl::FailedPreconditionError(absl::StrCat(path_, " is closed"));
  if (!failure_.ok()) return failure_;
  absl::Status status = FlushBuffer();
  if (!status.ok()) return status;
  const rocksdb::IOStatus synced = file_->Fsync({}, nullptr);
  if (!synced.ok()) return Fail(FromRocks(synced, absl::StrCat("sync of ", temporary_path_)));
  const rocksdb::IOStatus closed = file_->Close({}, nullptr);
  if (!closed.ok()) return Fail(FromRocks(closed, absl::StrCat("close of ", temporary_path_)));
  status = RenameFile(*file_system_, temporary_path_, path_);
  if (!status.ok()) return Fail(status);
  // From here the temporary name is gone, whatever the directory's sync says.
  file_.reset();
  return SyncDirectory(*file_system_, ParentDirectory(path_));
}

void AtomicFileWriter::Abort() {
  if (file_ == nullptr) return;
  file_->Close({}, nullptr).PermitUncheckedError();
  file_.reset();
  file_system_->DeleteFile(temporary_path_, {}, nullptr).PermitUncheckedError();
}

absl::Status AtomicFileWriter::FlushBuffer() {
  if (buffer_.empty()) return absl::OkStatus();
  const rocksdb::IOStatus status = file_->Append(buffer_, {}, nullptr);
  if (!status.ok()) return Fail(FromRocks(status, absl::StrCat("write of ", temporary_path_)));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status AtomicFileWriter::Fail(absl::Status status) {
  failure_ = status;
  return status;
}

}  // namespace stele::storage
