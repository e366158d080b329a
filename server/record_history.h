// What happened to one record, read from the log: each version and its end, newest first.
//
// It walks the index from records to entries (history_index.h) and looks into the entries that it
// names, so it costs the versions of the record and not the log. It knows nothing of the state in
// memory. A log that continues a snapshot does not hold what came before its base.
//
// Thread safety: a walk belongs to one thread; the journal may be appended to meanwhile.
//
// Invariant: every change that is given was found in an entry whose effects name the record.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/command.h"
#include "index/commit_record.h"
#include "storage/journal.h"

namespace stele::server {

struct RecordChange {
  enum class Kind {
    kCreated,
    kReplaced,
    kWritten,  // created or replaced: the log begins after what was before
    kAttributesUpdated,
    kDeleted,
    kDeletedByFilter,
    kCollectionDropped,
    kErased,  // deleted by an entry that destroyed its content
  };
  index::LogIndex index = 0;
  Kind kind = Kind::kWritten;
  std::string actor;
  std::string request_id;
  int64_t timestamp_micros = 0;
  std::optional<index::Hash> commitment;  // nothing where the record ended
  // What was written; null where the record ended, and where it has been erased.
  std::shared_ptr<const index::Operation> operation;

  bool is_end() const { return !commitment.has_value(); }
};

// A version's content: whole records as they were written, with later attributes laid over.
struct RecordContent {
  enum class State { kGiven, kErased, kBeforeLog };
  State state = State::kBeforeLog;
  std::shared_ptr<const index::Operation> base;  // vector and document, with kGiven
  std::string attributes;                        // encoded, with kGiven
};

class RecordHistory {
 public:
  // Changes up to entry `at_most`.
  RecordHistory(const storage::Journal* journal, std::string_view collection, std::string_view id,
                index::LogIndex at_most);

  // The next older change; nothing after the oldest. DATA_LOSS names the entry.
  absl::StatusOr<std::optional<RecordChange>> Next();

  // Entries that were looked into so far: what tests count.
  uint64_t entries_read() const { return entries_read_; }

 private:
  // Rows of one key, read some at a time.
  struct Rows {
    index::Hash key{};
    uint64_t at_most = 0;
    bool exhausted = false;
    std::deque<std::pair<uint64_t, uint32_t>> read;
  };
  // One thing that touched the record, before it is known what came before it.
  struct Mark {
    RecordChange change;
    bool is_drop = false;
    bool only_inserts = false;  // the entry's commit record tells that nothing was replaced,
    bool only_updates = false;  // or nothing created
  };

  absl::Status Fill(Rows* rows) const;
  absl::StatusOr<std::optional<Mark>> NextMark();
  absl::StatusOr<std::optional<Mark>> ReadMark(const Rows& rows, uint64_t index, uint32_t effect,
                                               bool is_collection) const;
  absl::Status ReadOperation(uint64_t index, uint32_t first, uint32_t count, Mark* mark) const;

  const storage::Journal* const journal_;
  const std::string collection_;
  const std::string id_;
  Rows records_;
  Rows collections_;
  mutable uint64_t entries_read_ = 0;
  bool begun_ = false;
  std::optional<Mark> ahead_;
};

// The contents of `changes`, which are newest first and end where `history` stands; in their order,
// for an end nothing that is given. Reads further back where the oldest builds on what is older.
absl::StatusOr<std::vector<RecordContent>> ContentsOf(const std::vector<RecordChange>& changes,
                                                      RecordHistory* history);

// The record after entry `at_most`: the change that made it what it was, and its content. Nothing
// where there was none, or none that this log knows of.
struct RecordThen {
  RecordChange change;
  RecordContent content;
};
absl::StatusOr<std::optional<RecordThen>> RecordAfter(const storage::Journal* journal,
                                                      std::string_view collection,
                                                      std::string_view id, index::LogIndex at_most);

}  // namespace stele::server
