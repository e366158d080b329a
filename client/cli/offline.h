// Verification of what a server left on disk, without the server.
//
// Reads only; never opens a data directory for writing. Thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace stele::client::cli {

struct ReplayOptions {
  // Stop after this entry instead of the newest.
  std::optional<uint64_t> at_index;
};

// Loads a snapshot file, recomputes every hash in it and returns its metadata.
// Errors: DATA_LOSS, naming the section and the byte, where anything differs.
absl::StatusOr<nlohmann::json> VerifySnapshotFile(const std::string& path);

// Applies the log of a data directory to an empty state and returns the roots that result.
absl::StatusOr<nlohmann::json> ReplayDataDir(const std::string& data_dir,
                                             const ReplayOptions& options);

// Checks every checksum, hash and root of a data directory and returns what was checked.
absl::StatusOr<nlohmann::json> VerifyDataDir(const std::string& data_dir);

}  // namespace stele::client::cli
