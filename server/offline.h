// What is done with a data directory or a snapshot while no server uses it: restore, replay,
// verify.
//
// Nothing here changes an existing directory. Thread safety: independent calls are independent.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine.h"

namespace stele::server {

// Makes a data directory that continues the snapshot in `snapshot_path` as a new log, whose first
// entry names the parent. Errors: DATA_LOSS (the snapshot is damaged: which part), ALREADY_EXISTS,
// FAILED_PRECONDITION (the directory holds something that is not Stele's: what).
absl::Status RestoreSnapshot(const std::string& snapshot_path, const EngineOptions& options,
                             RecoveryReport* report);

// Called now and then with (entries done, entries in all).
using ReplayProgress = std::function<void(uint64_t, uint64_t)>;

// Rebuilds the state from the log alone (from the base snapshot, for a log that continues one),
// comparing every root, up to entry `at_index` or to the end. Opens read-only.
absl::StatusOr<RecoveryReport> ReplayLog(const EngineOptions& options,
                                         const ReplayProgress& progress,
                                         std::optional<index::LogIndex> at_index = std::nullopt);

// Checks a snapshot file by itself: all hashes, and the state root recomputed from its content.
absl::StatusOr<SnapshotInfo> VerifySnapshotFile(const std::string& path);

struct VerifiedDirectory {
  RecoveryReport replay;
  std::vector<SnapshotInfo> snapshots;  // newest first
};
// Everything there is to check in a data directory: every file and row of the log, the replay of
// all of it, and every snapshot, by itself and against the log.
absl::StatusOr<VerifiedDirectory> VerifyDataDirectory(const EngineOptions& options,
                                                      const ReplayProgress& progress);

}  // namespace stele::server
