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
#include "server/recovery.h"

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

// A state rebuilt without a server, for asking it.
struct OfflineState {
  Recovered recovered;
  index::LogId log_id{};
  Position position;
  std::optional<index::Hash> snapshot_hash;  // where it is that of a snapshot
};
// That of a snapshot file, after every check that VerifySnapshotFile makes.
absl::StatusOr<OfflineState> LoadSnapshotState(const std::string& path);
// That after an entry, as ReplayLog rebuilds it.
absl::StatusOr<OfflineState> ReplayToState(const EngineOptions& options,
                                           const ReplayProgress& progress,
                                           std::optional<index::LogIndex> at_index);
// The root over the first `size` entries, from the commit records as they are stored. OUT_OF_RANGE
// where the log does not hold them all.
absl::StatusOr<index::Hash> StoredLogRoot(const EngineOptions& options, uint64_t size);

struct VerifiedDirectory {
  RecoveryReport replay;
  std::vector<SnapshotInfo> snapshots;  // newest first
};
// Everything there is to check in a data directory: every file and row of the log, the replay of
// all of it, and every snapshot, by itself and against the log.
absl::StatusOr<VerifiedDirectory> VerifyDataDirectory(const EngineOptions& options,
                                                      const ReplayProgress& progress);

}  // namespace stele::server
