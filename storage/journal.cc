#include "storage/journal.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/options.h"
#include "rocksdb/write_batch.h"
#include "storage/directory_lock.h"
#include "storage/file_util.h"
#include "storage/put_rows.h"
#include "storage/row_db.h"
#include "storage/row_reader.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

// Kept free beside what an entry needs: memtables that are still to be flushed, the manifest.
constexpr uint64_t kSpaceReserveBytes = uint64_t{128} << 20;

uint64_t BytesOf(const EntryWrite& write) {
  uint64_t bytes = write.entry.size();
  for (const std::string& item : write.items) bytes += item.size();
  for (const TileWrite& tile : write.tiles) bytes += tile.bytes.size();
  return bytes;
}

constexpr size_t kRowOverheadBytes = 64;  // more than key, header and the batch's own framing

uint64_t BatchBytesOf(const EntryWrite& write) {
  return BytesOf(write) +
         (write.items.size() + write.tiles.size() + write.history.size() + 1) * kRowOverheadBytes;
}

uint64_t MicrosSince(std::chrono::steady_clock::time_point start) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now() - start)
                                   .count());
}

}  // namespace

Journal::Journal(Options options, LogId log_id, uint64_t base_index)
    : options_(std::move(options)),
      log_id_(log_id),
      base_index_(base_index),
      next_index_(base_index) {}

Journal::~Journal() = default;

std::optional<uint64_t> Journal::end_index() const {
  const uint64_t next = next_index_.load();
  if (next == base_index_) return std::nullopt;
  return next - 1;
}

std::optional<Watermark> Journal::watermark() const {
  const std::lock_guard lock(state_mutex_);
  return watermark_;
}

bool Journal::poisoned() const { return poisoned_.load(); }

Journal::Stats Journal::stats() const {
  const std::lock_guard lock(state_mutex_);
  return stats_;
}

absl::Status Journal::Poison(absl::Status status) {
  poison_ = status;
  poisoned_.store(true);
  return status;
}

absl::Status Journal::CheckWritable() const {
  if (options_.read_only) {
    return absl::FailedPreconditionError(
        absl::StrCat("the journal in ", options_.directory, " was opened read-only"));
  }
  return poison_;
}

absl::Status Journal::CheckAppend(std::span<const EntryWrite> entries) const {
  if (entries.empty()) return absl::InvalidArgumentError("no entry was given");
  uint64_t expected = next_index_.load();
  uint64_t bytes = 0;
  for (const EntryWrite& write : entries) {
    if (write.index != expected || expected == UINT64_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("entry ", write.index, " was given where entry ", expected, " is due"));
    }
    if (write.items.size() > kItemsPerEntryMax) {
      return absl::InvalidArgumentError(absl::StrCat("entry ", write.index, " has ",
                                                     write.items.size(), " items; at most ",
                                                     kItemsPerEntryMax, " are allowed"));
    }
    bytes += BatchBytesOf(write);
    ++expected;
  }
  if (bytes > kAppendBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("an append of ", bytes, " bytes; at most ", kAppendBytesMax, " are allowed"));
  }
  return absl::OkStatus();
}

absl::Status Journal::WriteRows(std::span<const EntryWrite> entries) {
  size_t reserved = 0;
  for (const EntryWrite& write : entries) reserved += BatchBytesOf(write);
  rocksdb::WriteBatch batch(reserved, 0, /*protection_bytes_per_key=*/8,
                            /*default_cf_ts_sz=*/0);
  rocksdb::Status status;
  for (const EntryWrite& write : entries) {
    status = PutEntry(batch, *rows_, log_id_, write);
    for (uint32_t i = 0; status.ok() && i < write.items.size(); ++i) {
      status = PutItem(batch, *rows_, log_id_, write.index, i, write.items[i]);
    }
    for (const TileWrite& tile : write.tiles) {
      if (status.ok()) status = PutTile(batch, *rows_, log_id_, write.index, tile);
    }
    for (const HistoryWrite& history : write.history) {
      if (status.ok()) status = PutHistory(batch, *rows_, log_id_, {write.index, history});
    }
    if (!status.ok()) return FromRocks(status, absl::StrCat("batch of entry ", write.index));
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  return FromRocks(rows_->db().Write(options, &batch),
                   absl::StrCat("write of entries ", entries.front().index, "..",
                                entries.back().index, " to ", rows_->path()));
}

absl::Status Journal::Append(std::span<const EntryWrite> entries,
                             const std::array<uint8_t, 32>& log_root_after) {
  const std::lock_guard append_lock(append_mutex_);
  absl::Status status = CheckWritable();
  if (status.ok()) status = CheckAppend(entries);
  if (!status.ok()) return status;

  const auto start = std::chrono::steady_clock::now();
  status = WriteRows(entries);
  if (!status.ok()) return Poison(status);
  const uint64_t next = entries.back().index + 1;
  status = watermark_file_->Write(WatermarkSlot{log_id_, next, log_root_after});
  if (!status.ok()) return Poison(status);

  const std::lock_guard state_lock(state_mutex_);
  watermark_ = Watermark{log_id_, next - 1, log_root_after};
  next_index_.store(next);
  ++stats_.appends;
  stats_.entries += entries.size();
  for (const EntryWrite& write : entries) stats_.bytes += BytesOf(write);
  stats_.syncs += 2;
  stats_.last_sync_micros = MicrosSince(start);
  return absl::OkStatus();
}

absl::Status Journal::AdvanceWatermark(const Watermark& watermark) {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  if (watermark.log_id != log_id_) {
    return absl::InvalidArgumentError(absl::StrCat("a watermark of log ", watermark.log_id.ToHex(),
                                                   " was given to log ", log_id_.ToHex()));
  }
  if (watermark.index < base_index_ || watermark.index >= next_index_.load()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a watermark at ", watermark.index, " lies outside the log"));
  }
  const std::optional<Watermark> current = this->watermark();
  if (current == watermark) return absl::OkStatus();
  if (current.has_value() && watermark.index <= current->index) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the watermark stands at ", current->index, " and cannot be moved to ", watermark.index,
        watermark.index == current->index ? " with another root" : ""));
  }
  const absl::Status status =
      watermark_file_->Write(WatermarkSlot{log_id_, watermark.index + 1, watermark.log_root});
  if (!status.ok()) return Poison(status);
  const std::lock_guard state_lock(state_mutex_);
  watermark_ = watermark;
  ++stats_.syncs;
  return absl::OkStatus();
}

