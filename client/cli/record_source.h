// Records read one by one from a file that a person names: jsonl, npy or fvecs.
//
// Does not send anything. Not thread-safe.
//
// Invariants:
//  1. Row n is the same record however it is reached, by reading or by skipping.
//  2. Errors name the file and the line or row.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client::cli {

struct SourceOptions {
  std::string path;
  // "jsonl", "npy" or "fvecs"; chosen by the file name's extension if empty.
  std::string format;
  // For npy and fvecs: ids, and with jsonl attributes and documents, one line a row.
  std::string ids_path;
  // For npy and fvecs without ids: the id of row n is the decimal number first_id + n.
  uint64_t first_id = 0;
  // int32 components of npy are raw Q16.16.
  bool raw_q16 = false;
};

class RecordSource {
 public:
  static absl::StatusOr<std::unique_ptr<RecordSource>> Open(const SourceOptions& options);
  virtual ~RecordSource() = default;

  // The next record; nothing at the end.
  virtual absl::StatusOr<std::optional<v1::RecordInput>> Next() = 0;
  virtual absl::Status Skip(uint64_t rows) = 0;
  // Where the record that Next returned last stands, e.g. "notes.jsonl:17" or "x.npy, row 3".
  virtual std::string Where() const = 0;
  // Known where the format tells it.
  virtual std::optional<uint64_t> row_count() const = 0;
  // From 0 to 1, for a progress bar.
  virtual double fraction_done() const = 0;
};

// The format by `format` or else by the extension of `path`.
absl::StatusOr<std::string> FormatOf(const std::string& path, const std::string& format);

}  // namespace stele::client::cli
