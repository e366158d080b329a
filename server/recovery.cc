#include "server/recovery.h"

#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/history_index.h"

namespace stele::server {
namespace {

using index::LogIndex;

}  // namespace

absl::Status DamagedEntry(LogIndex index, std::string_view what) {
  return absl::DataLossError(
      absl::StrCat("entry ", index, ": ", absl::string_view(what.data(), what.size())));
}

absl::StatusOr<LoggedEntry> DecodeEntry(const index::LogId& log_id, LogIndex index,
                                        std::string_view bytes,
                                        std::span<const std::string_view> items) {
  std::optional<index::EntryRow> row = index::DecodeEntryRow(bytes);
  if (!row.has_value()) return DamagedEntry(index, "its row is malformed");
  LoggedEntry entry;
  entry.index = index;
  entry.commit = std::move(row->commit);
  entry.effects = std::move(row->effects);
  std::optional<index::CommandHeader> header = index::DecodeHeader(row->header);
  if (!header.has_value()) return DamagedEntry(index, "its command header is malformed");
  if (header->log_id != log_id) return DamagedEntry(index, "it belongs to another log");
  if (header->rules_version != index::kRulesVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("entry ", index, " was made under rules version ", header->rules_version,
                     ", which this program does not know; use a newer one"));
  }
  if (header->item_count != items.size()) return DamagedEntry(index, "items are missing");
  const index::Hash items_root = header->items_root;
  entry.command.header = std::move(*header);
  for (std::string_view item : items) {
    std::optional<index::Operation> operation = index::DecodeOperation(item);
    if (!operation.has_value()) return DamagedEntry(index, "an item is malformed");
    entry.command.operations.push_back(index::Prepare(std::move(*operation)));
  }
  index::Seal(entry.command);
  if (entry.command.header.items_root != items_root) {
    return DamagedEntry(index, "its items are not those that its header commits to");
  }
  return entry;
}

// Where content has been erased, what follows from it is taken from the log.
absl::StatusOr<index::ApplyResult> ApplyLogged(const LoggedEntry& entry,
                                               index::StateMachine* state) {
  if (!state->MeetsErased(entry.command)) return state->Apply(entry.index, entry.command);
  index::LoggedResult logged;
  const auto commit = index::DecodeCommitRecord(entry.commit);
  auto effects = index::DecodeEffects(entry.effects);
  if (!commit.has_value() || !effects.has_value()) {
    return DamagedEntry(entry.index, "its commit record or its effects are malformed");
  }
  logged.commit = *commit;
  logged.effects = *std::move(effects);
  return state->Replay(entry.index, entry.command, logged);
}

absl::Status ApplyEntry(const LoggedEntry& entry, Recovered* recovered, RecoveryReport* report) {
  const absl::StatusOr<index::ApplyResult> applied = ApplyLogged(entry, recovered->state.get());
  if (!applied.ok()) return applied.status();
  const index::ApplyResult& result = *applied;
  report->given_effects += result.given_count;
  if (index::EncodeCommitRecord(result.commit) != entry.commit) {
    return DamagedEntry(entry.index, "applying it gives another commit record than the log holds");
  }
  if (index::EncodeEffects(result.effects) != entry.effects) {
    return DamagedEntry(entry.index, "applying it gives other effects than the log holds");
  }
  recovered->log_tree.Append(index::LogLeaf(entry.commit));
  return absl::OkStatus();
}

namespace {

// Hands decoded entries from the reading thread to the applying one.
class EntryQueue {
 public:
  // False once the consumer has stopped.
  bool Push(LoggedEntry entry) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return stopped_ || entries_.size() < kLimit; });
    if (stopped_) return false;
    entries_.push_back(std::move(entry));
    filled_.notify_one();
    return true;
  }
  void Finish(absl::Status status) {
    std::lock_guard lock(mutex_);
    finished_ = true;
    status_ = std::move(status);
    filled_.notify_one();
  }
  // Nothing at the end; status() then says how it ended.
  std::optional<LoggedEntry> Pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return finished_ || !entries_.empty(); });
    if (entries_.empty()) return std::nullopt;
    LoggedEntry entry = std::move(entries_.front());
    entries_.pop_front();
    room_.notify_one();
    return entry;
  }
  void Stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    room_.notify_all();
  }
  const absl::Status& status() const { return status_; }

 private:
  static constexpr size_t kLimit = 64;
  std::mutex mutex_;
  std::condition_variable room_, filled_;
  std::deque<LoggedEntry> entries_;
  bool stopped_ = false;
  bool finished_ = false;
  absl::Status status_;
};

