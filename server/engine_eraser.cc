// Behind an erasure: its content is destroyed in memory, in the log and in snapshots, and then an
// entry says so. Until that entry is durable all of it is done again after a restart.
#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "server/engine_impl.h"
#include "server/erasure.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

constexpr std::chrono::milliseconds kPollPeriod{10};
constexpr std::chrono::seconds kRetryPeriod{1};

// Whether the operation, given the salt of the one that was logged, is the one that was logged. Of
// content that has been erased nothing can be told.
bool IsSameOperation(index::Operation operation, std::string_view logged) {
  const auto stored = index::DecodeOperation(logged);
  if (!stored.has_value() || stored->salted != operation.salted) return false;
  operation.salt = stored->salt;
  if (stored->erased) {
    operation = index::WithoutContent(operation);
    operation.digest = stored->digest;
  }
  return index::EncodeOperation(operation) == logged;
}

absl::StatusOr<bool> IsSameRequest(const storage::Journal& journal, index::LogIndex first,
                                   const index::Command& command) {
  const auto bytes = journal.ReadEntry(first);
  if (!bytes.ok()) return bytes.status();
  const auto row = index::DecodeEntryRow(*bytes);
  const auto header = row.has_value() ? index::DecodeHeader(row->header) : std::nullopt;
  if (!header.has_value()) {
    return DamagedEntry(first, "its row is malformed");
  }
  if (header->item_count != command.operations.size() ||
      header->expected_state_index != command.header.expected_state_index) {
    return false;
  }
  for (uint32_t i = 0; i < header->item_count; ++i) {
    const auto item = journal.ReadItem(first, i);
    if (!item.ok()) return item.status();
    if (!IsSameOperation(command.operations[i].operation, *item)) return false;
  }
  return true;
}

}  // namespace

void Engine::Impl::AnswerRetry(index::LogIndex first, index::Command command,
                               Engine::WriteCallback done, CommitGroup* group) {
  WriteResult reused;
  reused.commit.outcome = index::Outcome::kRequestIdReused;
  reused.commit.index = reused.commit.current = first;
  const bool salted = std::any_of(command.operations.begin(), command.operations.end(),
                                  [](const auto& prepared) { return prepared.operation.salted; });
  if (!salted) return done(reused);
  // The same content has another commitment, since its salts are others: compare the content.
  const auto shared = std::make_shared<const index::Command>(std::move(command));
  group->completions.push_back(
      [this, first, shared, reused, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        if (first > engine->published_.load()) return done(ReadResult(first, true));
        const absl::StatusOr<bool> same = IsSameRequest(*journal, first, *shared);
        if (!same.ok()) return done(same.status());
        done(*same ? ReadResult(first, true) : reused);
      });
}

Engine::ErasureState Engine::FindErasure(index::LogIndex index) const {
  std::lock_guard lock(impl_->erasure_mutex);
  const auto& pending = impl_->pending_erasures;
  ErasureState state;
  state.pending = std::find(pending.begin(), pending.end(), index) != pending.end();
  if (state.pending) state.error = impl_->erasure_error;
  return state;
}

void Engine::Impl::NoteErasure(index::LogIndex index) {
  {
    std::lock_guard lock(erasure_mutex);
    pending_erasures.push_back(index);
  }
  erasure_wanted.notify_all();
}

void Engine::Impl::StopErasures() {
  {
    std::lock_guard lock(erasure_mutex);
    erasures_stopped = true;
  }
  erasure_wanted.notify_all();
  if (eraser.joinable()) eraser.join();
}

bool Engine::Impl::ErasuresStopped() const {
  std::lock_guard lock(erasure_mutex);
  return erasures_stopped;
}

void Engine::Impl::RaiseHorizon(index::LogIndex index) {
  index::LogIndex before = engine->horizon_.load();
  while (before < index && !engine->horizon_.compare_exchange_weak(before, index)) {
  }
}

void Engine::Impl::EraserLoop() {
  for (;;) {
    std::vector<index::LogIndex> entries;
    {
      std::unique_lock lock(erasure_mutex);
      erasure_wanted.wait(lock, [&] { return erasures_stopped || !pending_erasures.empty(); });
      if (erasures_stopped) return;
      entries = pending_erasures;
    }
    const absl::Status status = DestroyContent(entries);
    std::unique_lock lock(erasure_mutex);
    erasure_error = status;
    if (status.ok()) {
      std::erase_if(pending_erasures, [&](index::LogIndex entry) {
        return std::find(entries.begin(), entries.end(), entry) != entries.end();
      });
      continue;
    }
    if (erasure_wanted.wait_for(lock, kRetryPeriod, [&] { return erasures_stopped; })) return;
  }
}

// What is older than the erasure can be read no more, and is freed once nobody reads it.
absl::Status Engine::Impl::WaitForMemory(index::LogIndex through) {
  while (reclaimed_through.load() < through) {
    if (ErasuresStopped()) return absl::CancelledError("stopped");
    std::this_thread::sleep_for(kPollPeriod);
  }
  return absl::OkStatus();
}

absl::Status Engine::Impl::RunOnSnapshotter(std::function<absl::Status()> task) {
  const auto outcome = std::make_shared<std::promise<absl::Status>>();
  snapshotter->Run([outcome, task = std::move(task)] { outcome->set_value(task()); });
  // To the end, whoever stops: the task may use what is the caller's.
  return outcome->get_future().get();
}

absl::Status Engine::Impl::LogCompletion(index::LogIndex entry, uint64_t items,
                                         uint64_t snapshots) {
  index::Operation completed;
  completed.kind = index::OperationKind::kErasureCompleted;
  completed.index = entry;
  completed.items_count = items;
  completed.snapshots_count = snapshots;
  const auto outcome = std::make_shared<std::promise<absl::Status>>();
  EngineTask task;
  task.write.actor = "stele";
  task.write.operations.push_back(index::Prepare(std::move(completed)));
  task.done = [outcome](const absl::StatusOr<WriteResult>& result) {
    outcome->set_value(result.status());
  };
  Enqueue(std::move(task));
  return outcome->get_future().get();
}

absl::Status Engine::Impl::DestroyContent(const std::vector<index::LogIndex>& entries) {
  const absl::StatusOr<ErasureTargets> targets = ReadTargets(*journal, entries);
  if (!targets.ok()) return targets.status();
  RaiseHorizon(targets->through);
  absl::Status status = WaitForMemory(targets->through);
  // Snapshots of older states are written first: they need the documents.
  if (status.ok()) status = RunOnSnapshotter([] { return absl::OkStatus(); });
  uint64_t items = 0;
  uint64_t snapshots = 0;
  const auto stopped = [this] { return ErasuresStopped(); };
  if (status.ok()) status = DestroyInLog(journal.get(), *store, *targets, stopped, &items);
  if (status.ok()) {
    status = RunOnSnapshotter([this, &targets, &snapshots] {
      return DestroyInSnapshots(store.get(), *targets, &snapshots);
    });
  }
  erased_items += items;
  for (size_t i = 0; status.ok() && i < entries.size(); ++i) {
    status = LogCompletion(entries[i], items, snapshots);
  }
  return status;
}

}  // namespace stele::server
