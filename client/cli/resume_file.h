// What an interrupted import leaves behind, so that the next run goes on where it stopped.
//
// Replaced atomically; may lag behind the server, never run ahead of it. Does not lock: two imports
// of one file at once are kept apart by their request ids. Not thread-safe.
//
// Invariants:
//  1. Rows before acknowledged_rows are durable on the server.
//  2. Rows from sent_rows on were never sent. Those between may have been, with request ids that
//     follow from this file, and at known_index or later.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stele::client::cli {

struct ResumeState {
  // Names the import: see ImportIdentity in import.cc. Hexadecimal.
  std::string identity;
  // Which the batches are cut by; a resumed import keeps them.
  uint64_t batch_rows = 0;
  uint64_t batch_bytes = 0;
  // Not empty where a person asked for rows to be written again.
  std::string nonce;
  uint64_t acknowledged_rows = 0;
  uint64_t sent_rows = 0;
  uint64_t known_index = 0;
};

// Nothing where there is no file. Errors: INVALID_ARGUMENT where it is not one of ours.
absl::StatusOr<std::optional<ResumeState>> LoadResumeFile(const std::string& path);
absl::Status SaveResumeFile(const std::string& path, const ResumeState& state);
// Also removes what runs that were killed while they saved have left beside it.
absl::Status RemoveResumeFile(const std::string& path);

}  // namespace stele::client::cli
