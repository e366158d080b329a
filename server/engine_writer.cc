// The write path. Applier: orders, stamps and applies. Committer: makes durable and publishes.
// Notifier: replies. While one group is being synced the next grows by whatever is applied
// meanwhile, and the replies of the one before go out.
#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "index/check.h"
#include "server/engine_impl.h"
#include "server/log_nodes.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

constexpr uint64_t kGroupBytesMax = 64u << 20;
constexpr size_t kGroupTasksMax = 4096;
// What an entry costs on disk beside its operations.
constexpr uint64_t kEntryOverheadBytes = 1024;
constexpr uint64_t kHistoryRowBytes = 64;  // with what frames it
// Asked for beyond what is needed, so that one question does for many entries.
constexpr uint64_t kSpaceAheadBytes = 16u << 20;
constexpr std::chrono::milliseconds kIdlePeriod{200};
// Reclaiming looks at all readers: not after every entry.
constexpr size_t kReclaimStepsMin = 256;

Position PositionOf(const index::CommitRecord& commit) {
  return {commit.index, commit.state_index, commit.state_root};
}

}  // namespace

void Engine::Impl::Start() {
  applier = std::thread([this] { ApplierLoop(); });
  committer = std::thread([this] { CommitterLoop(); });
  notifier = std::thread([this] { NotifierLoop(); });
  eraser = std::thread([this] { EraserLoop(); });
}

void Engine::Impl::Close() {
  StopErasures();
  {
    std::lock_guard lock(queue_mutex);
    closing = true;
  }
  queue_filled.notify_all();
  if (engine->options_.stepped) {
    while (Step(Stage::kApply) || Step(Stage::kCommit) || Step(Stage::kNotify)) {
    }
  }
  if (applier.joinable()) applier.join();
  if (committer.joinable()) committer.join();
  if (notifier.joinable()) notifier.join();
  snapshotter.reset();
  // Only the next start gains by it, so a failure is none; what was written since is durable.
  if (journal != nullptr && journal->stats().appends > 0) journal->Settle().IgnoreError();
  std::multimap<index::LogIndex, std::pair<uint64_t, std::function<void(bool)>>> left;
  {
    std::lock_guard lock(published_mutex);
    left.swap(waiters);
  }
  for (auto& [index, waiter] : left) waiter.second(false);
}

void Engine::Impl::Enqueue(EngineTask task) {
  {
    std::unique_lock lock(queue_mutex);
    if (!closing) {
      queue_bytes += task.bytes;
      queue.push_back(std::move(task));
      lock.unlock();
      queue_filled.notify_one();
      return;
    }
  }
  const absl::Status closed = absl::UnavailableError("the server is shutting down");
  if (task.done) task.done(closed);
  if (task.snapshot_done) task.snapshot_done(closed);
}

std::vector<EngineTask> Engine::Impl::TakeTasks() {
  std::vector<EngineTask> tasks;
  std::lock_guard lock(queue_mutex);
  uint64_t bytes = 0;
  while (!queue.empty() && tasks.size() < kGroupTasksMax &&
         (tasks.empty() || bytes + queue.front().bytes <= kGroupBytesMax)) {
    bytes += queue.front().bytes;
    queue_bytes -= queue.front().bytes;
    tasks.push_back(std::move(queue.front()));
    queue.pop_front();
  }
  return tasks;
}

void CommitGroup::Merge(CommitGroup later) {
  std::move(later.entries.begin(), later.entries.end(), std::back_inserter(entries));
  std::move(later.completions.begin(), later.completions.end(), std::back_inserter(completions));
  log_root = later.log_root;
  last_index = later.last_index;
  retention = later.retention;
  bytes += later.bytes;
  records_written += later.records_written;
}

void Engine::Impl::ApplierLoop() {
  size_t reclaim_steps = 0;
  for (;;) {
    {
      std::unique_lock lock(handoff_mutex);
      handoff_taken.wait(lock, [&] { return !HandoffIsFull(); });
    }
    bool idle = false;
    {
      std::unique_lock lock(queue_mutex);
      idle = !queue_filled.wait_for(lock, kIdlePeriod, [&] { return closing || !queue.empty(); });
      if (closing && queue.empty()) break;
    }
    if (idle) {
      Reclaim(1u << 16);
      continue;
    }
    ApplyTasks(TakeTasks(), &reclaim_steps);
  }
  {
    std::lock_guard lock(handoff_mutex);
    applier_done = true;
  }
  handoff_filled.notify_one();
}

bool Engine::Impl::HandoffIsFull() const {
  return handoff != nullptr &&
         (handoff->bytes >= kGroupBytesMax || handoff->completions.size() >= kGroupTasksMax);
}