absl::Status CheckWatermark(const storage::Journal& journal, const index::LogTree& tree) {
  const std::optional<storage::Watermark> watermark = journal.watermark();
  if (!watermark.has_value() || watermark->index + 1 != tree.size()) return absl::OkStatus();
  if (watermark->log_root == tree.Root()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the log root after entry ", watermark->index,
                   " is not the one that the watermark file holds: the log's past was changed"));
}

// Documents in the file must be those that the records name, in their order.
absl::Status CheckDocuments(const storage::SnapshotFile& file,
                            const index::SnapshotManifest& manifest,
                            const index::StateMachine& state) {
  std::deque<index::DocumentRef> expected;
  const LogIndex n = manifest.log_index;
  for (const index::Collection* collection = state.SeekCollection({}, n); collection != nullptr;
       collection = state.SeekCollection(collection->name() + '\0', n)) {
    for (const auto* node = collection->records().First(); node != nullptr; node = node->Next()) {
      const index::RecordVersion* version = node->payload.newest.Get();
      const index::DocumentRef* document = version->erased() ? nullptr : version->document();
      if (document != nullptr) expected.push_back(*document);
    }
  }
  const bool good = index::ForEachDocument(
      file.bytes(), manifest,
      [&](const index::DocumentRef& document, std::string_view, const index::Salt*) {
        if (expected.empty() || expected.front().index != document.index ||
            expected.front().ordinal != document.ordinal ||
            expected.front().part != document.part) {
          return false;
        }
        expected.pop_front();
        return true;
      });
  if (good && expected.empty()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(file.path(), ": the documents are not those that the records name"));
}

}  // namespace

absl::Status FitsJournal(const index::SnapshotManifest& manifest, const storage::Journal& journal) {
  const bool is_base = manifest.log_index + 1 == journal.base_index();
  if (manifest.log_id != journal.log_id().bytes && !is_base) {
    return absl::DataLossError("it is of another log");
  }
  if (is_base) return absl::OkStatus();
  if (manifest.log_index < journal.base_index() || !journal.end_index().has_value() ||
      manifest.log_index > *journal.end_index()) {
    return absl::DataLossError("it is of an entry that the log does not hold");
  }
  absl::StatusOr<std::string> bytes = journal.ReadEntry(manifest.log_index);
  if (!bytes.ok()) return bytes.status();
  const auto row = index::DecodeEntryRow(*bytes);
  const auto commit = row.has_value() ? index::DecodeCommitRecord(row->commit) : std::nullopt;
  if (!commit.has_value() || commit->state_root != manifest.state_root) {
    return absl::DataLossError("its state root is not the one in the log");
  }
  return absl::OkStatus();
}

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string LogOrigin(const index::LogId& log_id) { return absl::StrCat("stele/", Hex(log_id)); }

index::LogId RandomLogId() {
  index::LogId id;
  if (RAND_bytes(id.data(), static_cast<int>(id.size())) != 1) std::abort();
  return id;
}

index::Salt RandomSalt() {
  index::Salt salt;
  if (RAND_bytes(salt.data(), static_cast<int>(salt.size())) != 1) std::abort();
  return salt;
}

uint64_t SeedOf(const index::LogId& log_id) {
  uint64_t seed;
  std::memcpy(&seed, log_id.data(), sizeof(seed));
  return seed;
}

