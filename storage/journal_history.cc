// Rows that say which entries touched which records.
#include <memory>

#include "absl/strings/str_cat.h"
#include "rocksdb/iterator.h"
#include "rocksdb/options.h"
#include "storage/checksum.h"
#include "storage/file_util.h"
#include "storage/journal.h"
#include "storage/put_rows.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

// FROZEN: on disk. In the family itself, so that it comes and goes with its rows; shorter than any
// row's key.
constexpr char kMarkKey[] = "complete";
constexpr char kMarkText[] = "stele history 1";

// What the mark holds: a checksum over the text and the log id.
std::string MarkValue(const LogId& log_id) {
  const Checksum checksum = ComputeChecksum(
      kMarkText, {reinterpret_cast<const char*>(log_id.bytes.data()), log_id.bytes.size()});
  return std::string(checksum.data(), checksum.size());
}

}  // namespace

absl::Status Journal::ReadHistoryMark() {
  history_complete_.store(false);
  if (rows_->history() == nullptr) return absl::OkStatus();
  std::string value;
  const rocksdb::Status status = rows_->db().Get({}, rows_->history(), kMarkKey, &value);
  if (status.IsNotFound()) return absl::OkStatus();
  if (!status.ok()) return FromRocks(status, absl::StrCat("history mark in ", rows_->path()));
  history_complete_.store(value == MarkValue(log_id_));
  return absl::OkStatus();
}

absl::Status Journal::ScanHistory(const std::array<char, 16>& key, uint64_t at_most,
                                  const HistoryCallback& callback) const {
  if (!history_complete_.load()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the index of records to entries in ", rows_->path(),
                     " is not complete; a server that opens the directory completes it"));
  }
  const HistoryKey first = EncodeHistoryKey(key, at_most);
  const HistoryKey lower = EncodeHistoryKey(key, 0);
  const rocksdb::Slice lower_slice = ToSlice(lower);
  rocksdb::ReadOptions options;
  options.iterate_lower_bound = &lower_slice;
  const std::unique_ptr<rocksdb::Iterator> iterator(
      rows_->db().NewIterator(options, rows_->history()));
  for (iterator->SeekForPrev(ToSlice(first)); iterator->Valid(); iterator->Prev()) {
    const std::optional<uint64_t> index = DecodeHistoryKey(View(iterator->key()));
    // What is not there yet for readers belongs to an append that is under way.
    if (index.has_value() && *index >= next_index_.load()) continue;
    const std::optional<uint32_t> effect =
        index.has_value()
            ? DecodeHistoryRow(log_id_, EncodeHistoryKey(key, *index), View(iterator->value()))
            : std::nullopt;
    if (!effect.has_value()) {
      return absl::DataLossError(absl::StrCat("a history row of entry ", index.value_or(0), " in ",
                                              rows_->path(), " is damaged"));
    }
    const absl::Status status = callback(*index, *effect);
    if (!status.ok()) return status;
  }
  return FromRocks(iterator->status(), absl::StrCat("history in ", rows_->path()));
}

absl::StatusOr<bool> Journal::HasHistoryRow(const HistoryRow& row) const {
  if (rows_->history() == nullptr) return false;
  const HistoryKey key = EncodeHistoryKey(row.write.key, row.index);
  std::string value;
  const rocksdb::Status status = rows_->db().Get({}, rows_->history(), ToSlice(key), &value);
  if (status.IsNotFound()) return false;
  if (!status.ok()) {
    return FromRocks(status, absl::StrCat("history of entry ", row.index, " in ", rows_->path()));
  }
  return DecodeHistoryRow(log_id_, key, value) == row.write.effect;
}

absl::Status Journal::WriteHistory(std::span<const HistoryRow> rows) {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  rocksdb::WriteBatch batch;
  rocksdb::Status status;
  for (const HistoryRow& row : rows) {
    if (status.ok()) status = PutHistory(batch, *rows_, log_id_, row);
  }
  if (status.ok()) status = rows_->db().Write({}, &batch);
  return status.ok() ? absl::OkStatus() : Poison(FromRocks(status, "write of history rows"));
}

absl::Status Journal::MarkHistoryComplete() {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  rocksdb::WriteOptions options;
  options.sync = true;
  const rocksdb::Status status =
      rows_->db().Put(options, rows_->history(), kMarkKey, MarkValue(log_id_));
  if (!status.ok()) return Poison(FromRocks(status, "write of the history mark"));
  history_complete_.store(true);
  return absl::OkStatus();
}

}  // namespace stele::storage