void Engine::Impl::ApplyTasks(std::vector<EngineTask> tasks, size_t* reclaim_steps) {
  auto group = std::make_unique<CommitGroup>();
  SpaceGrant grant{unsynced_bytes.load(), 0};
  for (EngineTask& task : tasks) {
    switch (task.kind) {
      case EngineTask::Kind::kWrite:
        HandleWrite(std::move(task), &grant, group.get());
        break;
      case EngineTask::Kind::kFindOutcome:
        HandleFindOutcome(std::move(task), group.get());
        break;
      case EngineTask::Kind::kSnapshot:
        HandleSnapshot(std::move(task), group.get());
        break;
      case EngineTask::Kind::kInspect:
        task.look(*state);
        group->completions.push_back([done = std::move(task.done)](const absl::Status& status) {
          done(status.ok() ? absl::StatusOr<WriteResult>(WriteResult{}) : status);
        });
        break;
    }
  }
  group->log_root = log_tree.Root();
  group->last_index = state->next_index() - 1;
  group->retention = RetentionOf(*state);
  *reclaim_steps += 16 + 4 * static_cast<size_t>(group->records_written);
  HandOver(std::move(group));
  if (*reclaim_steps < kReclaimStepsMin) return;
  Reclaim(*reclaim_steps);
  *reclaim_steps = 0;
}

void Engine::Impl::HandOver(std::unique_ptr<CommitGroup> group) {
  unsynced_bytes += group->bytes;
  bool enough = false;
  {
    std::lock_guard lock(handoff_mutex);
    if (handoff == nullptr) {
      handoff = std::move(group);
    } else {
      handoff->Merge(std::move(*group));
    }
    enough = handoff->entries.size() >= handoff_wanted;
  }
  if (enough) handoff_filled.notify_one();
}

absl::Status Engine::Impl::CheckSpace(uint64_t bytes, SpaceGrant* grant) const {
  const uint64_t needed = grant->unsynced_bytes + bytes;
  if (needed <= grant->granted_bytes) return absl::OkStatus();
  if (journal->CheckSpace(needed + kSpaceAheadBytes).ok()) {
    grant->granted_bytes = needed + kSpaceAheadBytes;
    return absl::OkStatus();
  }
  return journal->CheckSpace(needed);
}

void Engine::Impl::HandleWrite(EngineTask task, SpaceGrant* grant, CommitGroup* group) {
  if (journal->poisoned()) {
    task.done(absl::UnavailableError(
        "writes are stopped since an append to the log failed; restart the server to recover"));
    return;
  }
  index::Command command;
  index::CommandHeader& header = command.header;
  header.log_id = journal->log_id().bytes;
  header.request_id = std::move(task.write.request_id);
  header.actor = std::move(task.write.actor);
  header.known_index = task.write.known_index;
  header.expected_state_index = task.write.expected_state_index;
  command.operations = std::move(task.write.operations);
  index::Seal(command);
  if (!header.request_id.empty()) {
    const index::RequestKey key = index::MakeRequestKey(header.actor, header.request_id);
    if (const auto seen = state->FindRequest(key)) {
      const index::LogIndex first = seen->index;
      if (seen->body == index::RequestBody(header)) {
        group->completions.push_back(
            [this, first, done = std::move(task.done)](const absl::Status& status) {
              done(status.ok() ? ReadResult(first, true) : status);
            });
        return;
      }
      return AnswerRetry(first, std::move(command), std::move(task.done), group);
    }
    const index::LogIndex oldest = state->oldest_request_index();
    if (header.known_index != 0 && header.known_index < oldest) {
      WriteResult result;
      result.commit.outcome = index::Outcome::kRequestTooOld;
      result.commit.current = oldest;
      task.done(result);
      return;
    }
  }
  absl::Status space = memory_limit->Admit(command.operations, task.bytes);
  if (space.ok()) space = CheckSpace(group->bytes + task.bytes + kEntryOverheadBytes, grant);
  if (!space.ok()) {
    task.done(space);
    return;
  }
  ApplyCommand(std::move(command), std::move(task.done), group);
}