storage::EntryWrite MakeEntryWrite(index::Command& command, const index::ApplyResult& result,
                                   std::string* encoded_commit) {
  *encoded_commit = index::EncodeCommitRecord(result.commit);
  storage::EntryWrite write;
  write.index = result.commit.index;
  write.entry = index::EncodeEntryRow(
      {index::EncodeHeader(command.header), *encoded_commit, index::EncodeEffects(result.effects)});
  write.items.reserve(command.operations.size());
  for (index::PreparedOperation& operation : command.operations) {
    write.items.push_back(std::move(operation.bytes));
  }
  write.history = HistoryOf(result.effects);
  return write;
}

absl::StatusOr<index::SnapshotManifest> ReadManifest(const storage::SnapshotFile& file) {
  std::string error;
  std::optional<index::SnapshotManifest> manifest = index::ParseSnapshot(file.bytes(), &error);
  if (!manifest.has_value()) return absl::DataLossError(absl::StrCat(file.path(), ": ", error));
  return *std::move(manifest);
}

SnapshotInfo DescribeSnapshot(const storage::SnapshotFile& file,
                              const index::SnapshotManifest& manifest) {
  SnapshotInfo info;
  info.log_index = manifest.log_index;
  info.state_root = manifest.state_root;
  info.log_root = manifest.log_tree.Root();
  info.snapshot_hash = index::SnapshotHash(manifest);
  info.size_bytes = file.bytes().size();
  info.file_name = file.path().substr(file.path().rfind('/') + 1);
  return info;
}

absl::StatusOr<Recovered> LoadSnapshot(const storage::SnapshotFile& file,
                                       const index::SnapshotManifest& manifest,
                                       bool check_documents) {
  // Digests on a second thread, beside the loading.
  std::string damaged;
  std::thread digests([&] {
    for (const index::SnapshotSection& section : manifest.sections) {
      if (index::IsIntact(file.bytes(), section)) continue;
      damaged = absl::StrCat("the section at bytes ", section.offset, "..",
                             section.offset + section.size_bytes, " is damaged");
      return;
    }
  });
  Recovered recovered;
  recovered.state = std::make_unique<index::StateMachine>(SeedOf(manifest.log_id));
  std::string error;
  const bool loaded =
      index::SnapshotLoader::Load(file.bytes(), manifest, recovered.state.get(), &error);
  digests.join();
  if (!damaged.empty()) error = damaged;
  if (!loaded || !damaged.empty()) {
    return absl::DataLossError(absl::StrCat(file.path(), ": ", error));
  }
  recovered.log_tree = manifest.log_tree;
  if (check_documents) {
    absl::Status status = CheckDocuments(file, manifest, *recovered.state);
    if (!status.ok()) return status;
  }
  return recovered;
}

absl::StatusOr<Recovered> LoadNewestSnapshot(const storage::SnapshotStore& store,
                                             const storage::Journal& journal,
                                             RecoveryReport* report) {
  auto listed = store.List();
  if (!listed.ok()) return listed.status();
  for (const storage::SnapshotStore::Listed& snapshot : *listed) {
    const auto try_load = [&]() -> absl::StatusOr<Recovered> {
      auto file = storage::SnapshotFile::Open(snapshot.path);
      if (!file.ok()) return file.status();
      auto manifest = ReadManifest(**file);
      if (!manifest.ok()) return manifest.status();
      absl::Status fits = FitsJournal(*manifest, journal);
      if (!fits.ok()) {
        return absl::Status(fits.code(), absl::StrCat((*file)->path(), ": ", fits.message()));
      }
      report->snapshot_index = manifest->log_index;
      return LoadSnapshot(**file, *manifest, false);
    };
    absl::StatusOr<Recovered> recovered = try_load();
    if (recovered.ok()) return recovered;
    report->snapshot_index.reset();
    report->refused_snapshots.push_back(std::string(recovered.status().message()));
  }
  if (journal.base_index() != 0) {
    return absl::DataLossError(absl::StrCat(
        "the log begins at entry ", journal.base_index(), " and no good snapshot of entry ",
        journal.base_index() - 1, " is there; put it back into ", store.directory()));
  }
  Recovered fresh;
  fresh.state = std::make_unique<index::StateMachine>(SeedOf(journal.log_id().bytes));
  return fresh;
}

