// The engine's inside: shared by engine.cc (what callers see) and engine_writer.cc (the three
// threads of the write path). Not for other files.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "index/log_tiles.h"
#include "server/engine.h"
#include "server/gathering.h"
#include "server/memory_limit.h"
#include "server/recovery.h"
#include "server/search_pool.h"
#include "server/snapshotter.h"

namespace stele::server {

// Something for the applier, in order of arrival.
struct EngineTask {
  enum class Kind { kWrite, kFindOutcome, kSnapshot, kInspect };
  Kind kind = Kind::kWrite;
  WriteTask write;
  uint64_t bytes = 0;
  Engine::WriteCallback done;
  std::function<void(absl::StatusOr<SnapshotInfo>)> snapshot_done;
  std::function<void(const index::StateMachine&)> look;
};

using Completion = std::function<void(const absl::Status&)>;

// Applied entries that wait to be made durable together, and whom to tell afterwards.
struct CommitGroup {
  std::vector<storage::EntryWrite> entries;
  index::Hash log_root{};
  index::LogIndex last_index = 0;
  uint64_t bytes = 0;
  uint64_t records_written = 0;
  Engine::Retention retention;  // after last_index
  // Called in order, with OK once everything up to last_index is durable.
  std::vector<Completion> completions;

  // `later` holds what comes next in the log.
  void Merge(CommitGroup later);
};

// What came of a group: those to tell, first who waited for its index, then who wrote it.
struct Notice {
  absl::Status status;
  std::vector<std::function<void(bool)>> reached;
  std::vector<Completion> completions;
};

// How much of the disk the entries of one round of the applier may take without asking again.
struct SpaceGrant {
  uint64_t unsynced_bytes = 0;  // in groups that were handed over before the round
  uint64_t granted_bytes = 0;   // those included
};

struct Engine::Impl {
  Engine* engine = nullptr;
  std::unique_ptr<storage::Journal> journal;
  std::unique_ptr<storage::SnapshotStore> store;
  std::unique_ptr<index::StateMachine> state;  // changed by the applier only
  index::LogTree log_tree;                     // applier only
  std::unique_ptr<MemoryLimit> memory_limit;   // applier only
  index::LogTiles log_tiles;                   // applier only; the nodes of log_tree to be stored
  index::LogTree base_tree;                    // before the journal's first entry
  mutable ReaderRegistry readers;
  std::unique_ptr<SearchPool> pool;
  std::unique_ptr<Snapshotter> snapshotter;

  // The queue before the applier.
  std::mutex queue_mutex;
  std::condition_variable queue_filled;
  std::deque<EngineTask> queue;
  uint64_t queue_bytes = 0;
  bool closing = false;

  // One place between applier and committer: a group that grows until the committer takes it.
  std::mutex handoff_mutex;
  std::condition_variable handoff_filled;
  std::condition_variable handoff_taken;
  std::unique_ptr<CommitGroup> handoff;
  size_t handoff_wanted = 0;  // the committer wants this many entries; 0: any
  bool applier_done = false;
  std::atomic<uint64_t> unsynced_bytes{0};  // handed over and not yet appended

  // Between committer and notifier, in log order.
  std::mutex notices_mutex;
  std::condition_variable notices_filled;
  std::deque<Notice> notices;
  bool committer_done = false;

  // What is published, and who waits for more.
  mutable std::mutex published_mutex;
  index::Hash published_log_root{};
  Engine::Retention retention;
  std::multimap<index::LogIndex, std::pair<uint64_t, std::function<void(bool)>>> waiters;
  uint64_t next_waiter = 1;

  // Statistics and snapshot bookkeeping.
  std::atomic<uint64_t> entries_applied{0};
  std::atomic<uint64_t> records_written{0};
  mutable std::atomic<uint64_t> searches{0};
  mutable std::atomic<uint64_t> searches_joined{0};
  mutable std::atomic<uint64_t> rows_scanned{0};
  std::atomic<uint64_t> log_bytes_since_snapshot{0};
  std::atomic<bool> snapshot_queued{false};
  mutable std::mutex snapshot_mutex;
  std::optional<index::LogIndex> newest_snapshot_index;
  int64_t newest_snapshot_micros = 0;

  // Entries whose content is to be destroyed, and that are durable. Guarded by the mutex.
  mutable std::mutex erasure_mutex;
  std::condition_variable erasure_wanted;
  std::vector<index::LogIndex> pending_erasures;
  absl::Status erasure_error;
  bool erasures_stopped = false;
  std::atomic<uint64_t> erased_items{0};
  // Whatever died at or before this index is freed.
  std::atomic<index::LogIndex> reclaimed_through{0};

  std::thread applier;
  std::thread committer;
  std::thread notifier;
  std::thread eraser;
  size_t stepped_reclaim_steps = 0;

  int64_t ClockMicros() const;
  Engine::Retention RetentionOf(const index::StateMachine& machine) const;
  void Start();
  void Close();
  bool Step(Engine::Stage stage);
  void Enqueue(EngineTask task);

  // Applier.
  void ApplierLoop();
  bool HandoffIsFull() const;  // REQUIRES: handoff_mutex
  void ApplyTasks(std::vector<EngineTask> tasks, size_t* reclaim_steps);
  std::vector<EngineTask> TakeTasks();
  void HandOver(std::unique_ptr<CommitGroup> group);
  absl::Status CheckSpace(uint64_t bytes, SpaceGrant* grant) const;
  void HandleWrite(EngineTask task, SpaceGrant* grant, CommitGroup* group);
  void HandleFindOutcome(EngineTask task, CommitGroup* group);
  void HandleSnapshot(EngineTask task, CommitGroup* group);
  void ApplyCommand(index::Command command, Engine::WriteCallback done, CommitGroup* group);
  // Answers a request whose id entry `first` used: with its result, or that it was reused.
  void AnswerRetry(index::LogIndex first, index::Command command, Engine::WriteCallback done,
                   CommitGroup* group);
  // The result of an entry that is, or will then be, durable.
  absl::StatusOr<WriteResult> ReadResult(index::LogIndex index, bool duplicate) const;
  void Reclaim(size_t steps_max);

  // Eraser: destroys what entries marked, behind them.
  void EraserLoop();
  void StopErasures();
  bool ErasuresStopped() const;
  void NoteErasure(index::LogIndex index);
  absl::Status DestroyContent(const std::vector<index::LogIndex>& entries);
  absl::Status WaitForMemory(index::LogIndex through);
  absl::Status RunOnSnapshotter(std::function<absl::Status()> task);
  absl::Status LogCompletion(index::LogIndex entry, uint64_t items, uint64_t snapshots);
  void RaiseHorizon(index::LogIndex index);

  // Committer.
  void CommitterLoop();
  std::unique_ptr<CommitGroup> TakeGroup(Gathering* gathering);
  void Commit(CommitGroup group);
  std::vector<std::function<void(bool)>> Publish(const CommitGroup& group);
  void MaybeQueueSnapshot(uint64_t bytes);

  // Notifier.
  void NotifierLoop();
  void Notify(std::deque<Notice> taken);
  void FinishSnapshot(absl::StatusOr<SnapshotInfo> info,
                      std::function<void(absl::StatusOr<SnapshotInfo>)> done);
};

}  // namespace stele::server