void Engine::Impl::ApplyCommand(index::Command command, Engine::WriteCallback done,
                                CommitGroup* group) {
  index::CommandHeader& header = command.header;
  header.clock_micros = ClockMicros();
  header.timestamp_micros = std::max(header.clock_micros, state->last_timestamp_micros());
  const index::ApplyResult applied = state->Apply(state->next_index(), command);
  std::string commit_bytes;
  group->entries.push_back(MakeEntryWrite(command, applied, &commit_bytes));
  const index::Hash leaf = index::LogLeaf(commit_bytes);
  log_tree.Append(leaf);
  std::vector<index::LogTile> tiles;
  log_tiles.Append(leaf, &tiles);
  for (const index::LogTile& tile : tiles) {
    group->entries.back().tiles.push_back(MakeTileWrite(tile));
    group->bytes += group->entries.back().tiles.back().bytes.size();
  }
  for (const std::string& item : group->entries.back().items) group->bytes += item.size();
  group->bytes += group->entries.back().entry.size();
  group->bytes += group->entries.back().history.size() * kHistoryRowBytes;
  const index::CommitRecord& commit = applied.commit;
  group->records_written += commit.inserted_count + commit.updated_count + commit.deleted_count;
  const bool erases =
      !state->pending_erasures().empty() && state->pending_erasures().back() == commit.index;
  group->completions.push_back(
      [this, commit, erases, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        if (erases) NoteErasure(commit.index);
        done(WriteResult{commit, PositionOf(commit), false});
      });
}

void Engine::Impl::HandleFindOutcome(EngineTask task, CommitGroup* group) {
  const auto seen =
      state->FindRequest(index::MakeRequestKey(task.write.actor, task.write.request_id));
  const std::optional<index::LogIndex> index =
      seen.has_value() ? std::optional<index::LogIndex>(seen->index) : std::nullopt;
  group->completions.push_back(
      [this, index, done = std::move(task.done)](const absl::Status& status) {
        if (!index.has_value()) return done(absl::NotFoundError("the request was not seen"));
        done(status.ok() ? ReadResult(*index, true) : status);
      });
}

void Engine::Impl::HandleSnapshot(EngineTask task, CommitGroup* group) {
  auto order = std::make_shared<Snapshotter::Order>();
  index::SnapshotBasis& basis = order->basis;
  basis.log_id = journal->log_id().bytes;
  basis.log_index = state->next_index() - 1;
  basis.state_index = state->state_index();
  basis.rules_version = state->rules_version();
  basis.timestamp_micros = state->last_timestamp_micros();
  basis.state_root = state->state_root();
  basis.log_tree = log_tree;
  basis.requests = state->MakeRequestView();
  basis.pending_erasures = state->pending_erasures();
  basis.history_entries = state->history_entries();
  order->pin = readers.Take(basis.log_index, engine->published_.load());
  order->done = [this, done = std::move(task.snapshot_done)](absl::StatusOr<SnapshotInfo> info) {
    FinishSnapshot(std::move(info), done);
  };
  log_bytes_since_snapshot = 0;
  group->completions.push_back([this, order](const absl::Status& status) {
    if (status.ok()) {
      snapshotter->Take(order);
    } else {
      order->done(status);
    }
  });
}

absl::StatusOr<WriteResult> Engine::Impl::ReadResult(index::LogIndex index, bool duplicate) const {
  if (index > engine->published_.load()) {
    return absl::UnavailableError(
        "the outcome is unknown until the server is restarted: an append to the log failed");
  }
  absl::StatusOr<std::string> bytes = journal->ReadEntry(index);
  if (!bytes.ok()) return bytes.status();
  const auto row = index::DecodeEntryRow(*bytes);
  const auto commit = row.has_value() ? index::DecodeCommitRecord(row->commit) : std::nullopt;
  if (!commit.has_value()) {
    return DamagedEntry(index, "its commit record is malformed");
  }
  return WriteResult{*commit, PositionOf(*commit), duplicate};
}

void Engine::Impl::Reclaim(size_t steps_max) {
  const index::LogIndex horizon = engine->horizon_.load();
  // Without any reader nobody can still have what was unlinked before this.
  const ReaderRegistry::Held held = readers.OldestHeld(index::kNever);
  std::vector<std::unique_ptr<index::Collection>> garbage;
  state->Reclaim(std::min(horizon, held.at), held.began, steps_max, &garbage);
  const index::LogIndex oldest = state->oldest_dead();
  reclaimed_through = oldest == index::kNever ? state->next_index() - 1 : oldest - 1;
  if (garbage.empty()) return;
  auto shared =
      std::make_shared<std::vector<std::unique_ptr<index::Collection>>>(std::move(garbage));
  snapshotter->Run([shared] { shared->clear(); });
}

std::unique_ptr<CommitGroup> Engine::Impl::TakeGroup(Gathering* gathering) {
  std::unique_lock lock(handoff_mutex);
  handoff_filled.wait(lock, [&] { return handoff != nullptr || applier_done; });
  if (handoff == nullptr) return nullptr;
  handoff_wanted = gathering->Wanted(handoff->entries.size(), handoff->bytes);
  if (handoff_wanted > 0) {
    handoff_filled.wait_for(lock, gathering->TimeMax(), [&] {
      return handoff->entries.size() >= handoff_wanted || applier_done;
    });
    gathering->Waited(handoff->entries.size(), handoff_wanted);
    handoff_wanted = 0;
  }
  return std::move(handoff);
}

