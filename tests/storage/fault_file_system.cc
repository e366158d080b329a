#include "tests/storage/fault_file_system.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace stele::storage {
namespace {

namespace fs = std::filesystem;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// "a//b/" and "a/b" are one name.
std::string Normal(const std::string& path) {
  std::string normal = fs::path(path).lexically_normal().string();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

std::string Parent(const std::string& path) { return fs::path(path).parent_path().string(); }

class WritableFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(FaultFileSystem& owner, std::string path,
               std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = owner_.Enter(FileOperation::kAppend, path_);
    if (status.ok()) status = FSWritableFileOwnerWrapper::Append(data, options, debug);
    if (status.ok()) owner_.NoteAppend(path_, data.size());
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = owner_.Enter(FileOperation::kTruncate, path_);
    if (status.ok()) status = FSWritableFileOwnerWrapper::Truncate(size, options, debug);
    if (status.ok()) owner_.NoteTruncate(path_, size);
    return status;
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = owner_.Enter(FileOperation::kSync, path_);
    if (status.ok()) status = FSWritableFileOwnerWrapper::Flush(options, debug);
    if (status.ok()) owner_.NoteSync(path_);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();  // promises nothing
  }
  // In memory every preallocated page would be filled.
  void PrepareWrite(size_t, size_t, const IOOptions&, IODebugContext*) override {}
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FaultFileSystem& owner_;
  const std::string path_;
};

class RandomRWFile : public rocksdb::FSRandomRWFileOwnerWrapper {
 public:
  RandomRWFile(FaultFileSystem& owner, std::string path,
               std::unique_ptr<rocksdb::FSRandomRWFile> file)
      : FSRandomRWFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}

  IOStatus Write(uint64_t offset, const Slice& data, const IOOptions& options,
                 IODebugContext* debug) override {
    IOStatus status = owner_.Enter(FileOperation::kWriteAt, path_);
    if (!status.ok()) return status;
    std::string scratch(data.size(), '\0');
    Slice old;
    status = Read(offset, data.size(), options, &old, scratch.data(), debug);
    if (!status.ok()) return status;
    status = FSRandomRWFileOwnerWrapper::Write(offset, data, options, debug);
    if (status.ok()) owner_.NoteWriteAt(path_, offset, old.ToString(), data.ToString());
    return status;
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    IOStatus status = owner_.Enter(FileOperation::kSync, path_);
    if (status.ok()) owner_.NoteSync(path_);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }

 private:
  FaultFileSystem& owner_;
  const std::string path_;
};

class SequentialFile : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  SequentialFile(FaultFileSystem& owner, std::string path,
                 std::unique_ptr<rocksdb::FSSequentialFile> file)
      : FSSequentialFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}

  IOStatus Read(size_t size, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) override {
    const IOStatus status =
        FSSequentialFileOwnerWrapper::Read(size, options, result, scratch, debug);
    return status.ok() ? owner_.AfterRead(path_, result, scratch) : status;
  }

 private:
  FaultFileSystem& owner_;
  const std::string path_;
};

class RandomAccessFile : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  RandomAccessFile(FaultFileSystem& owner, std::string path,
                   std::unique_ptr<rocksdb::FSRandomAccessFile> file)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}

  IOStatus Read(uint64_t offset, size_t size, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    const IOStatus status =
        FSRandomAccessFileOwnerWrapper::Read(offset, size, options, result, scratch, debug);
    return status.ok() ? owner_.AfterRead(path_, result, scratch) : status;
  }
  // One by one, so that each passes the hook.
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext* debug) override {
    for (size_t i = 0; i < count; ++i) {
      rocksdb::FSReadRequest& one = requests[i];
      one.status = Read(one.offset, one.len, options, &one.result, one.scratch, debug);
    }
    return IOStatus::OK();
  }

 private:
  FaultFileSystem& owner_;
  const std::string path_;
};

class Directory : public rocksdb::FSDirectoryWrapper {
 public:
  Directory(FaultFileSystem& owner, std::string path,
            std::unique_ptr<rocksdb::FSDirectory> directory)
      : FSDirectoryWrapper(std::move(directory)), owner_(owner), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    IOStatus status = owner_.Enter(FileOperation::kSyncDirectory, path_);
    if (status.ok()) owner_.NoteSyncDirectory(path_);
    return status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }

 private:
  FaultFileSystem& owner_;
  const std::string path_;
};

