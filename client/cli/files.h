// Small file helpers: reading lines of bounded length, hashing, and replacing a file atomically.
//
// Does not lock. Not thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace stele::client::cli {

struct FileCloser {
  void operator()(std::FILE* file) const { (void)std::fclose(file); }
};
using FileHandle = std::unique_ptr<std::FILE, FileCloser>;

// Opens a regular file, or where allowed a pipe, for reading.
absl::StatusOr<FileHandle> OpenForReading(const std::string& path, bool pipes_allowed = false);
absl::StatusOr<uint64_t> FileSize(const std::string& path);

// The whole file or pipe, at most `bytes_max`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

// An argument itself, or the content of the file that "@FILE" names.
absl::StatusOr<std::string> TextOrFile(const std::string& argument);

// SHA-256 of the content, 32 bytes. `on_bytes` is told how many bytes have been read; may be empty.
absl::StatusOr<std::string> HashFile(const std::string& path,
                                     const std::function<void(uint64_t)>& on_bytes);

// SHA-256 of `bytes`, 32 bytes.
std::string Sha256(absl::string_view bytes);

// Lines without their "\n" or "\r\n"; a line longer than 64 MiB is an error.
class LineReader {
 public:
  static absl::StatusOr<LineReader> Open(const std::string& path);

  // False at the end of the file.
  absl::StatusOr<bool> Next(std::string* line);

  // Of the line that Next returned last, from 1.
  uint64_t line_number() const { return line_number_; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  LineReader(std::string path, FileHandle file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  FileHandle file_;
  std::string buffer_;
  size_t begin_ = 0;
  uint64_t line_number_ = 0;
  uint64_t bytes_read_ = 0;
};

// Writes beside the target (PATH.tmp-PID) and renames it into place, so that the target is either
// the old file or the whole new one. What was not committed is removed.
class AtomicFile {
 public:
  static absl::StatusOr<AtomicFile> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(AtomicFile&&) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;

  absl::Status Write(absl::string_view bytes);
  // Overwrites bytes at the beginning; the position afterwards is the end.
  absl::Status WriteAtBeginning(absl::string_view bytes);
  // Syncs and renames.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, FileHandle file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

  std::string path_;
  std::string temporary_;
  FileHandle file_;
};

// A whole file, as AtomicFile writes it.
absl::Status WriteFile(const std::string& path, absl::string_view bytes);

}  // namespace stele::client::cli