void Engine::Impl::CommitterLoop() {
  Gathering gathering;
  while (std::unique_ptr<CommitGroup> group = TakeGroup(&gathering)) {
    handoff_taken.notify_one();
    const size_t entries = group->entries.size();
    const auto began = std::chrono::steady_clock::now();
    Commit(std::move(*group));
    const auto took = std::chrono::steady_clock::now() - began;
    size_t waiting = 0;
    {
      std::lock_guard lock(handoff_mutex);
      if (handoff != nullptr) waiting = handoff->entries.size();
    }
    gathering.Synced(entries, waiting, std::chrono::duration_cast<std::chrono::microseconds>(took));
  }
  {
    std::lock_guard lock(notices_mutex);
    committer_done = true;
  }
  notices_filled.notify_one();
}

void Engine::Impl::Commit(CommitGroup group) {
  Notice notice;
  const bool appends = !group.entries.empty();
  if (appends && journal->poisoned()) {
    // Entries of this group were applied before the failure was known; readers never see them.
    notice.status = absl::UnavailableError("writes are stopped since an append to the log failed");
  } else if (appends) {
    const absl::Status status = journal->Append(group.entries, group.log_root);
    if (status.ok()) {
      notice.reached = Publish(group);
    } else {
      notice.status = absl::UnavailableError(
          absl::StrCat("the write could not be made durable, and its outcome is unknown until the "
                       "server is restarted: ",
                       status.message()));
    }
  }
  unsynced_bytes -= group.bytes;
  if (notice.status.ok()) MaybeQueueSnapshot(group.bytes);
  notice.completions = std::move(group.completions);
  {
    std::lock_guard lock(notices_mutex);
    notices.push_back(std::move(notice));
  }
  notices_filled.notify_one();
}

void Engine::Impl::MaybeQueueSnapshot(uint64_t bytes) {
  const uint64_t limit = engine->options_.snapshot_log_bytes;
  if (limit == 0 || log_bytes_since_snapshot.fetch_add(bytes) + bytes < limit) return;
  if (snapshot_queued.exchange(true)) return;
  engine->CreateSnapshot([this](absl::StatusOr<SnapshotInfo>) { snapshot_queued = false; });
}

std::vector<std::function<void(bool)>> Engine::Impl::Publish(const CommitGroup& group) {
  entries_applied += group.entries.size();
  records_written += group.records_written;
  const index::LogIndex next = group.last_index + 1;
  engine->oldest_request_index_.store(std::max(
      journal->base_index(), next > index::kDedupEntries ? next - index::kDedupEntries : 0));
  std::vector<std::function<void(bool)>> reached;
  std::lock_guard lock(published_mutex);
  published_log_root = group.log_root;
  engine->published_.store(group.last_index);
  retention = group.retention;
  const uint64_t history = retention.history_entries;
  if (group.last_index > history) RaiseHorizon(group.last_index - history);
  const auto end = waiters.upper_bound(group.last_index);
  for (auto waiter = waiters.begin(); waiter != end; ++waiter) {
    reached.push_back(std::move(waiter->second.second));
  }
  waiters.erase(waiters.begin(), end);
  return reached;
}

void Engine::Impl::NotifierLoop() {
  for (;;) {
    std::deque<Notice> taken;
    {
      std::unique_lock lock(notices_mutex);
      notices_filled.wait(lock, [&] { return !notices.empty() || committer_done; });
      if (notices.empty()) return;
      taken.swap(notices);
    }
    Notify(std::move(taken));
  }
}

void Engine::Impl::Notify(std::deque<Notice> taken) {
  for (Notice& notice : taken) {
    for (auto& callback : notice.reached) callback(true);
    for (Completion& completion : notice.completions) completion(notice.status);
  }
}

void Engine::Impl::FinishSnapshot(absl::StatusOr<SnapshotInfo> info,
                                  std::function<void(absl::StatusOr<SnapshotInfo>)> done) {
  if (!info.ok()) {
    if (done) done(std::move(info));
    return;
  }
  {
    std::lock_guard lock(snapshot_mutex);
    newest_snapshot_index = info->log_index;
    newest_snapshot_micros = ClockMicros();
  }
  index::Operation seal;
  seal.kind = index::OperationKind::kSnapshotSealed;
  seal.index = info->log_index;
  seal.snapshot_hash = info->snapshot_hash;
  EngineTask task;
  task.write.actor = "stele";
  task.write.operations.push_back(index::Prepare(std::move(seal)));
  task.done = [info = *info, done = std::move(done)](absl::StatusOr<WriteResult>) {
    if (done) done(info);
  };
  Enqueue(std::move(task));
}

}  // namespace stele::server
