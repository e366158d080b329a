#include "server/offline.h"

#include "absl/strings/str_cat.h"
#include "index/snapshot.h"
#include "server/data_directory.h"
#include "server/history_index.h"
#include "server/log_nodes.h"
#include "server/recovery.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {
namespace {

// A snapshot file that has passed every check it can pass by itself.
struct VerifiedSnapshot {
  std::unique_ptr<storage::SnapshotFile> file;
  index::SnapshotManifest manifest;
  Recovered recovered;
};

absl::StatusOr<VerifiedSnapshot> OpenAndVerify(const std::string& path) {
  auto file = storage::SnapshotFile::Open(path);
  if (!file.ok()) return file.status();
  auto manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<Recovered> recovered = LoadSnapshot(**file, *manifest, true);
  if (!recovered.ok()) return recovered.status();
  return VerifiedSnapshot{*std::move(file), *std::move(manifest), *std::move(recovered)};
}

absl::StatusOr<std::unique_ptr<storage::Journal>> OpenReadOnly(const EngineOptions& options) {
  storage::Journal::Options journal_options = JournalOptions(options);
  journal_options.read_only = true;
  return storage::Journal::Open(journal_options, 0);
}

absl::StatusOr<Recovered> ReplayJournal(const storage::Journal& journal,
                                        const std::string& data_directory,
                                        const ReplayProgress& progress,
                                        std::optional<index::LogIndex> at_index,
                                        RecoveryReport* report) {
  Recovered recovered;
  if (journal.base_index() == 0) {
    recovered.state = std::make_unique<index::StateMachine>(SeedOf(journal.log_id().bytes));
  } else {
    absl::StatusOr<VerifiedSnapshot> base =
        OpenAndVerify(SnapshotDirectory(data_directory) + "/" +
                      storage::SnapshotStore::FileName(journal.base_index() - 1));
    if (!base.ok()) return base.status();
    recovered = std::move(base->recovered);
    report->snapshot_index = base->manifest.log_index;
  }
  absl::Status status = Replay(journal, 0, at_index, progress, &recovered, report);
  if (!status.ok()) return status;
  FillReport(recovered, report);
  return recovered;
}

absl::Status CheckHeld(const storage::Journal& journal, std::optional<index::LogIndex> at_index) {
  if (!at_index.has_value() ||
      (*at_index <= journal.end_index().value_or(0) && *at_index + 1 >= journal.base_index())) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat("the log holds no entry ", *at_index));
}

}  // namespace

absl::Status RestoreSnapshot(const std::string& snapshot_path, const EngineOptions& options,
                             RecoveryReport* report) {
  if (const auto foreign = ForeignNames(options.data_directory); !foreign.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory ", options.data_directory,
                     " must be new or empty to restore into it, and holds ", foreign.front()));
  }
  absl::StatusOr<VerifiedSnapshot> snapshot = OpenAndVerify(snapshot_path);
  if (!snapshot.ok()) return snapshot.status();
  if (const uint64_t erased = snapshot->recovered.state->erased_records(); erased > 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        snapshot_path, ": the content of ", erased,
        " of its records was erased after it was taken; restore from a newer snapshot"));
  }
  const index::SnapshotManifest& manifest = snapshot->manifest;
  const std::string_view bytes = snapshot->file->bytes();

  std::vector<storage::CarriedItem> documents;
  index::ForEachDocument(
      bytes, manifest,
      [&](const index::DocumentRef& document, std::string_view content, const index::Salt* salt) {
        std::string item(1, salt != nullptr ? kCarriedSaltedDocument : kCarriedDocument);
        if (salt != nullptr) item.append(index::AsBytes(*salt));
        item.append(content);
        documents.push_back({document.index, document.ordinal, std::move(item)});
        return true;
      });
  size_t next = 0;
  auto journal = storage::Journal::Create(
      JournalOptions(options), storage::LogId{RandomLogId()}, manifest.log_index + 1,
      [&]() -> absl::StatusOr<std::optional<storage::CarriedItem>> {
        if (next == documents.size()) return std::nullopt;
        return std::move(documents[next++]);
      });
  if (!journal.ok()) return journal.status();
  storage::SnapshotStore::Options store_options;
  store_options.directory = SnapshotDirectory(options.data_directory);
  auto store = storage::SnapshotStore::Open(store_options);
  if (!store.ok()) return store.status();
  auto writer = (*store)->NewWriter(manifest.log_index);
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append(bytes);
  if (status.ok()) status = (*writer)->Commit();
  if (!status.ok()) return status;

  index::Operation restore;
  restore.kind = index::OperationKind::kRestore;
  restore.rules_version = index::kRulesVersion;
  restore.parent_log = manifest.log_id;
  restore.index = manifest.log_index;
  restore.log_root = manifest.log_tree.Root();
  restore.snapshot_hash = index::SnapshotHash(manifest);
  const int64_t clock = options.clock_micros ? options.clock_micros() : SystemClockMicros();
  status = AppendFirstEntry(**journal, std::move(restore), clock, &snapshot->recovered);
  report->created = true;
  report->snapshot_index = manifest.log_index;
  FillReport(snapshot->recovered, report);
  return status;
}