absl::Status Replay(const storage::Journal& journal, uint64_t history_entries,
                    std::optional<LogIndex> at_index,
                    const std::function<void(uint64_t, uint64_t)>& progress, Recovered* recovered,
                    RecoveryReport* report) {
  absl::Status status = CheckWatermark(journal, recovered->log_tree);
  if (!status.ok() || !journal.end_index().has_value()) return status;
  const LogIndex first = recovered->state->next_index();
  const LogIndex end = std::min(*journal.end_index(), at_index.value_or(*journal.end_index()));
  EntryQueue queue;
  std::thread reader([&] {
    queue.Finish(journal.Scan(
        first, end,
        [&](LogIndex index, std::string_view bytes, std::span<const std::string_view> items) {
          auto entry = DecodeEntry(journal.log_id().bytes, index, bytes, items);
          if (!entry.ok()) return entry.status();
          return queue.Push(*std::move(entry)) ? absl::OkStatus() : absl::CancelledError("stopped");
        }));
  });
  std::vector<std::unique_ptr<index::Collection>> garbage;
  while (std::optional<LoggedEntry> entry = queue.Pop()) {
    status = ApplyEntry(*entry, recovered, report);
    if (status.ok()) status = CheckWatermark(journal, recovered->log_tree);
    if (!status.ok()) break;
    ++report->replayed_entries;
    const uint64_t kept =
        std::max(history_entries, recovered->state->history_entries().value_or(0));
    if (entry->index > kept) {
      recovered->state->Reclaim(entry->index - kept, entry->index, 1u << 14, &garbage);
      garbage.clear();
    }
    if (progress && entry->index % 1024 == 0) progress(entry->index - first + 1, end - first + 1);
  }
  queue.Stop();
  reader.join();
  if (status.ok()) status = queue.status();
  if (progress && status.ok()) progress(end - first + 1, end - first + 1);
  return status;
}

absl::Status AppendFirstEntry(storage::Journal& journal, index::Operation operation,
                              int64_t clock_micros, Recovered* recovered) {
  index::Command command;
  command.header.log_id = journal.log_id().bytes;
  command.header.actor = "stele";
  command.header.clock_micros = clock_micros;
  command.header.timestamp_micros =
      std::max(clock_micros, recovered->state->last_timestamp_micros());
  command.operations.push_back(index::Prepare(std::move(operation)));
  index::Seal(command);
  const index::ApplyResult applied =
      recovered->state->Apply(recovered->state->next_index(), command);
  if (applied.commit.outcome != index::Outcome::kOk) {
    return absl::InternalError("the first entry of the log was refused");
  }
  std::string commit;
  const storage::EntryWrite write = MakeEntryWrite(command, applied, &commit);
  recovered->log_tree.Append(index::LogLeaf(commit));
  return journal.Append({&write, 1}, recovered->log_tree.Root());
}

void FillReport(const Recovered& recovered, RecoveryReport* report) {
  report->position = {recovered.state->next_index() - 1, recovered.state->state_index(),
                      recovered.state->state_root()};
  report->log_root = recovered.log_tree.Root();
}

std::string SnapshotDirectory(const std::string& data_directory) {
  return data_directory + "/snapshots";
}

absl::StatusOr<std::unique_ptr<storage::SnapshotStore>> OpenSnapshotsReadOnly(
    const std::string& data_directory) {
  storage::SnapshotStore::Options options;
  options.directory = SnapshotDirectory(data_directory);
  options.read_only = true;
  return storage::SnapshotStore::Open(options);
}

storage::Journal::Options JournalOptions(const EngineOptions& options) {
  storage::Journal::Options journal;
  journal.directory = options.data_directory;
  journal.probe_path = options.probe_path;
  journal.file_system = options.file_system;
  return journal;
}

int64_t SystemClockMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string FindProbe() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "";
  for (const char* place : {"stele-probe", "../storage/stele-probe", "../../storage/stele-probe"}) {
    const std::filesystem::path path = self.parent_path() / place;
    if (access(path.c_str(), X_OK) == 0) return path.lexically_normal().string();
  }
  return "";
}

}  // namespace stele::server