absl::Status Journal::Settle() {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  const absl::Status status = rows_->Flush();
  return status.ok() ? status : Poison(status);
}

absl::Status Journal::CheckSpace(uint64_t bytes) const {
  uint64_t free_bytes = 0;
  const rocksdb::IOStatus status =
      OrDefault(options_.file_system)->GetFreeSpace(options_.directory, {}, &free_bytes, nullptr);
  if (!status.ok()) return FromRocks(status, options_.directory);
  // Twice: once in the WAL and once in the sorted file that follows.
  if (free_bytes >= kSpaceReserveBytes && (free_bytes - kSpaceReserveBytes) / 2 >= bytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the file system of ", options_.directory, " has ", free_bytes, " bytes left; an entry of ",
      bytes, " bytes needs twice that and a reserve of ", kSpaceReserveBytes));
}

absl::StatusOr<std::string> Journal::ReadEntry(uint64_t index) const {
  if (index < base_index_ || index >= next_index_.load()) {
    return absl::NotFoundError(absl::StrCat("there is no entry ", index));
  }
  const auto where = [&] { return absl::StrCat("entry ", index, " in ", rows_->path()); };
  const EntryKey key = EncodeEntryKey(index);
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = rows_->db().Get({}, rows_->entries(), ToSlice(key), &value);
  if (status.IsNotFound()) return absl::DataLossError(absl::StrCat(where(), " is missing"));
  if (!status.ok()) return FromRocks(status, where());
  const std::optional<EntryRow> row = DecodeEntryRow(log_id_, index, View(value));
  if (!row.has_value()) {
    return absl::DataLossError(absl::StrCat(where(), " is damaged: its checksum does not match"));
  }
  return std::string(row->bytes);
}

absl::StatusOr<std::string> Journal::ReadItem(uint64_t index, uint32_t ordinal) const {
  const auto absent = [&] {
    return absl::NotFoundError(absl::StrCat("there is no item ", ordinal, " of entry ", index));
  };
  if (index >= next_index_.load()) return absent();
  const auto where = [&] {
    return absl::StrCat("item ", ordinal, " of entry ", index, " in ", rows_->path());
  };
  const ItemKey key = EncodeItemKey(index, ordinal);
  rocksdb::PinnableSlice value;
  rocksdb::Status status = rows_->db().Get({}, rows_->items(), ToSlice(key), &value);
  if (status.IsNotFound() && index >= base_index_) {
    // Never written, or lost: the entry's row knows.
    rocksdb::PinnableSlice entry;
    status = rows_->db().Get({}, rows_->entries(), ToSlice(EncodeEntryKey(index)), &entry);
    if (!status.ok() && !status.IsNotFound()) return FromRocks(status, where());
    const std::optional<EntryRow> row = DecodeEntryRow(log_id_, index, View(entry));
    if (row.has_value() && ordinal >= row->item_count) return absent();
    return absl::DataLossError(absl::StrCat(where(), " is missing"));
  }
  if (status.IsNotFound()) return absent();
  if (!status.ok()) return FromRocks(status, where());
  const std::optional<std::string_view> bytes = DecodeItemRow(log_id_, index, ordinal, View(value));
  if (!bytes.has_value()) {
    return absl::DataLossError(absl::StrCat(where(), " is damaged: its checksum does not match"));
  }
  return std::string(*bytes);
}

absl::Status Journal::Scan(uint64_t from, uint64_t to_inclusive,
                           const ScanCallback& callback) const {
  if (from > to_inclusive) return absl::OkStatus();
  if (from < base_index_ || to_inclusive >= next_index_.load()) {
    return absl::OutOfRangeError(
        absl::StrCat("entries ", from, "..", to_inclusive, " are not all in the log"));
  }
  const absl::StatusOr<std::unique_ptr<RowReader>> reader =
      RowReader::Make(*rows_, log_id_, from, to_inclusive + 1);
  if (!reader.ok()) return reader.status();
  while (true) {
    const absl::StatusOr<bool> more = (*reader)->Next();
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    const absl::Status status =
        callback((*reader)->index(), (*reader)->entry(), (*reader)->items());
    if (!status.ok()) return status;
  }
}

absl::Status Journal::VerifyFiles() const {
  return FromRocks(rows_->db().VerifyFileChecksums({}),
                   absl::StrCat("file checksums in ", rows_->path()));
}

}  // namespace stele::storage
