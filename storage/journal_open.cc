// How a data directory comes into being and is opened; what happens afterwards is in journal.cc.
#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/write_batch.h"
#include "storage/directory_lock.h"
#include "storage/file_util.h"
#include "storage/format_file.h"
#include "storage/journal.h"
#include "storage/layout.h"
#include "storage/probe.h"
#include "storage/put_rows.h"
#include "storage/row_db.h"

namespace stele::storage {
namespace {

constexpr size_t kCarriedBatchBytes = size_t{4} << 20;
// What opening writes beside the content of the write-ahead log, generously.
constexpr uint64_t kOpeningBytes = uint64_t{4} << 20;

// Which of its own names a directory holds.
struct Found {
  bool format = false;
  bool creating = false;
  std::string stray;  // a name that without FORMAT should not be there
};

absl::StatusOr<Found> LookInto(rocksdb::FileSystem& file_system, const std::string& directory) {
  Found found;
  for (const std::string_view name : {kFormatName, kCreatingName, kJournalName, kWatermarkName}) {
    const absl::StatusOr<bool> exists = FileExists(file_system, JoinPath(directory, name));
    if (!exists.ok()) return exists.status();
    if (!*exists) continue;
    if (name == kFormatName) {
      found.format = true;
    } else if (name == kCreatingName) {
      found.creating = true;
    } else {
      found.stray = std::string(name);
    }
  }
  return found;
}

// RocksDB writes when it opens, the write-ahead log once more above all, and Debian's ends the
// process where that meets a full disk.
absl::Status CheckRoomToOpen(rocksdb::FileSystem& file_system, const std::string& directory) {
  const std::string journal = JoinPath(directory, kJournalName);
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(file_system, journal);
  if (!names.ok()) return names.status();
  uint64_t needed = kOpeningBytes;
  for (const std::string& name : *names) {
    uint64_t bytes = 0;
    if (name.ends_with(".log") &&
        file_system.GetFileSize(JoinPath(journal, name), {}, &bytes, nullptr).ok()) {
      needed += 2 * bytes;
    }
  }
  uint64_t free_bytes = 0;
  const rocksdb::IOStatus status = file_system.GetFreeSpace(journal, {}, &free_bytes, nullptr);
  if (!status.ok()) return FromRocks(status, journal);
  if (free_bytes >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the file system of ", directory, " has ",
                                                   free_bytes,
                                                   " bytes left; opening the log takes ", needed));
}

absl::Status WithoutFormat(const std::string& directory, const Found& found) {
  return absl::DataLossError(absl::StrCat("data directory ", directory, " holds ", found.stray,
                                          " but its ", std::string(kFormatName),
                                          " file is missing"));
}

// Removes what an interrupted creation left, the name that says so last.
absl::Status RemoveUnfinished(rocksdb::FileSystem& file_system, const std::string& directory) {
  for (const std::string_view name : {kJournalName, kWatermarkName}) {
    const absl::Status status = RemoveTree(file_system, JoinPath(directory, name));
    if (!status.ok()) return status;
  }
  absl::Status status = SyncDirectory(file_system, directory);
  if (status.ok()) status = RemoveTree(file_system, JoinPath(directory, kCreatingName));
  return status;
}

absl::Status WriteCarried(RowDb& rows, const LogId& log_id, uint64_t base_index,
                          const CarriedItemSource& carried) {
  rocksdb::WriteBatch batch;
  while (true) {
    const absl::StatusOr<std::optional<CarriedItem>> item = carried();
    if (!item.ok()) return item.status();
    if (item->has_value()) {
      const CarriedItem& row = **item;
      if (row.index >= base_index) {
        return absl::InvalidArgumentError(absl::StrCat("a carried item of entry ", row.index,
                                                       " is not below the base ", base_index));
      }
      const rocksdb::Status put = PutItem(batch, rows, log_id, row.index, row.ordinal, row.bytes);
      if (!put.ok()) return FromRocks(put, "carried item");
    }
    if (batch.GetDataSize() >= kCarriedBatchBytes || !item->has_value()) {
      const rocksdb::Status written = rows.db().Write({}, &batch);
      if (!written.ok()) return FromRocks(written, absl::StrCat("write to ", rows.path()));
      batch.Clear();
    }
    if (!item->has_value()) return absl::OkStatus();
  }
}

absl::Status BuildJournal(const std::string& path, std::shared_ptr<rocksdb::FileSystem> file_system,
                          const DirectoryFormat& format, const CarriedItemSource& carried) {
  {
    const absl::StatusOr<std::unique_ptr<RowDb>> rows =
        RowDb::Open(path, file_system, RowDb::Mode::kCreate);
    if (!rows.ok()) return rows.status();
    absl::Status status = (*rows)->WriteFormatRow(EncodeFormat(format));
    if (status.ok() && carried != nullptr) {
      status = WriteCarried(**rows, format.log_id, format.base_index, carried);
    }
    if (status.ok()) status = (*rows)->Flush();
    if (!status.ok()) return status;
  }
  return SyncDirectory(*file_system, path);
}

// Everything is built and synced under `creating`, then renamed into place. FORMAT comes last: it
// is what makes the directory a data directory.
absl::Status Build(const std::string& directory, std::shared_ptr<rocksdb::FileSystem> file_system,
                   const DirectoryFormat& format, const CarriedItemSource& carried) {
  const std::string creating = JoinPath(directory, kCreatingName);
  absl::Status status = FromRocks(file_system->CreateDir(creating, {}, nullptr), creating);
  if (status.ok()) status = SyncDirectory(*file_system, directory);
  if (status.ok()) {
    status = BuildJournal(JoinPath(creating, kJournalName), file_system, format, carried);
  }
  if (status.ok()) {
    status = WatermarkFile::Create(*file_system, JoinPath(creating, kWatermarkName),
                                   WatermarkSlot{format.log_id, format.base_index, {}});
  }
  if (status.ok()) {
    status = WriteFileSynced(*file_system, JoinPath(creating, kFormatName), EncodeFormat(format));
  }
  if (status.ok()) status = SyncDirectory(*file_system, creating);
  for (const std::string_view name : {kJournalName, kWatermarkName, kFormatName}) {
    if (status.ok() && name == kFormatName) status = SyncDirectory(*file_system, directory);
    if (status.ok()) {
      status = RenameFile(*file_system, JoinPath(creating, name), JoinPath(directory, name));
    }
  }
  if (status.ok()) status = SyncDirectory(*file_system, directory);
  return status;
}

// The directory itself, durably. A parent that cannot be opened or synced is the caller's.
absl::Status MakeDirectory(rocksdb::FileSystem& file_system, const std::string& directory) {
  const absl::StatusOr<bool> exists = FileExists(file_system, directory);
  if (!exists.ok()) return exists.status();
  if (*exists) return absl::OkStatus();
  const absl::Status status =
      FromRocks(file_system.CreateDirIfMissing(directory, {}, nullptr),
                absl::StrCat("data directory ", directory, " cannot be made"));
  return status.ok() ? SyncDirectory(file_system, ParentDirectory(directory)) : status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Create(const Options& options,
                                                         const LogId& log_id, uint64_t base_index,
                                                         const CarriedItemSource& carried) {
  if (options.read_only) {
    return absl::InvalidArgumentError("a journal cannot be created read-only");
  }
  const std::shared_ptr<rocksdb::FileSystem> file_system = OrDefault(options.file_system);
  absl::Status status = MakeDirectory(*file_system, options.directory);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<DirectoryLock>> lock =
      DirectoryLock::Acquire(options.directory, DirectoryLock::Mode::kExclusive);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<Found> found = LookInto(*file_system, options.directory);
  if (!found.ok()) return found.status();
  if (found->format) {
    return absl::AlreadyExistsError(
        absl::StrCat("data directory ", options.directory, " already holds a journal"));
  }
  if (found->creating) {
    status = RemoveUnfinished(*file_system, options.directory);
    if (!status.ok()) return status;
  } else if (!found->stray.empty()) {
    return WithoutFormat(options.directory, *found);
  }
  status = Build(options.directory, file_system, DirectoryFormat{log_id, base_index}, carried);
  if (!status.ok()) return status;
  return OpenLocked(options, base_index, *std::move(lock));
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const Options& options,
                                                       uint64_t check_from) {
  const std::shared_ptr<rocksdb::FileSystem> file_system = OrDefault(options.file_system);
  const absl::StatusOr<bool> exists = FileExists(*file_system, options.directory);
  if (!exists.ok()) return exists.status();
  if (!*exists) {
    return absl::NotFoundError(
        absl::StrCat("data directory ", options.directory, " does not exist"));
  }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> lock = DirectoryLock::Acquire(
      options.directory,
      options.read_only ? DirectoryLock::Mode::kShared : DirectoryLock::Mode::kExclusive);
  if (!lock.ok()) {
    // A copy without its LOCK file, perhaps on a read-only file system, may still be read.
    if (!options.read_only || !absl::IsNotFound(lock.status())) return lock.status();
    lock = nullptr;
  }
  const absl::StatusOr<Found> found = LookInto(*file_system, options.directory);
  if (!found.ok()) return found.status();
  if (!found->format) {
    if (!found->stray.empty() && !found->creating) return WithoutFormat(options.directory, *found);
    return absl::NotFoundError(
        absl::StrCat("data directory ", options.directory, " holds no journal"));
  }
  return OpenLocked(options, check_from, *std::move(lock));
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::OpenLocked(const Options& options,
                                                             uint64_t check_from,
                                                             std::unique_ptr<DirectoryLock> lock) {
  const std::shared_ptr<rocksdb::FileSystem> file_system = OrDefault(options.file_system);
  const absl::StatusOr<ProbeReport> report =
      options.probe_path.empty() ? Probe(options.directory, check_from, file_system)
                                 : ProbeInChild(options.probe_path, options.directory, check_from);
  if (!report.ok()) return report.status();
  const std::string watermark_path = JoinPath(options.directory, kWatermarkName);
  const absl::StatusOr<WatermarkState> watermark =
      WatermarkFile::Read(*file_system, watermark_path, report->log_id);
  if (!watermark.ok()) return watermark.status();
  if (!options.read_only) {
    const absl::Status room = CheckRoomToOpen(*file_system, options.directory);
    if (!room.ok()) return room;
  }

  std::unique_ptr<Journal> journal(new Journal(options, report->log_id, report->base_index));
  journal->lock_ = std::move(lock);
  absl::StatusOr<std::unique_ptr<RowDb>> rows =
      RowDb::Open(JoinPath(options.directory, kJournalName), file_system,
                  options.read_only ? RowDb::Mode::kRead : RowDb::Mode::kWrite);
  if (!rows.ok()) return rows.status();
  journal->rows_ = *std::move(rows);
  const absl::StatusOr<std::optional<uint64_t>> last = journal->rows_->LastEntryIndex();
  if (!last.ok()) return last.status();
  const uint64_t next = last->has_value() ? **last + 1 : report->base_index;
  if (next != report->next_index) {
    return absl::DataLossError(absl::StrCat(
        "the journal in ", options.directory, " held ", report->next_index - report->base_index,
        " entries when it was probed and ", next - report->base_index, " when it was opened"));
  }
  journal->next_index_.store(next);
  if (watermark->slot.next_index > report->base_index) {
    journal->watermark_ =
        Watermark{report->log_id, watermark->slot.next_index - 1, watermark->slot.log_root};
  }
  journal->stats_.damaged_slots = static_cast<uint64_t>(watermark->damaged_slots);
  const absl::Status marked = journal->ReadHistoryMark();
  if (!marked.ok()) return marked;
  if (options.read_only) return journal;

  // What was recovered beyond the watermark may never have been synced. RocksDB flushes what it
  // recovers; that is its choice, not its promise.
  const absl::Status flushed = journal->rows_->Flush();
  if (!flushed.ok()) return flushed;
  absl::StatusOr<std::unique_ptr<WatermarkFile>> file =
      WatermarkFile::Open(*file_system, watermark_path, *watermark);
  if (!file.ok()) return file.status();
  journal->watermark_file_ = *std::move(file);
  // Left by a creation that was cut off after its last step that matters.
  const absl::Status tidied = RemoveTree(*file_system, JoinPath(options.directory, kCreatingName));
  if (!tidied.ok()) return tidied;
  return journal;
}

}  // namespace stele::storage
