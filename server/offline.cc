#include "server/offline.h"

#include "absl/strings/str_cat.h"
#include "index/snapshot.h"
#include "server/recovery.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {

absl::Status RestoreSnapshot(const std::string& snapshot_path, const EngineOptions& options,
                             RecoveryReport* report) {
  auto file = storage::SnapshotFile::Open(snapshot_path);
  if (!file.ok()) return file.status();
  auto manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<Recovered> recovered = LoadSnapshot(**file, *manifest, true);
  if (!recovered.ok()) return recovered.status();

  std::vector<storage::CarriedItem> documents;
  index::ForEachDocument((*file)->bytes(), *manifest,
                         [&](const index::DocumentRef& document, std::string_view bytes) {
                           std::string item(1, kCarriedDocument);
                           item.append(bytes);
                           documents.push_back({document.index, document.ordinal, std::move(item)});
                           return true;
                         });
  size_t next = 0;
  auto journal = storage::Journal::Create(
      JournalOptions(options), storage::LogId{RandomLogId()}, manifest->log_index + 1,
      [&]() -> absl::StatusOr<std::optional<storage::CarriedItem>> {
        if (next == documents.size()) return std::nullopt;
        return std::move(documents[next++]);
      });
  if (!journal.ok()) return journal.status();
  storage::SnapshotStore::Options store_options;
  store_options.directory = SnapshotDirectory(options.data_directory);
  auto store = storage::SnapshotStore::Open(store_options);
  if (!store.ok()) return store.status();
  auto writer = (*store)->NewWriter(manifest->log_index);
  if (!writer.ok()) return writer.status();
  absl::Status status = (*writer)->Append((*file)->bytes());
  if (status.ok()) status = (*writer)->Commit();
  if (!status.ok()) return status;

  index::Operation restore;
  restore.kind = index::OperationKind::kRestore;
  restore.rules_version = index::kRulesVersion;
  restore.parent_log = manifest->log_id;
  restore.index = manifest->log_index;
  restore.log_root = manifest->log_tree.Root();
  restore.snapshot_hash = index::SnapshotHash(*manifest);
  const int64_t clock = options.clock_micros ? options.clock_micros() : SystemClockMicros();
  status = AppendFirstEntry(**journal, std::move(restore), clock, &*recovered);
  report->created = true;
  report->snapshot_index = manifest->log_index;
  FillReport(*recovered, report);
  return status;
}

absl::StatusOr<RecoveryReport> ReplayLog(const EngineOptions& options,
                                         const ReplayProgress& progress,
                                         std::optional<index::LogIndex> at_index) {
  storage::Journal::Options journal_options = JournalOptions(options);
  journal_options.read_only = true;
  auto journal = storage::Journal::Open(journal_options, 0);
  if (!journal.ok()) return journal.status();
  RecoveryReport report;
  if (at_index.has_value() && (*at_index > (*journal)->end_index().value_or(0) ||
                               *at_index + 1 < (*journal)->base_index())) {
    return absl::OutOfRangeError(absl::StrCat("the log holds no entry ", *at_index));
  }
  Recovered recovered;
  if ((*journal)->base_index() == 0) {
    recovered.state = std::make_unique<index::StateMachine>(SeedOf((*journal)->log_id().bytes));
  } else {
    const std::string path = SnapshotDirectory(options.data_directory) + "/" +
                             storage::SnapshotStore::FileName((*journal)->base_index() - 1);
    auto file = storage::SnapshotFile::Open(path);
    if (!file.ok()) return file.status();
    auto manifest = ReadManifest(**file);
    if (!manifest.ok()) return manifest.status();
    auto loaded = LoadSnapshot(**file, *manifest, true);
    if (!loaded.ok()) return loaded.status();
    recovered = *std::move(loaded);
    report.snapshot_index = manifest->log_index;
  }
  absl::Status status = Replay(**journal, 0, at_index, progress, &recovered, &report);
  if (!status.ok()) return status;
  FillReport(recovered, &report);
  return report;
}

absl::StatusOr<SnapshotInfo> VerifySnapshotFile(const std::string& path) {
  auto file = storage::SnapshotFile::Open(path);
  if (!file.ok()) return file.status();
  auto manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<Recovered> recovered = LoadSnapshot(**file, *manifest, true);
  if (!recovered.ok()) return recovered.status();
  return DescribeSnapshot(**file, *manifest);
}

absl::StatusOr<VerifiedDirectory> VerifyDataDirectory(const EngineOptions& options,
                                                      const ReplayProgress& progress) {
  VerifiedDirectory verified;
  storage::SnapshotStore::Options store_options;
  store_options.directory = SnapshotDirectory(options.data_directory);
  store_options.read_only = true;
  std::vector<storage::SnapshotStore::Listed> listed;
  {
    storage::Journal::Options journal_options = JournalOptions(options);
    journal_options.read_only = true;
    auto journal = storage::Journal::Open(journal_options, 0);
    if (!journal.ok()) return journal.status();
    absl::Status status = (*journal)->VerifyFiles();
    if (!status.ok()) return status;
    auto store = storage::SnapshotStore::Open(store_options);
    if (!store.ok()) return store.status();
    auto snapshots = (*store)->List();
    if (!snapshots.ok()) return snapshots.status();
    listed = *std::move(snapshots);
    for (const auto& snapshot : listed) {
      auto file = storage::SnapshotFile::Open(snapshot.path);
      if (!file.ok()) return file.status();
      auto manifest = ReadManifest(**file);
      if (!manifest.ok()) return manifest.status();
      status = FitsJournal(*manifest, **journal);
      if (!status.ok()) {
        return absl::DataLossError(absl::StrCat(snapshot.path, ": ", status.message()));
      }
    }
  }
  for (const auto& snapshot : listed) {
    absl::StatusOr<SnapshotInfo> info = VerifySnapshotFile(snapshot.path);
    if (!info.ok()) return info.status();
    verified.snapshots.push_back(*std::move(info));
  }
  absl::StatusOr<RecoveryReport> replay = ReplayLog(options, progress);
  if (!replay.ok()) return replay.status();
  verified.replay = *std::move(replay);
  return verified;
}

}  // namespace stele::server
