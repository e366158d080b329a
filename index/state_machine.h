// The state machine: everything the server knows is a pure function of the log, and this is the
// function. Apply is the only way the state changes; the live server, recovery, replay and
// verifiers call the same one. It reads the state, the command and its index: no configuration, no
// clock, no disk.
//
// Readers run at a log index n without locks, while one writer applies entries beyond n. Everything
// that a reader can pin is versioned. The caller decides which n readers may see (not before it is
// durable), and tells Reclaim which indices are still held.
//
// Thread safety: functions marked "readers" may run concurrently with everything; the others belong
// to one writer thread. MemoryBytes and Load are for a machine at rest.
//
// Invariants:
//   1. The same commands at the same indices give the same records, effects and roots.
//   2. An outcome other than kOk leaves the state root and state_index as they were.
//   3. The state root is a function of content alone, not of history, order or versions.
//   4. No step costs more than the change it makes and the logarithm of the state.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "index/collection.h"
#include "index/command.h"
#include "index/commit_record.h"
#include "index/record_proof.h"
#include "index/request_log.h"
#include "index/sparse_tree.h"

namespace stele::index {

struct ApplyResult {
  CommitRecord commit;
  std::vector<Effect> effects;
  // How many of the effects were taken from the log, since what they follow from has been erased.
  uint64_t given_count = 0;
};

// What the log says came of an entry.
struct LoggedResult {
  CommitRecord commit;
  std::vector<Effect> effects;
};

// What a retried request meets.
struct SeenRequest {
  LogIndex index = 0;
  Hash body{};  // RequestBody of the command that used the id
};

// `base` with the attributes of `update` laid over it and `removed` taken out; both maps encoded.
// False where that would break a limit.
bool MergeAttributes(std::string_view base, const Operation& update, std::string* merged);

class StateMachine {
 public:
  // `seed` spreads the heights of ordered maps; it affects speed only.
  explicit StateMachine(uint64_t seed = 0);
  ~StateMachine();
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  // Applies the entry `index`. REQUIRES: index == next_index(), command sealed.
  ApplyResult Apply(LogIndex index, const Command& command);

  // The same for an entry of a log from which content has been erased: where an effect follows from
  // what is gone, it is taken from `logged`; everything else is computed, as ever. The caller
  // compares.
  ApplyResult Replay(LogIndex index, const Command& command, const LoggedResult& logged);
  // Whether Replay could differ from Apply: content of the command, or of records, is gone.
  bool MeetsErased(const Command& command) const;

  LogIndex next_index() const { return next_index_; }
  LogIndex state_index() const { return state_index_; }
  uint32_t rules_version() const { return rules_version_; }
  const Hash& state_root() const { return state_root_; }
  int64_t last_timestamp_micros() const { return last_timestamp_micros_; }

  // Entries that marked content for destruction, which no later entry says is complete. Ascending.
  const std::vector<LogIndex>& pending_erasures() const { return pending_erasures_; }
  // How many entries back states are to be readable, where an entry has set it.
  std::optional<uint64_t> history_entries() const { return history_entries_; }
  // The newest entry that marked some; 0 where there is none since the snapshot.
  LogIndex newest_erasure() const { return newest_erasure_; }
  // Live records whose content is gone. Only a log or snapshot from before the erasure has them.
  uint64_t erased_records() const { return erased_records_; }

  // The entry in which (actor, request id) was used, within the deduplication horizon.
  std::optional<SeenRequest> FindRequest(const RequestKey& key) const;
  // Requests below this index are forgotten.
  LogIndex oldest_request_index() const;

  // Readers. The incarnation of `name` that exists at n, or null.
  const Collection* FindCollection(std::string_view name, LogIndex n) const;
  // Readers. First incarnation visible at n whose name is not below `name`; null at the end.
  const Collection* SeekCollection(std::string_view name, LogIndex n) const;
  // Readers. What the log says of entry n. REQUIRES: n within the deduplication horizon.
  const RequestEntry& EntryAt(LogIndex n) const { return requests_.At(n); }
  // What is remembered of requests now, for a snapshot.
  RequestLog::View MakeRequestView() const { return requests_.MakeView(); }

  // Frees what nobody can see: versions that died at or before `horizon`, once every reader that is
  // still active began at or after the index at which they were unlinked (`oldest_reader`). Work is
  // bounded by `steps_max`. Dropped collections are handed out, to be destroyed elsewhere.
  void Reclaim(LogIndex horizon, LogIndex oldest_reader, size_t steps_max,
               std::vector<std::unique_ptr<Collection>>* garbage);

  // The earliest entry at which something died that Reclaim has not freed yet; kNever if none.
  LogIndex oldest_dead() const;

  // What the state says of a record now, with the paths that prove it; without its content.
  // RecordProof is complete but for the log inclusion proof of the newest entry.
  RecordProof ProveRecord(std::string_view collection, std::string_view id) const;

  // Nodes of the tree over a collection's records, or (no name) over the collections, as
  // SparseTree::Read gives them. False where there is no such collection now.
  bool ReadTree(std::string_view collection, const Hash& prefix, uint32_t bits, uint32_t levels,
                std::vector<TreeNode>* nodes) const;

