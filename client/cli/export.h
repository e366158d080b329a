// Exports one collection to a file, as it was at one log index.
//
// Writes jsonl (exact: importing it gives the same records and the same state root), npy with an
// ids file beside it, or fvecs. Does not export the collection's configuration. Not thread-safe.
//
// Invariants:
//  1. Every record of the state at one log index is written once, in order of id.
//  2. The target appears whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/progress.h"
#include "client/client.h"

namespace stele::client::cli {

struct ExportOptions {
  std::string collection;
  std::string path;
  // "jsonl", "npy" or "fvecs"; chosen by the file name's extension if empty.
  std::string format;
  // npy: FILE.ids.jsonl if empty; fvecs: written only if named.
  std::string ids_path;
  // npy holds int32 raw Q16.16 instead of float64.
  bool raw_q16 = false;
  std::optional<Filter> filter;
  std::optional<uint64_t> at_index;
  std::function<void(const ProgressState& state)> on_progress;
};

struct ExportResult {
  uint64_t row_count = 0;
  // Components that float32 could not hold exactly (fvecs).
  uint64_t rounded_components = 0;
  std::string ids_path;
  // Whose state was exported.
  v1::Position position;
};

absl::StatusOr<ExportResult> ExportCollection(Client* client, const ExportOptions& options);

}  // namespace stele::client::cli
