#include "server/replay_without.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "index/commit_record.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

constexpr uint64_t kEntriesPerCheck = 32;

absl::Status Damaged(index::LogIndex index) {
  return absl::DataLossError(absl::StrCat("entry ", index, " is malformed"));
}

// Changes no state, whatever it is applied to.
index::Command Nothing(const index::CommandHeader& header) {
  index::Command command;
  command.header = header;
  command.header.request_id.clear();
  command.header.known_index = 0;
  command.header.expected_state_index.reset();
  index::Operation operation;
  operation.kind = index::OperationKind::kSnapshotSealed;
  command.operations.push_back(index::Prepare(std::move(operation)));
  index::Seal(command);
  return command;
}

absl::StatusOr<index::Command> Decode(index::LogIndex index, index::CommandHeader header,
                                      std::span<const std::string_view> items) {
  index::Command command;
  command.header = std::move(header);
  for (const std::string_view item : items) {
    std::optional<index::Operation> operation = index::DecodeOperation(item);
    if (!operation.has_value() || operation->erased) {
      return absl::FailedPreconditionError(
          absl::StrCat("content of entry ", index,
                       " has been erased; without it the state cannot be built anew"));
    }
    command.operations.push_back(index::Prepare(*std::move(operation)));
  }
  index::Seal(command);
  return command;
}

// The state before the log's first entry.
absl::StatusOr<std::unique_ptr<index::StateMachine>> BaseState(const Engine& engine) {
  const index::LogIndex base = engine.base_index();
  if (base == 0) return std::make_unique<index::StateMachine>(SeedOf(engine.log_id().bytes));
  auto file = storage::SnapshotFile::Open(absl::StrCat(
      SnapshotDirectory(engine.data_directory()), "/", storage::SnapshotStore::FileName(base - 1)));
  if (!file.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the snapshot that this log continues is not there: ", file.status().message()));
  }
  auto manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  auto loaded = LoadSnapshot(**file, *manifest, false);
  if (!loaded.ok()) return loaded.status();
  return std::move(loaded->state);
}

}  // namespace

absl::StatusOr<ReplayedState> ReplayWithout(
    const Engine& engine, index::LogIndex to,
    const std::function<bool(index::LogIndex, const index::CommandHeader&)>& leave_out,
    const std::function<bool()>& stopped) {
  const index::LogIndex base = engine.base_index();
  if (to - base >= kReplayEntriesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the log has ", to - base + 1, " entries up to ", to, ", at most ",
                     kReplayEntriesMax, " are applied anew for one question"));
  }
  absl::StatusOr<std::unique_ptr<index::StateMachine>> state = BaseState(engine);
  if (!state.ok()) return state.status();
  ReplayedState replayed;
  replayed.state = *std::move(state);
  uint64_t bytes = 0;
  std::vector<std::unique_ptr<index::Collection>> garbage;
  const absl::Status status = engine.journal().Scan(
      base, to,
      [&](uint64_t index, std::string_view entry,
          std::span<const std::string_view> items) -> absl::Status {
        if (replayed.entries_applied % kEntriesPerCheck == 0 && stopped()) {
          return absl::CancelledError("stopped");
        }
        const auto row = index::DecodeEntryRow(entry);
        auto header = row.has_value() ? index::DecodeHeader(row->header) : std::nullopt;
        const auto commit = row.has_value() ? index::DecodeCommitRecord(row->commit) : std::nullopt;
        if (!header.has_value() || !commit.has_value()) return Damaged(index);
        ++replayed.entries_applied;
        if (leave_out(index, *header)) {
          ++replayed.entries_left_out;
          replayed.state->Apply(index, Nothing(*header));
          return absl::OkStatus();
        }
        for (const std::string_view item : items) bytes += item.size();
        if (bytes > kReplayBytesMax) {
          return absl::ResourceExhaustedError(absl::StrCat(
              "the log has more than ", kReplayBytesMax,
              " bytes of operations, the most that are applied anew for one question"));
        }
        const absl::StatusOr<index::Command> command = Decode(index, *std::move(header), items);
        if (!command.ok()) return command.status();
        const index::ApplyResult result = replayed.state->Apply(index, *command);
        if (result.commit.outcome != commit->outcome) ++replayed.outcomes_changed;
        // Nobody looks back: what died is freed at once.
        replayed.state->Reclaim(index, index, 1u << 14, &garbage);
        garbage.clear();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return replayed;
}

}  // namespace stele::server
