// What changed between the states after two entries, computed from the entries between them.
//
// It reads each of these once, and of each record that they touched the version before: so it costs
// the change and not the state, and reaches as far as the log does. It does not look at the state
// in memory.
//
// Thread safety: a pure function over the journal.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/commit_record.h"
#include "storage/journal.h"

namespace stele::server {

// Records that the entries between may touch.
inline constexpr size_t kDiffRecordsMax = 1'000'000;

enum class DiffKind { kSame, kAdded, kRemoved, kChanged, kReplaced, kWritten };

struct VersionThen {
  index::LogIndex version = 0;
  index::Hash commitment{};
};

struct RecordDifference {
  DiffKind kind = DiffKind::kSame;
  std::string id;  // empty where it has been erased
  index::Hash key{};
  std::optional<VersionThen> before;
  std::optional<VersionThen> after;
};

struct CollectionDifference {
  DiffKind kind = DiffKind::kSame;
  uint64_t added_count = 0;
  uint64_t removed_count = 0;
  uint64_t changed_count = 0;
  std::vector<RecordDifference> records;  // by id, where they were asked for
};

struct StateDifference {
  std::map<std::string, CollectionDifference> collections;  // without those that are the same
  uint64_t entries_read = 0;
};

// `collection`: of this one alone, with its records. REQUIRES: base_index <= from <= to <= the end.
// `stopped` is asked now and then. Errors: DATA_LOSS, FAILED_PRECONDITION (no history rows),
// RESOURCE_EXHAUSTED (kDiffRecordsMax), CANCELLED.
absl::StatusOr<StateDifference> CompareStates(const storage::Journal& journal, index::LogIndex from,
                                              index::LogIndex to,
                                              std::optional<std::string_view> collection,
                                              const std::function<bool()>& stopped);

}  // namespace stele::server
