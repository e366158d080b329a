// The engine: orders writes into the log, makes them durable, applies them, and lets readers see
// what is durable. It introduces index/ (what things mean) and storage/ (where they lie).
//
// A write goes: Submit (any thread) -> queue -> applier thread: stamp, Apply -> committer thread:
// one synced append for everything that waited, publish, callbacks. Apply of one group overlaps the
// sync of the one before. Nothing is visible to readers before it is durable.
//
// It does not know protobuf or gRPC, does not convert floats and does not authenticate.
//
// Thread safety: everything may be called from any thread, unless stated.
//
// Invariants:
//   1. `done` of a Submit is called exactly once; with OK only after the entry is durable and
//   published.
//   2. Entries are published in order; a reader sees a prefix of the log.
//   3. After a failed append or sync nothing is written any more; reads go on at the published
//   index.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/command.h"
#include "index/commit_record.h"
#include "index/kernels.h"
#include "index/log_tree.h"
#include "index/state_machine.h"
#include "server/parallel_search.h"
#include "server/reader_registry.h"
#include "storage/journal.h"

namespace rocksdb {
class FileSystem;
}

namespace stele::server {

class SearchPool;
class Snapshotter;

// Where in the log a reply was made.
struct Position {
  index::LogIndex log_index = 0;
  index::LogIndex state_index = 0;
  index::Hash state_root{};
};

// One entry to be logged.
struct WriteTask {
  std::string request_id;  // 1..kRequestIdBytesMax bytes
  std::string actor;
  index::LogIndex known_index = 0;
  std::optional<index::LogIndex> expected_state_index;
  std::vector<index::PreparedOperation> operations;
};

// What came of it: commit.outcome says whether it was executed or (logged and) rejected.
// kDuplicateRequest never appears: a retry gets the first result with `duplicate` set.
// kRequestIdReused and kRequestTooOld appear with nothing logged (commit.index is the entry that
// used the id, or 0).
struct WriteResult {
  index::CommitRecord commit;
  Position position;
  bool duplicate = false;
};

struct SnapshotInfo {
  index::LogIndex log_index = 0;
  index::Hash state_root{};
  index::Hash log_root{};
  index::Hash snapshot_hash{};
  uint64_t size_bytes = 0;
  std::string file_name;
};

// How the state was rebuilt at start.
struct RecoveryReport {
  bool created = false;                           // a new log was made
  std::optional<index::LogIndex> snapshot_index;  // the snapshot that was loaded
  std::vector<std::string> refused_snapshots;     // newer ones, each with the reason
  uint64_t replayed_entries = 0;
  // Effects that were taken from the log, since the content that they follow from was erased.
  uint64_t given_effects = 0;
  Position position;
  index::Hash log_root{};
  std::string Describe() const;
};

struct EngineOptions {
  std::string data_directory;
  std::string probe_path;                    // stele-probe; empty: probe in this process
  uint32_t search_threads = 0;               // 0: as many as cores
  const index::Kernels* kernels = nullptr;   // null: the best of this machine
  uint64_t history_entries = 10'000;         // how far back at_index and page tokens reach
  uint64_t snapshot_log_bytes = 256u << 20;  // automatic snapshot after this much log; 0: never
  uint32_t snapshots_kept = 2;
  uint64_t queue_bytes_max = 256u << 20;  // Submit refuses beyond: RESOURCE_EXHAUSTED
  // Writes that add anything are refused while the process holds more: RESOURCE_EXHAUSTED. 0: none.
  uint64_t memory_limit_bytes = 0;
  std::function<int64_t()> clock_micros;  // null: the system's
  // The engine has no threads of its own: Step runs what they would do. For simulations.
  bool stepped = false;
  // Under log and snapshots; reads of snapshots and the probe's process excepted. Null: the
  // default.
  std::shared_ptr<rocksdb::FileSystem> file_system;
  // Called now and then while the log is replayed, with (entries done, entries in all). May be
  // null.
  std::function<void(uint64_t, uint64_t)> recovery_progress;
};

struct EngineStats {
  uint64_t entries_applied = 0;
  uint64_t pending_erasures = 0;  // entries whose content is still to be destroyed
  uint64_t erased_items = 0;      // operations of the log whose content was destroyed
  uint64_t records_written = 0;   // inserted, updated and deleted
  uint64_t queue_depth = 0;       // tasks
  uint64_t queue_bytes = 0;
  uint64_t active_readers = 0;
  uint64_t searches = 0;
  uint64_t searches_joined = 0;  // of these, in one pass with others
  uint64_t rows_scanned = 0;
  std::optional<index::LogIndex> newest_snapshot_index;
  int64_t newest_snapshot_micros = 0;  // clock time at which it was taken
  storage::Journal::Stats journal;
};

class Engine;

// The state at one log index, held against reclaiming for the view's life. Movable; one thread at a
// time.
class ReadView {
 public:
  const Position& position() const { return position_; }
  index::LogIndex n() const { return position_.log_index; }
  // Null where no such collection exists at n.
  const index::Collection* FindCollection(std::string_view name) const;
  // First collection at n whose name is not below `name`; null at the end.
  const index::Collection* SeekCollection(std::string_view name) const;
  // Reads a document from disk. DATA_LOSS if what is there is not what was stored.
  absl::StatusOr<std::string> ReadDocument(const index::DocumentRef& document) const;

