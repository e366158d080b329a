// Destroying content on disk: what erasures reach, in the log's rows and in snapshot files. Each
// step may be cut off and done again.
//
// Thread safety: one erasure at a time; beside everything else that the journal allows. Snapshots
// must not be written meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/snapshot.h"
#include "index/types.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {

// What entries marked.
struct ErasureTargets {
  // Of records: whatever was written of them up to the entry. What is written later is new.
  index::ErasedKeys keys;
  // The filters of deletes and erasures in these collections, up to the entry.
  std::map<std::string, index::LogIndex> collections;
  index::LogIndex through = 0;  // the largest of them
};
absl::StatusOr<ErasureTargets> ReadTargets(const storage::Journal& journal,
                                           std::span<const index::LogIndex> entries);

// Replaces the content of operations by its digest, and then makes the files disappear that held
// it. `items`: the operations, those included whose content an earlier attempt has destroyed.
// `stopped` as storage::Journal::PurgeItems.
absl::Status DestroyInLog(storage::Journal* journal, const storage::SnapshotStore& store,
                          const ErasureTargets& targets, const std::function<bool()>& stopped,
                          uint64_t* items);

// Writes every snapshot that holds content anew, with commitments in its place. Adds the files to
// `snapshots`.
absl::Status DestroyInSnapshots(storage::SnapshotStore* store, const ErasureTargets& targets,
                                uint64_t* snapshots);

}  // namespace stele::server
