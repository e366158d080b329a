#include "server/engine.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/engine_impl.h"
#include "server/history_index.h"
#include "server/log_nodes.h"
#include "server/tile_unit.h"

namespace stele::server {
namespace {

// The entry after the newest snapshot whose manifest reads well: where checking must begin. What
// lies before it has been checked when it was written, and is again by --verify.
index::LogIndex FirstUnsealedEntry(const std::string& data_directory) {
  const auto store = OpenSnapshotsReadOnly(data_directory);
  if (!store.ok()) return 0;
  auto listed = (*store)->List();
  if (!listed.ok()) return 0;
  for (const auto& snapshot : *listed) {
    auto file = storage::SnapshotFile::Open(snapshot.path);
    if (file.ok() && ReadManifest(**file).ok()) return snapshot.index + 1;
  }
  return 0;
}

}  // namespace

std::string RecoveryReport::Describe() const {
  std::string text = created ? "created a new log" : "recovered";
  if (snapshot_index.has_value())
    absl::StrAppend(&text, " from the snapshot of entry ", *snapshot_index);
  if (!created && !snapshot_index.has_value()) absl::StrAppend(&text, " from the log alone");
  absl::StrAppend(&text, ", replayed ", replayed_entries, " entries, log index ",
                  position.log_index, ", state root ", Hex(position.state_root));
  if (given_effects > 0) {
    absl::StrAppend(&text, "; ", given_effects,
                    " effects were taken from the log, since their content was erased");
  }
  for (const std::string& refused : refused_snapshots) {
    absl::StrAppend(&text, "; refused snapshot ", refused);
  }
  return text;
}

const index::Collection* ReadView::FindCollection(std::string_view name) const {
  return engine_->impl_->state->FindCollection(name, n());
}

const index::Collection* ReadView::SeekCollection(std::string_view name) const {
  return engine_->impl_->state->SeekCollection(name, n());
}

absl::StatusOr<std::string> ReadView::ReadDocument(const index::DocumentRef& document) const {
  absl::StatusOr<index::StoredDocument> stored =
      server::ReadDocument(*engine_->impl_->journal, document);
  if (!stored.ok()) return stored.status();
  return std::move(stored->bytes);
}

int64_t Engine::Impl::ClockMicros() const {
  return engine->options_.clock_micros ? engine->options_.clock_micros() : SystemClockMicros();
}

Engine::Engine(EngineOptions options) : options_(std::move(options)), impl_(new Impl) {
  impl_->engine = this;
  kernels_ = options_.kernels != nullptr ? options_.kernels : &BestKernels();
  options_.history_entries = std::min(options_.history_entries, index::kHistoryEntriesMax);
  options_.snapshots_kept = std::max(options_.snapshots_kept, 1u);
}

Engine::Retention Engine::Impl::RetentionOf(const index::StateMachine& machine) const {
  const std::optional<uint64_t> logged = machine.history_entries();
  return {logged.value_or(engine->options_.history_entries), logged.has_value()};
}

Engine::~Engine() { impl_->Close(); }

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(EngineOptions options,
                                                     RecoveryReport* report) {
  std::unique_ptr<Engine> engine(new Engine(std::move(options)));
  Impl& impl = *engine->impl_;
  const storage::Journal::Options journal_options = JournalOptions(engine->options_);
  auto journal =
      storage::Journal::Open(journal_options, FirstUnsealedEntry(journal_options.directory));
  if (absl::IsNotFound(journal.status())) {
    report->created = true;
    journal = storage::Journal::Create(journal_options, storage::LogId{RandomLogId()}, 0);
  }
  if (!journal.ok()) return journal.status();
  impl.journal = *std::move(journal);
  storage::SnapshotStore::Options store_options;
  store_options.directory = SnapshotDirectory(journal_options.directory);
  store_options.file_system = engine->options_.file_system;
  auto store = storage::SnapshotStore::Open(store_options);
  if (!store.ok()) return store.status();
  impl.store = *std::move(store);

  absl::StatusOr<Recovered> recovered = LoadNewestSnapshot(*impl.store, *impl.journal, report);
  if (!recovered.ok()) return recovered.status();
  const index::LogIndex loaded = recovered->state->next_index();
  absl::Status status = Replay(*impl.journal, engine->options_.history_entries, std::nullopt,
                               engine->options_.recovery_progress, &*recovered, report);
  if (!status.ok()) return status;
  if (recovered->state->next_index() == 0) {
    index::Operation genesis;
    genesis.kind = index::OperationKind::kGenesis;
    genesis.rules_version = index::kRulesVersion;
    status = AppendFirstEntry(*impl.journal, std::move(genesis), impl.ClockMicros(), &*recovered);
  } else {
    status = impl.journal->AdvanceWatermark(
        {impl.journal->log_id(), recovered->state->next_index() - 1, recovered->log_tree.Root()});
  }
  if (!status.ok()) return status;
  absl::StatusOr<index::LogTree> base = ReadBaseTree(*impl.store, *impl.journal);
  if (!base.ok()) return base.status();
  impl.base_tree = *std::move(base);
  absl::StatusOr<index::LogTiles> tiles =
      CompleteTiles(impl.journal.get(), impl.base_tree, recovered->log_tree);
  if (!tiles.ok()) return tiles.status();
  impl.log_tiles = *std::move(tiles);
  status = CompleteHistory(impl.journal.get());
  if (!status.ok()) return status;
  FillReport(*recovered, report);

  const index::LogIndex last = recovered->state->next_index() - 1;
  impl.retention = impl.RetentionOf(*recovered->state);
  const uint64_t history = impl.retention.history_entries;
  engine->published_ = last;
  // Before an erasure there are states that are not whole any more.
  engine->horizon_ = std::max({loaded > 0 ? loaded - 1 : 0, last > history ? last - history : 0,
                               recovered->state->newest_erasure()});
  engine->oldest_request_index_ = recovered->state->oldest_request_index();
  impl.published_log_root = recovered->log_tree.Root();
  impl.state = std::move(recovered->state);
  impl.memory_limit = std::make_unique<MemoryLimit>(engine->options_.memory_limit_bytes);
  impl.pending_erasures = impl.state->pending_erasures();
  impl.log_tree = recovered->log_tree;
  impl.newest_snapshot_index = report->snapshot_index;
  const uint32_t cores = std::max(1u, std::thread::hardware_concurrency());
  impl.pool = std::make_unique<SearchPool>(
      engine->options_.search_threads != 0 ? engine->options_.search_threads : cores);
  impl.snapshotter =
      std::make_unique<Snapshotter>(impl.state.get(), impl.journal.get(), impl.store.get(),
                                    engine->options_.snapshots_kept, engine->options_.stepped);
  if (!engine->options_.stepped) impl.Start();
  return engine;
}

void Engine::Submit(WriteTask task, WriteCallback done) {
  EngineTask queued;
  queued.write = std::move(task);
  queued.done = std::move(done);
  for (const index::PreparedOperation& operation : queued.write.operations) {
    queued.bytes += operation.bytes.size();
  }
  bool full = false;
  {
    std::lock_guard lock(impl_->queue_mutex);
    full = impl_->queue_bytes + queued.bytes > options_.queue_bytes_max && !impl_->queue.empty();
  }
  if (full) {
    queued.done(absl::ResourceExhaustedError(
        absl::StrCat("the write queue holds ", options_.queue_bytes_max,
                     " bytes already; nothing was logged, send it again later")));
    return;
  }
  impl_->Enqueue(std::move(queued));
}

void Engine::FindOutcome(std::string actor, std::string request_id, WriteCallback done) {
  EngineTask task;
  task.kind = EngineTask::Kind::kFindOutcome;
  task.write.actor = std::move(actor);
  task.write.request_id = std::move(request_id);
  task.done = std::move(done);
  impl_->Enqueue(std::move(task));
}

absl::StatusOr<ReadView> Engine::Read(std::optional<index::LogIndex> at_index) const {
  ReadView view;
  view.engine_ = this;
  for (;;) {
    const index::LogIndex published = published_.load();
    const index::LogIndex at = at_index.value_or(published);
    if (at > published) {
      return absl::OutOfRangeError(
          absl::StrCat("index ", at, " is beyond the newest entry, ", published));
    }
    view.pin_ = impl_->readers.Take(at, published);
    const index::LogIndex horizon = horizon_.load();
    if (at >= horizon) {
      const index::RequestEntry& entry = impl_->state->EntryAt(at);
      view.position_ = {at, entry.state_index, entry.state_root};
      return view;
    }
    view.pin_ = {};
    if (at_index.has_value()) {
      return absl::OutOfRangeError(
          absl::StrCat("index ", at, " is before the oldest that is kept, ", horizon));
    }
  }
}

absl::StatusOr<index::LogIndex> Engine::IndexAtTime(int64_t time_micros) const {
  const absl::StatusOr<ReadView> newest = Read(std::nullopt);
  if (!newest.ok()) return newest.status();
  index::LogIndex low = horizon_.load();
  index::LogIndex high = newest->n();
  // The horizon may have passed the view meanwhile.
  low = std::min(low, high);
  const auto time_of = [this](index::LogIndex n) {
    return impl_->state->EntryAt(n).timestamp_micros;
  };
  const int64_t oldest = time_of(low);
  if (time_micros < oldest) {
    return absl::OutOfRangeError(absl::StrCat(
        "time ", time_micros, " is before that of the oldest entry that is kept, ", low,
        ", which was logged at ", oldest, " (microseconds since 1970-01-01T00:00:00Z)"));
  }
  // Times never fall, and that of `low` is not above.
  while (low < high) {
    const index::LogIndex middle = low + (high - low + 1) / 2;
    if (time_of(middle) <= time_micros) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

Engine::Retention Engine::retention() const {
  std::lock_guard lock(impl_->published_mutex);
  return impl_->retention;
}

uint64_t Engine::WhenPublished(index::LogIndex index, std::function<void(bool)> callback) {
  {
    std::lock_guard lock(impl_->published_mutex);
    if (published_.load() < index) {
      const uint64_t id = impl_->next_waiter++;
      impl_->waiters.emplace(index, std::make_pair(id, std::move(callback)));
      return id;
    }
  }
  callback(true);
  return 0;
}

void Engine::CancelWait(uint64_t id) {
  std::function<void(bool)> dropped;
  std::lock_guard lock(impl_->published_mutex);
  for (auto waiter = impl_->waiters.begin(); waiter != impl_->waiters.end(); ++waiter) {
    if (waiter->second.first != id) continue;
    dropped = std::move(waiter->second.second);
    impl_->waiters.erase(waiter);
    return;
  }
}

absl::StatusOr<SearchAnswer> Engine::Search(const ReadView& view,
                                            const index::Collection& collection,
                                            std::span<const index::SearchQuery> queries,
                                            const std::function<bool()>& cancelled) const {
  const index::SearchScan scan(collection, view.n(), queries, *kernels_);
  std::optional<SearchAnswer> answer = ParallelSearch(impl_->pool.get(), scan, cancelled);
  if (!answer.has_value()) return absl::CancelledError("the search was cancelled");
  impl_->searches += queries.size();
  for (const index::SearchCounts& counts : answer->counts) impl_->rows_scanned += counts.rows;
  return *std::move(answer);
}

void Engine::CreateSnapshot(std::function<void(absl::StatusOr<SnapshotInfo>)> done) {
  EngineTask task;
  task.kind = EngineTask::Kind::kSnapshot;
  task.snapshot_done = std::move(done);
  impl_->Enqueue(std::move(task));
}

void Engine::Inspect(std::function<void(const index::StateMachine&)> look,
                     std::function<void(const absl::Status&)> done) {
  EngineTask task;
  task.kind = EngineTask::Kind::kInspect;
  task.look = std::move(look);
  task.done = [done = std::move(done)](const absl::StatusOr<WriteResult>& result) {
    done(result.status());
  };
  impl_->Enqueue(std::move(task));
}

std::vector<SnapshotInfo> Engine::ListSnapshots() const {
  std::vector<SnapshotInfo> infos;
  auto listed = impl_->store->List();
  if (!listed.ok()) return infos;
  for (const auto& snapshot : *listed) {
    auto file = storage::SnapshotFile::Open(snapshot.path);
    if (!file.ok()) continue;
    auto manifest = ReadManifest(**file);
    if (manifest.ok()) infos.push_back(DescribeSnapshot(**file, *manifest));
  }
  return infos;
}

const storage::LogId& Engine::log_id() const { return impl_->journal->log_id(); }
index::LogIndex Engine::base_index() const { return impl_->journal->base_index(); }
index::Hash Engine::log_root() const {
  std::lock_guard lock(impl_->published_mutex);
  return impl_->published_log_root;
}
const storage::Journal& Engine::journal() const { return *impl_->journal; }
const index::LogTree& Engine::base_tree() const { return impl_->base_tree; }
bool Engine::write_poisoned() const { return impl_->journal->poisoned(); }
uint32_t Engine::search_threads() const { return impl_->pool->threads(); }
void Engine::CountJoined(uint64_t searches) const { impl_->searches_joined += searches; }

EngineStats Engine::stats() const {
  EngineStats stats;
  stats.entries_applied = impl_->entries_applied;
  stats.erased_items = impl_->erased_items;
  {
    std::lock_guard lock(impl_->erasure_mutex);
    stats.pending_erasures = impl_->pending_erasures.size();
  }
  stats.records_written = impl_->records_written;
  stats.active_readers = impl_->readers.active();
  stats.searches = impl_->searches;
  stats.searches_joined = impl_->searches_joined;
  stats.rows_scanned = impl_->rows_scanned;
  stats.journal = impl_->journal->stats();
  {
    std::lock_guard lock(impl_->queue_mutex);
    stats.queue_depth = impl_->queue.size();
    stats.queue_bytes = impl_->queue_bytes;
  }
  std::lock_guard lock(impl_->snapshot_mutex);
  stats.newest_snapshot_index = impl_->newest_snapshot_index;
  stats.newest_snapshot_micros = impl_->newest_snapshot_micros;
  return stats;
}

}  // namespace stele::server
