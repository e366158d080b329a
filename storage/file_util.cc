#include "storage/file_util.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele::storage {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = status.ToString();
  const std::string message = absl::StrCat(View(what), ": ", text);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsNotFound() || status.IsPathNotFound()) return absl::NotFoundError(message);
  // RocksDB hands these two on as text only.
  if (absl::StrContains(text, "Permission denied") ||
      absl::StrContains(text, "Read-only file system")) {
    return absl::PermissionDeniedError(message);
  }
  return absl::InternalError(message);
}

std::shared_ptr<rocksdb::FileSystem> OrDefault(std::shared_ptr<rocksdb::FileSystem> file_system) {
  return file_system != nullptr ? std::move(file_system) : rocksdb::FileSystem::Default();
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

std::string ParentDirectory(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, std::max<size_t>(slash, 1)));
}

absl::StatusOr<bool> FileExists(rocksdb::FileSystem& file_system, const std::string& path) {
  const rocksdb::IOStatus status = file_system.FileExists(path, {}, nullptr);
  if (status.ok()) return true;
  if (status.IsNotFound()) return false;
  return FromRocks(status, path);
}

absl::StatusOr<std::vector<std::string>> ListDirectory(rocksdb::FileSystem& file_system,
                                                       const std::string& directory) {
  std::vector<std::string> names;
  const rocksdb::IOStatus status = file_system.GetChildren(directory, {}, &names, nullptr);
  if (!status.ok()) return FromRocks(status, directory);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> ReadFilePrefix(rocksdb::FileSystem& file_system,
                                           const std::string& path, size_t size_max) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  rocksdb::IOStatus status = file_system.NewSequentialFile(path, {}, &file, nullptr);
  if (!status.ok()) return FromRocks(status, path);
  std::string bytes(size_max, '\0');
  size_t filled = 0;
  while (filled < size_max) {
    rocksdb::Slice piece;
    char* const destination = bytes.data() + filled;
    status = file->Read(size_max - filled, {}, &piece, destination, nullptr);
    if (!status.ok()) return FromRocks(status, path);
    if (piece.empty()) break;
    if (piece.data() != destination) std::copy_n(piece.data(), piece.size(), destination);
    filled += piece.size();
  }
  bytes.resize(filled);
  return bytes;
}

absl::Status WriteFileSynced(rocksdb::FileSystem& file_system, const std::string& path,
                             std::string_view bytes) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  rocksdb::IOStatus status = file_system.NewWritableFile(path, {}, &file, nullptr);
  if (!status.ok()) return FromRocks(status, path);
  status = file->Append(rocksdb::Slice(bytes.data(), bytes.size()), {}, nullptr);
  if (status.ok()) status = file->Fsync({}, nullptr);
  const rocksdb::IOStatus closed = file->Close({}, nullptr);
  if (status.ok()) status = closed;
  return FromRocks(status, path);
}

absl::Status SyncDirectory(rocksdb::FileSystem& file_system, const std::string& directory) {
  std::unique_ptr<rocksdb::FSDirectory> handle;
  rocksdb::IOStatus status = file_system.NewDirectory(directory, {}, &handle, nullptr);
  if (!status.ok()) return FromRocks(status, directory);
  return FromRocks(handle->Fsync({}, nullptr), absl::StrCat("sync of directory ", directory));
}

absl::Status RenameFile(rocksdb::FileSystem& file_system, const std::string& from,
                        const std::string& to) {
  return FromRocks(file_system.RenameFile(from, to, {}, nullptr),
                   absl::StrCat("rename of ", from, " to ", to));
}

absl::Status RemoveTree(rocksdb::FileSystem& file_system, const std::string& path) {
  const absl::StatusOr<bool> exists = FileExists(file_system, path);
  if (!exists.ok()) return exists.status();
  if (!*exists) return absl::OkStatus();
  bool is_directory = false;
  const rocksdb::IOStatus status = file_system.IsDirectory(path, {}, &is_directory, nullptr);
  if (!status.ok()) return FromRocks(status, path);
  if (!is_directory) return FromRocks(file_system.DeleteFile(path, {}, nullptr), path);
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(file_system, path);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const absl::Status removed = RemoveTree(file_system, JoinPath(path, name));
    if (!removed.ok()) return removed;
  }
  return FromRocks(file_system.DeleteDir(path, {}, nullptr), path);
}

}  // namespace stele::storage