void WriteAt(const std::string& path, uint64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

FaultFileSystem::FaultFileSystem(std::string graveyard)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), graveyard_(std::move(graveyard)) {}

void FaultFileSystem::SetHook(Hook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

void FaultFileSystem::SetReadHook(ReadHook hook) {
  const std::lock_guard lock(mutex_);
  read_hook_ = std::move(hook);
}

IOStatus FaultFileSystem::AfterRead(const std::string& path, Slice* result, char* scratch) {
  const std::lock_guard lock(mutex_);
  if (!read_hook_) return IOStatus::OK();
  if (result->data() != scratch) std::memcpy(scratch, result->data(), result->size());
  *result = Slice(scratch, result->size());
  return read_hook_(read_count_++, path, scratch, result->size());
}

uint64_t FaultFileSystem::operation_count() const {
  const std::lock_guard lock(mutex_);
  return operation_count_;
}

IOStatus FaultFileSystem::Enter(FileOperation operation, const std::string& path) {
  const std::lock_guard lock(mutex_);
  const uint64_t number = operation_count_++;
  return hook_ ? hook_(number, operation, path) : IOStatus::OK();
}

void FaultFileSystem::NoteAppend(const std::string& path, uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(path);
  if (file != files_.end()) file->second.size += size;
}

void FaultFileSystem::NoteWriteAt(const std::string& path, uint64_t offset, std::string old_bytes,
                                  std::string new_bytes) {
  const std::lock_guard lock(mutex_);
  files_[path].overwrites.push_back({offset, std::move(old_bytes), std::move(new_bytes)});
}

void FaultFileSystem::NoteSync(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(path);
  if (file == files_.end()) return;
  file->second.synced_size = file->second.size;
  file->second.synced = true;
  file->second.overwrites.clear();
}

void FaultFileSystem::NoteTruncate(const std::string& path, uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto file = files_.find(path);
  if (file == files_.end()) return;
  file->second.size = size;
  file->second.synced_size = std::min(file->second.synced_size, size);
}

void FaultFileSystem::NoteSyncDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::erase_if(changes_, [&](const NameChange& change) {
    if (Parent(change.path) != path) return false;
    if (!change.grave.empty()) fs::remove_all(change.grave);
    return true;
  });
}

IOStatus FaultFileSystem::NewWritableFile(const std::string& path,
                                          const rocksdb::FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* result,
                                          IODebugContext* debug) {
  const std::string normal = Normal(path);
  IOStatus status = Enter(FileOperation::kCreate, normal);
  if (!status.ok()) return status;
  const std::string grave = fs::exists(normal) ? NextGrave() : "";
  if (!grave.empty()) fs::rename(normal, grave);
  status = FileSystemWrapper::NewWritableFile(normal, options, result, debug);
  if (!status.ok()) return status;
  *result = std::make_unique<WritableFile>(*this, normal, std::move(*result));
  const std::lock_guard lock(mutex_);
  files_[normal] = File();
  changes_.push_back({FileOperation::kCreate, normal, "", grave});
  return status;
}

IOStatus FaultFileSystem::NewSequentialFile(const std::string& path,
                                            const rocksdb::FileOptions& options,
                                            std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                            IODebugContext* debug) {
  const IOStatus status = FileSystemWrapper::NewSequentialFile(path, options, result, debug);
  if (status.ok()) {
    *result = std::make_unique<SequentialFile>(*this, Normal(path), std::move(*result));
  }
  return status;
}

IOStatus FaultFileSystem::NewRandomAccessFile(const std::string& path,
                                              const rocksdb::FileOptions& options,
                                              std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                              IODebugContext* debug) {
  const IOStatus status = FileSystemWrapper::NewRandomAccessFile(path, options, result, debug);
  if (status.ok()) {
    *result = std::make_unique<RandomAccessFile>(*this, Normal(path), std::move(*result));
  }
  return status;
}

