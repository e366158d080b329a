#include "client/cli/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele::client::cli {
namespace {

constexpr size_t kArgumentFileBytesMax = size_t{64} << 20;
constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr size_t kLineBytesMax = size_t{64} << 20;

absl::Status FileError(absl::string_view action, absl::string_view path) {
  const int error = errno;
  const std::string message = absl::StrCat("cannot ", action, " '", path, "': ", strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
}

struct DigestDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Update(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string Final() {
    std::string hash(32, '\0');
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(hash.data()), nullptr);
    return hash;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, DigestDeleter> context_;
};

}  // namespace

absl::StatusOr<FileHandle> OpenForReading(const std::string& path, bool pipes_allowed) {
  FileHandle file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) return FileError("open", path);
  struct stat info;
  if (fstat(fileno(file.get()), &info) != 0) return FileError("read", path);
  if (!S_ISREG(info.st_mode) && !(pipes_allowed && S_ISFIFO(info.st_mode))) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a regular file"));
  }
  return file;
}

absl::StatusOr<uint64_t> FileSize(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FileError("read", path);
  return static_cast<uint64_t>(info.st_size);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  absl::StatusOr<FileHandle> file = OpenForReading(path, true);
  if (!file.ok()) return file.status();
  std::string content;
  std::vector<char> chunk(kChunkBytes);
  for (;;) {
    const size_t count = std::fread(chunk.data(), 1, chunk.size(), file->get());
    content.append(chunk.data(), count);
    if (content.size() > bytes_max) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", path, "' is larger than ", bytes_max, " bytes"));
    }
    if (count == chunk.size()) continue;
    if (std::ferror(file->get()) != 0) return FileError("read", path);
    return content;
  }
}

absl::StatusOr<std::string> HashFile(const std::string& path,
                                     const std::function<void(uint64_t)>& on_bytes) {
  absl::StatusOr<FileHandle> file = OpenForReading(path);
  if (!file.ok()) return file.status();
  Digest digest;
  std::vector<char> chunk(kChunkBytes);
  uint64_t total = 0;
  for (;;) {
    const size_t count = std::fread(chunk.data(), 1, chunk.size(), file->get());
    digest.Update(chunk.data(), count);
    total += count;
    if (on_bytes) on_bytes(total);
    if (count == chunk.size()) continue;
    if (std::ferror(file->get()) != 0) return FileError("read", path);
    return digest.Final();
  }
}

std::string Sha256(absl::string_view bytes) {
  Digest digest;
  digest.Update(bytes.data(), bytes.size());
  return digest.Final();
}

absl::StatusOr<LineReader> LineReader::Open(const std::string& path) {
  absl::StatusOr<FileHandle> file = OpenForReading(path);
  if (!file.ok()) return file.status();
  return LineReader(path, *std::move(file));
}

absl::StatusOr<bool> LineReader::Next(std::string* line) {
  size_t searched = begin_;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line->assign(buffer_, begin_, end - begin_);
      bytes_read_ += end + 1 - begin_;
      begin_ = end + 1;
      break;
    }
    if (buffer_.size() - begin_ > kLineBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ":", line_number_ + 1, ": the line is longer than ", kLineBytesMax, " bytes"));
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    buffer_.resize(searched + kChunkBytes);
    const size_t count = std::fread(buffer_.data() + searched, 1, kChunkBytes, file_.get());
    buffer_.resize(searched + count);
    if (count > 0) continue;
    if (std::ferror(file_.get()) != 0) return FileError("read", path_);
    if (buffer_.empty()) return false;
    *line = std::move(buffer_);
    buffer_.clear();
    bytes_read_ += line->size();
    break;
  }
  ++line_number_;
  if (!line->empty() && line->back() == '\r') line->pop_back();
  return true;
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  std::string temporary = absl::StrCat(path, ".tmp-", getpid());
  FileHandle file(std::fopen(temporary.c_str(), "wbe"));
  if (file == nullptr) return FileError("create", temporary);
  return AtomicFile(path, std::move(temporary), std::move(file));
}

AtomicFile::~AtomicFile() {
  if (file_ == nullptr) return;
  file_.reset();
  (void)unlink(temporary_.c_str());
}

absl::Status AtomicFile::Write(absl::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return FileError("write", temporary_);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::WriteAtBeginning(absl::string_view bytes) {
  if (std::fseek(file_.get(), 0, SEEK_SET) != 0) return FileError("write", temporary_);
  if (absl::Status status = Write(bytes); !status.ok()) return status;
  if (std::fseek(file_.get(), 0, SEEK_END) != 0) return FileError("write", temporary_);
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  const bool synced = std::fflush(file_.get()) == 0 && fsync(fileno(file_.get())) == 0;
  if (!synced || std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return FileError("write", path_);
  }
  file_.reset();
  // The rename is durable once its directory is.
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return FileError("open", folder);
  const int result = fsync(directory);
  (void)close(directory);
  return result == 0 ? absl::OkStatus() : FileError("sync", folder);
}

absl::StatusOr<std::string> TextOrFile(const std::string& argument) {
  if (!absl::StartsWith(argument, "@")) return argument;
  return ReadFile(argument.substr(1), kArgumentFileBytesMax);
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes) {
  absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
  absl::Status status = file.status();
  if (status.ok()) status = file->Write(bytes);
  if (status.ok()) status = file->Commit();
  return status;
}

}  // namespace stele::client::cli