 private:
  friend class Engine;
  const Engine* engine_ = nullptr;
  ReaderRegistry::Pin pin_;
  Position position_;
};

class Engine {
 public:
  // Creates the data directory, or recovers it: newest good snapshot, then the log; every root on
  // the way is recomputed and compared. Errors as storage::Journal::Open, and DATA_LOSS where log
  // and state disagree.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(EngineOptions options,
                                                      RecoveryReport* report);
  // Finishes what was accepted, takes no more, and closes.
  ~Engine();

  // Queues a write. `done` runs on a thread of the engine and must not block; it gets
  // RESOURCE_EXHAUSTED (queue or disk full; nothing was logged), UNAVAILABLE (write-poisoned or
  // closing).
  using WriteCallback = std::function<void(absl::StatusOr<WriteResult>)>;
  void Submit(WriteTask task, WriteCallback done);

  // What became of a request: its result; NOT_FOUND where it was not seen since
  // oldest_request_index(). `done` as above.
  void FindOutcome(std::string actor, std::string request_id, WriteCallback done);
  index::LogIndex oldest_request_index() const { return oldest_request_index_.load(); }

  // The newest published state, or that after entry *at_index: OUT_OF_RANGE (naming the horizon, or
  // the newest index) where it is not held.
  absl::StatusOr<ReadView> Read(std::optional<index::LogIndex> at_index) const;
  // The last published entry whose logged time is `time_micros` or before; found by bisection among
  // the held states. OUT_OF_RANGE (naming the horizon and its time) where that is before them.
  absl::StatusOr<index::LogIndex> IndexAtTime(int64_t time_micros) const;
  index::LogIndex published_index() const { return published_.load(std::memory_order_acquire); }
  index::LogIndex history_index() const { return horizon_.load(); }
  // How far back from the newest entry that lies at most, and whether an entry has set it.
  struct Retention {
    uint64_t history_entries = 0;
    bool is_logged = false;
  };
  Retention retention() const;
  // Runs `callback` as soon as the published index reaches `index`: at once, or on a thread of the
  // engine. It runs with false when the engine closes first. Gives an id for CancelWait, 0 if it
  // ran already.
  uint64_t WhenPublished(index::LogIndex index, std::function<void(bool)> callback);
  void CancelWait(uint64_t id);

  // Whether content that entry `index` marked is still to be destroyed, and what the last attempt
  // met, if it failed.
  struct ErasureState {
    bool pending = false;
    absl::Status error;
  };
  ErasureState FindErasure(index::LogIndex index) const;

  // Exact k-NN for every query over one collection, on all search threads; blocks the calling
  // thread. `cancelled` (may be null) is asked between chunks of rows: CANCELLED.
  absl::StatusOr<SearchAnswer> Search(const ReadView& view, const index::Collection& collection,
                                      std::span<const index::SearchQuery> queries,
                                      const std::function<bool()>& cancelled) const;

  // Takes a snapshot at this moment; writes go on. `done` runs when it is durable and has been
  // verified; with UNAVAILABLE when the engine closes first.
  void CreateSnapshot(std::function<void(absl::StatusOr<SnapshotInfo>)> done);
  std::vector<SnapshotInfo> ListSnapshots() const;  // newest first

  const storage::LogId& log_id() const;
  index::LogIndex base_index() const;
  index::Hash log_root() const;  // over entries up to published_index()
  const std::string& data_directory() const { return options_.data_directory; }
  // For proofs: what is durable, and the log tree before base_index().
  const storage::Journal& journal() const;
  const index::LogTree& base_tree() const;
  // Runs `look` on the state between two entries, on the thread that applies them: it must be
  // short. Then `done`, as soon as all that `look` could see is published; UNAVAILABLE if that
  // fails.
  void Inspect(std::function<void(const index::StateMachine&)> look,
               std::function<void(const absl::Status&)> done);
  bool write_poisoned() const;
  // The stages of the write path, each a thread of its own unless options.stepped.
  enum class Stage { kApply, kCommit, kNotify, kSnapshot };
  // Runs once what waits at the stage; false where nothing does. REQUIRES: options.stepped, one
  // thread.
  bool Step(Stage stage);
  const index::Kernels& kernels() const { return *kernels_; }
  uint32_t search_threads() const;
  // Tells the statistics that so many queries of one Search were calls of their own.
  void CountJoined(uint64_t searches) const;
  EngineStats stats() const;

 private:
  friend class ReadView;
  struct Impl;
  explicit Engine(EngineOptions options);

  EngineOptions options_;
  const index::Kernels* kernels_ = nullptr;
  std::atomic<index::LogIndex> published_{0};
  std::atomic<index::LogIndex> horizon_{0};
  std::atomic<index::LogIndex> oldest_request_index_{0};
  std::unique_ptr<Impl> impl_;
};

}  // namespace stele::server