IOStatus FaultFileSystem::NewRandomRWFile(const std::string& path,
                                          const rocksdb::FileOptions& options,
                                          std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                          IODebugContext* debug) {
  const std::string normal = Normal(path);
  IOStatus status = FileSystemWrapper::NewRandomRWFile(normal, options, result, debug);
  if (!status.ok()) return status;
  *result = std::make_unique<RandomRWFile>(*this, normal, std::move(*result));
  const std::lock_guard lock(mutex_);
  if (!files_.contains(normal)) {
    const uint64_t size = fs::file_size(normal);
    files_[normal] = File{size, size, true, {}};
  }
  return status;
}

IOStatus FaultFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<rocksdb::FSDirectory>* result,
                                       IODebugContext* debug) {
  const IOStatus status = FileSystemWrapper::NewDirectory(path, options, result, debug);
  if (status.ok()) *result = std::make_unique<Directory>(*this, Normal(path), std::move(*result));
  return status;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& path, const IOOptions& options,
                                     IODebugContext* debug) {
  const std::string normal = Normal(path);
  const IOStatus status = Enter(FileOperation::kDelete, normal);
  if (!status.ok()) return status;
  if (!fs::exists(normal)) return FileSystemWrapper::DeleteFile(normal, options, debug);
  const std::string grave = NextGrave();
  fs::rename(normal, grave);
  const std::lock_guard lock(mutex_);
  changes_.push_back({FileOperation::kDelete, normal, "", grave});
  return IOStatus::OK();
}

IOStatus FaultFileSystem::CreateDir(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  const std::string normal = Normal(path);
  IOStatus status = Enter(FileOperation::kCreateDirectory, normal);
  if (status.ok()) status = FileSystemWrapper::CreateDir(normal, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  changes_.push_back({FileOperation::kCreateDirectory, normal, "", ""});
  return status;
}

IOStatus FaultFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions& options,
                                             IODebugContext* debug) {
  if (fs::is_directory(path)) return IOStatus::OK();
  return CreateDir(path, options, debug);
}