absl::StatusOr<RecoveryReport> ReplayLog(const EngineOptions& options,
                                         const ReplayProgress& progress,
                                         std::optional<index::LogIndex> at_index) {
  auto journal = OpenReadOnly(options);
  if (!journal.ok()) return journal.status();
  absl::Status status = CheckHeld(**journal, at_index);
  if (!status.ok()) return status;
  RecoveryReport report;
  const absl::StatusOr<Recovered> replayed =
      ReplayJournal(**journal, options.data_directory, progress, at_index, &report);
  if (!replayed.ok()) return replayed.status();
  return report;
}

absl::StatusOr<OfflineState> LoadSnapshotState(const std::string& path) {
  absl::StatusOr<VerifiedSnapshot> snapshot = OpenAndVerify(path);
  if (!snapshot.ok()) return snapshot.status();
  const index::SnapshotManifest& manifest = snapshot->manifest;
  return OfflineState{std::move(snapshot->recovered),
                      manifest.log_id,
                      {manifest.log_index, manifest.state_index, manifest.state_root},
                      index::SnapshotHash(manifest)};
}

absl::StatusOr<OfflineState> ReplayToState(const EngineOptions& options,
                                           const ReplayProgress& progress,
                                           std::optional<index::LogIndex> at_index) {
  auto journal = OpenReadOnly(options);
  if (!journal.ok()) return journal.status();
  absl::Status status = CheckHeld(**journal, at_index);
  if (!status.ok()) return status;
  RecoveryReport report;
  absl::StatusOr<Recovered> replayed =
      ReplayJournal(**journal, options.data_directory, progress, at_index, &report);
  if (!replayed.ok()) return replayed.status();
  return OfflineState{*std::move(replayed), (*journal)->log_id().bytes, report.position, {}};
}

absl::StatusOr<index::Hash> StoredLogRoot(const EngineOptions& options, uint64_t size) {
  auto journal = OpenReadOnly(options);
  if (!journal.ok()) return journal.status();
  const auto store = OpenSnapshotsReadOnly(options.data_directory);
  if (!store.ok()) return store.status();
  absl::StatusOr<index::LogTree> tree = ReadBaseTree(**store, **journal);
  if (!tree.ok()) return tree.status();
  if (size < tree->size() || size > (*journal)->end_index().value_or(0) + 1) {
    return absl::OutOfRangeError(
        absl::StrCat("the log does not hold the entries up to ", size, " from their beginning"));
  }
  const LogNodes nodes(journal->get(), *tree);
  while (tree->size() < size) {
    const absl::StatusOr<index::Hash> leaf = nodes.ReadLeaf(tree->size());
    if (!leaf.ok()) return leaf.status();
    tree->Append(*leaf);
  }
  return tree->Root();
}

absl::StatusOr<SnapshotInfo> VerifySnapshotFile(const std::string& path) {
  absl::StatusOr<VerifiedSnapshot> snapshot = OpenAndVerify(path);
  if (!snapshot.ok()) return snapshot.status();
  return DescribeSnapshot(*snapshot->file, snapshot->manifest);
}

absl::StatusOr<VerifiedDirectory> VerifyDataDirectory(const EngineOptions& options,
                                                      const ReplayProgress& progress) {
  auto journal = OpenReadOnly(options);
  if (!journal.ok()) return journal.status();
  absl::Status status = (*journal)->VerifyFiles();
  if (!status.ok()) return status;
  const auto store = OpenSnapshotsReadOnly(options.data_directory);
  if (!store.ok()) return store.status();
  const auto listed = (*store)->List();
  if (!listed.ok()) return listed.status();

  VerifiedDirectory verified;
  for (const storage::SnapshotStore::Listed& listing : *listed) {
    absl::StatusOr<VerifiedSnapshot> snapshot = OpenAndVerify(listing.path);
    if (!snapshot.ok()) return snapshot.status();
    status = FitsJournal(snapshot->manifest, **journal);
    if (!status.ok()) {
      return absl::DataLossError(absl::StrCat(listing.path, ": ", status.message()));
    }
    verified.snapshots.push_back(DescribeSnapshot(*snapshot->file, snapshot->manifest));
  }
  const absl::StatusOr<Recovered> replay =
      ReplayJournal(**journal, options.data_directory, progress, std::nullopt, &verified.replay);
  if (!replay.ok()) return replay.status();
  status = VerifyHistory(**journal);
  if (!status.ok()) return status;
  const absl::StatusOr<index::LogTree> base = ReadBaseTree(**store, **journal);
  if (!base.ok()) return base.status();
  const auto last_signed =
      ReadLastSigned(options.data_directory, **journal, LogNodes(journal->get(), *base));
  if (!last_signed.ok()) return last_signed.status();
  return verified;
}

}  // namespace stele::server
