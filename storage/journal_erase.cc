// Destroying what rows held: they are written anew, and then no file is left that holds the old
// bytes.
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rocksdb/cache.h"
#include "rocksdb/options.h"
#include "rocksdb/transaction_log.h"
#include "rocksdb/write_batch.h"
#include "storage/file_util.h"
#include "storage/journal.h"
#include "storage/put_rows.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

constexpr std::chrono::milliseconds kPurgePeriod{20};

// The name of a file, without the folders and slashes that RocksDB puts before it.
std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Those of `names` that are there and that RocksDB does not count as its own.
absl::StatusOr<std::vector<std::string>> LeftOf(const std::vector<std::string>& names,
                                                const RowDb& rows,
                                                rocksdb::FileSystem& file_system) {
  std::vector<std::string> files;
  uint64_t manifest_size = 0;
  const rocksdb::Status status =
      rows.db().GetLiveFiles(files, &manifest_size, /*flush_memtable=*/false);
  if (!status.ok()) return FromRocks(status, absl::StrCat("files of ", rows.path()));
  std::set<std::string> live;
  for (const std::string& file : files) live.insert(BaseName(file));
  std::vector<std::string> left;
  for (const std::string& name : names) {
    if (live.contains(name)) continue;
    const absl::StatusOr<bool> exists = FileExists(file_system, JoinPath(rows.path(), name));
    if (!exists.ok()) return exists.status();
    if (*exists) left.push_back(name);
  }
  return left;
}

// The write-ahead logs that hold anything now.
absl::StatusOr<std::vector<std::string>> WriteAheadLogs(const RowDb& rows) {
  rocksdb::VectorLogPtr logs;
  const rocksdb::Status status = rows.db().GetSortedWalFiles(logs);
  if (!status.ok()) return FromRocks(status, absl::StrCat("files of ", rows.path()));
  std::vector<std::string> names;
  for (const auto& log : logs) names.push_back(BaseName(log->PathName()));
  return names;
}

}  // namespace

absl::Status Journal::RewriteItems(std::span<const ItemRewrite> rewrites) {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  if (rewrites.empty()) return absl::OkStatus();
  rocksdb::WriteBatch batch(0, 0, /*protection_bytes_per_key=*/8, /*default_cf_ts_sz=*/0);
  rocksdb::Status status;
  for (const ItemRewrite& rewrite : rewrites) {
    if (batch.GetDataSize() + rewrite.bytes.size() > kAppendBytesMax) {
      return absl::InvalidArgumentError("the rows are more than one batch may hold");
    }
    status = PutItem(batch, *rows_, log_id_, rewrite.index, rewrite.ordinal, rewrite.bytes);
    if (!status.ok()) return FromRocks(status, "rows to be rewritten");
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  status = rows_->db().Write(options, &batch);
  if (!status.ok()) {
    return Poison(FromRocks(status, absl::StrCat("write to ", rows_->path())));
  }
  return absl::OkStatus();
}

absl::Status Journal::PurgeItems(uint64_t from, uint64_t to_inclusive,
                                 const std::function<bool()>& stopped) {
  // Whatever these logs hold is in sorted files once they have been flushed.
  const absl::StatusOr<std::vector<std::string>> old_logs = WriteAheadLogs(*rows_);
  if (!old_logs.ok()) return old_logs.status();
  const absl::Status settled = Settle();
  if (!settled.ok()) return settled;
  const ItemKey first = EncodeItemKey(from, 0);
  const ItemKey last = EncodeItemKey(to_inclusive, UINT32_MAX);
  const rocksdb::Slice begin = ToSlice(first);
  const rocksdb::Slice end = ToSlice(last);
  rocksdb::CompactRangeOptions compaction;
  compaction.exclusive_manual_compaction = false;
  compaction.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  const rocksdb::Status compacted =
      rows_->db().CompactRange(compaction, rows_->items(), &begin, &end);
  if (!compacted.ok()) return FromRocks(compacted, absl::StrCat("compaction of ", rows_->path()));
  rocksdb::FileSystem& file_system = *OrDefault(options_.file_system);
  // Sorted files that are made from now on are made of the rows as they are now.
  absl::StatusOr<std::vector<std::string>> left = ListDirectory(file_system, rows_->path());
  if (!left.ok()) return left.status();
  std::erase_if(*left, [](const std::string& name) { return !name.ends_with(".sst"); });
  left->insert(left->end(), old_logs->begin(), old_logs->end());
  while (stopped == nullptr || !stopped()) {
    rows_->DropCache();
    const rocksdb::Status removed = rows_->db().EnableFileDeletions(/*force=*/true);
    if (!removed.ok()) return FromRocks(removed, absl::StrCat("files of ", rows_->path()));
    left = LeftOf(*left, *rows_, file_system);
    if (!left.ok()) return left.status();
    if (left->empty()) return SyncDirectory(file_system, rows_->path());
    std::this_thread::sleep_for(kPurgePeriod);
  }
  return absl::CancelledError("stopped before the old files were removed");
}

}  // namespace stele::storage