IOStatus FaultFileSystem::DeleteDir(const std::string& path, const IOOptions& options,
                                    IODebugContext* debug) {
  const std::string normal = Normal(path);
  IOStatus status = Enter(FileOperation::kDeleteDirectory, normal);
  if (status.ok()) status = FileSystemWrapper::DeleteDir(normal, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  changes_.push_back({FileOperation::kDeleteDirectory, normal, "", ""});
  return status;
}

IOStatus FaultFileSystem::RenameFile(const std::string& from, const std::string& to,
                                     const IOOptions& options, IODebugContext* debug) {
  const std::string old_name = Normal(from);
  const std::string new_name = Normal(to);
  IOStatus status = Enter(FileOperation::kRename, new_name);
  if (!status.ok()) return status;
  const std::string grave = fs::exists(new_name) ? NextGrave() : "";
  if (!grave.empty()) fs::rename(new_name, grave);
  status = FileSystemWrapper::RenameFile(old_name, new_name, options, debug);
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  MoveFiles(old_name, new_name);
  changes_.push_back({FileOperation::kRename, new_name, old_name, grave});
  return status;
}

std::string FaultFileSystem::NextGrave() {
  const std::lock_guard lock(mutex_);
  return graveyard_ + "/" + std::to_string(grave_count_++);
}

void FaultFileSystem::MoveFiles(const std::string& from, const std::string& to) {
  std::map<std::string, File> moved;
  for (auto& [path, file] : files_) {
    const bool inside = path == from || path.starts_with(from + "/");
    moved[inside ? to + path.substr(from.size()) : path] = std::move(file);
  }
  files_ = std::move(moved);
}

void FaultFileSystem::Undo(const NameChange& change) {
  switch (change.operation) {
    case FileOperation::kCreate:
    case FileOperation::kCreateDirectory:
      fs::remove_all(change.path);
      break;
    case FileOperation::kDeleteDirectory:
      if (fs::exists(Parent(change.path))) fs::create_directory(change.path);
      break;
    case FileOperation::kRename:
      if (fs::exists(change.path) && !fs::exists(change.from) && fs::exists(Parent(change.from))) {
        fs::rename(change.path, change.from);
      }
      break;
    default:
      break;
  }
  if (!change.grave.empty() && fs::exists(change.grave) && !fs::exists(change.path) &&
      fs::exists(Parent(change.path))) {
    fs::rename(change.grave, change.path);
  }
}

void FaultFileSystem::LoseSectors(const std::string& path, const File& file,
                                  std::mt19937_64& random) {
  constexpr uint64_t kSectorBytes = 512;
  const auto end_of_sector = [](uint64_t offset) { return (offset / kSectorBytes + 1) * 512; };
  for (uint64_t at = std::min(file.size, file.synced_size); at < file.size;) {
    const uint64_t end = std::min(end_of_sector(at), file.size);
    if (random() % 2 == 0) WriteAt(path, at, std::string(end - at, '\0'));
    at = end;
  }
  for (auto write = file.overwrites.rbegin(); write != file.overwrites.rend(); ++write) {
    const uint64_t write_end = write->offset + write->old_bytes.size();
    for (uint64_t at = write->offset; at < write_end;) {
      const uint64_t end = std::min(end_of_sector(at), write_end);
      const std::string old = write->old_bytes.substr(at - write->offset, end - at);
      if (random() % 2 == 0) WriteAt(path, at, old);
      at = end;
    }
  }
}

void FaultFileSystem::LoseBytes(const std::string& path, const File& file, PowerLoss loss,
                                std::mt19937_64& random) {
  if (loss == PowerLoss::kSectors) return LoseSectors(path, file, random);
  const uint64_t lost_max = file.size - std::min(file.size, file.synced_size);
  uint64_t kept = 0;
  const bool torn = loss == PowerLoss::kTorn || loss == PowerLoss::kScattered;
  if (torn) kept = random() % (lost_max + 1);
  if (lost_max > 0) {
    fs::resize_file(path, file.synced_size + kept);
    if (loss == PowerLoss::kZeros) fs::resize_file(path, file.size);
  }
  for (auto write = file.overwrites.rbegin(); write != file.overwrites.rend(); ++write) {
    std::string bytes = write->old_bytes;
    if (torn) {
      bytes.replace(0, random() % (bytes.size() + 1), "");
      bytes = write->new_bytes.substr(0, write->new_bytes.size() - bytes.size()) + bytes;
    } else if (loss == PowerLoss::kZeros) {
      bytes.assign(bytes.size(), '\0');
    }
    WriteAt(path, write->offset, bytes);
  }
}

void FaultFileSystem::LoseNames(PowerLoss loss, std::mt19937_64& random) {
  const size_t kept = random() % (changes_.size() + 1);
  for (size_t i = changes_.size(); i-- > 0;) {
    const NameChange& change = changes_[i];
    bool lost = loss == PowerLoss::kDrop || i >= kept;
    if (loss == PowerLoss::kScattered) {
      const auto file = files_.find(change.path);
      const bool covered =
          change.operation == FileOperation::kCreate && file != files_.end() && file->second.synced;
      lost = !covered && random() % 2 == 0;
    }
    if (lost) Undo(change);
  }
}

void FaultFileSystem::LosePower(PowerLoss loss, std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  hook_ = nullptr;
  read_hook_ = nullptr;
  if (loss != PowerLoss::kKeep) {
    // Bytes first: they are known by the names that files have now.
    for (const auto& [path, file] : files_) {
      if (fs::exists(path)) LoseBytes(path, file, loss, random);
    }
    LoseNames(loss, random);
  }
  files_.clear();
  changes_.clear();
}

std::shared_ptr<FaultFileSystem> FaultFileSystem::CopyTo(const std::string& root,
                                                         const std::string& copy) const {
  const auto moved = [&](const std::string& path) {
    return path.starts_with(root + "/") ? copy + path.substr(root.size()) : path;
  };
  fs::copy(root, copy, fs::copy_options::recursive);
  auto disk = std::make_shared<FaultFileSystem>(moved(graveyard_));
  disk->grave_count_ = grave_count_;
  for (const auto& [path, file] : files_) disk->files_[moved(path)] = file;
  for (const NameChange& change : changes_) {
    disk->changes_.push_back(
        {change.operation, moved(change.path), moved(change.from), moved(change.grave)});
  }
  return disk;
}

}  // namespace stele::storage