  // Digests computed by the trees: what tests count.
  uint64_t hash_count() const;
  size_t MemoryBytes() const;

 private:
  friend class SnapshotLoader;

  struct CollectionHead {
    Cell<Collection*> newest;
  };
  using CollectionMap = SkipList<CollectionHead>;

  // One record operation, checked against the state before the entry.
  struct Plan {
    Collection* collection = nullptr;
    RecordNode* node = nullptr;  // null where the id was never seen
    RecordVersion* live = nullptr;
    std::string merged_attributes;  // kUpdateAttributes
    bool given = false;             // what it leads to is taken from the log
  };
  struct Rejection {
    Outcome outcome = Outcome::kOk;
    uint64_t current = 0;
  };
  // Something that died and is still reachable: a version, replaced numbers, or (neither) a
  // collection.
  struct Dead {
    LogIndex died = 0;
    Collection* collection = nullptr;
    RecordVersion* version = nullptr;
    CollectionStats* stats = nullptr;
    bool frees_slot = false;
  };
  // Something unlinked: readers that began at or after `unlinked` cannot have seen it.
  struct Limbo {
    LogIndex unlinked = 0;
    Dead dead;
    RecordNode* record_node = nullptr;               // to be freed with its last version
    CollectionMap::Node* collection_node = nullptr;  // likewise
    Postings::Garbage postings;                      // or this alone
  };

  Rejection CheckRequest(const CommandHeader& header, LogIndex index, const RequestKey& key) const;
  void Execute(LogIndex index, const Command& command, ApplyResult* result);
  void ExecuteRecords(LogIndex index, const Command& command, ApplyResult* result);
  Rejection PlanOperation(const PreparedOperation& prepared, uint32_t ordinal, Plan* plan);
  Rejection PlanContent(const PreparedOperation& prepared, uint32_t ordinal, Plan* plan) const;
  static Rejection CheckOptions(const Operation& operation, const CollectionConfig& config);
  static Rejection CheckPrecondition(const Operation& operation, const RecordVersion* live);
  // Gives the change of the collection's count, or nothing where nothing changed.
  std::optional<int64_t> PerformOperation(LogIndex index, uint32_t ordinal,
                                          const PreparedOperation& prepared, const Plan& plan,
                                          ApplyResult* result);
  // The new version of a record that an operation writes, and its commitment.
  RecordVersion* MakeVersion(LogIndex index, uint32_t ordinal, const PreparedOperation& prepared,
                             const Plan& plan, const RecordNode* node, Hash* commitment);
  void DeleteByFilter(LogIndex index, const Operation& operation, ApplyResult* result);
  // Whether an operation by filter means this record.
  bool MatchesFilter(const Operation& operation, const Hash& key, const RecordVersion& version,
                     ApplyResult* result, bool* unknown) const;
  // Which entry's hold forbids to erase the record of this id, or any record where it is empty.
  static Rejection CheckHolds(const Collection& collection, std::string_view id);
  void SetHold(LogIndex index, const Operation& operation, ApplyResult* result);
  bool WasRefused(CommitRecord* commit) const;
  void NoteErasure(LogIndex index, const Command& command, const CommitRecord& commit);
  void CreateCollection(LogIndex index, const Operation& operation, ApplyResult* result);
  void DropCollection(LogIndex index, const Operation& operation, ApplyResult* result);

  Collection* LiveCollection(std::string_view name);
  void Kill(Collection* collection, RecordVersion* version, LogIndex index, bool frees_slot);
  // New numbers for a changed collection, and its value in the tree of collections.
  void FinishCollection(LogIndex index, Collection* collection, int64_t count_change,
                        ApplyResult* result);
  void FinishCollection(LogIndex index, Collection* collection, int64_t count_change,
                        HoldsPointer holds, ApplyResult* result);
  void ComputeStateRoot();
  Limbo Unlink(const Dead& dead);
  static void Free(const Limbo& limbo, std::vector<std::unique_ptr<Collection>>* garbage);
  // Takes what is about to be freed out of the postings; they are freed later.
  void RemovePostings(const Dead& dead);

  const uint64_t seed_;
  uint32_t rules_version_ = 0;
  LogIndex next_index_ = 0;
  LogIndex state_index_ = 0;
  int64_t last_timestamp_micros_ = 0;
  Hash state_root_{};

  CollectionMap collections_;
  uint32_t collection_count_ = 0;
  SparseTree collections_tree_;
  RequestLog requests_;
  std::vector<LogIndex> pending_erasures_;
  LogIndex newest_erasure_ = 0;
  uint64_t erased_records_ = 0;
  std::optional<uint64_t> history_entries_;

  // During Replay: what the log says, and the values of its record effects by key.
  const LoggedResult* logged_ = nullptr;
  std::map<Hash, Hash> given_;

  std::deque<Dead> dead_;    // by `died`
  std::deque<Limbo> limbo_;  // by `unlinked`
};

}  // namespace stele::index
