// Journal: the durable, ordered log of one data directory: opaque entries with their opaque items.
//
// It stores bytes and proves that they are the bytes that were written, all of them and in order.
// It does not interpret them, computes no cryptographic hash (the log root is the caller's) and
// decides nothing about retention. docs/format-storage.md states every byte on disk.
//
// Thread safety: Append and AdvanceWatermark serialise among themselves; everything else may be
// called from any thread at any time, also during an Append.
//
// Invariants:
// 1. The entries on disk are exactly base_index..end_index, without a hole.
// 2. Append returns OK only after the entries, and then the watermark that names the last of them,
//    have both been synced. No entry at or below the watermark is ever missing unnoticed.
// 3. After a failed write or sync no other write is attempted by this object: the kernel may have
//    marked the pages that it lost as clean, so a sync that succeeds later proves nothing.
// 4. Opening looks before it touches: a directory that is refused has not been changed by the
//    attempt, except for its LOCK file.
// 5. Every row that is handed out has passed its checksum, which covers the log id, the position
//    and the length as well as the bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/log_id.h"
#include "storage/watermark.h"

namespace rocksdb {
class FileSystem;
}

namespace stele::storage {

class DirectoryLock;
class RowDb;

// What an item row is to hold from now on.
struct ItemRewrite {
  uint64_t index = 0;
  uint32_t ordinal = 0;
  std::string bytes;
};

// Nodes of the tree over the log that the entry completes. They follow from the entries; kept so
// that proofs need not compute them anew.
struct TileWrite {
  uint8_t level = 0;
  std::string bytes;
};

// That an entry touched a record or a collection: the first bytes of the digest that names it, and
// the place of its effect among the entry's.
struct HistoryWrite {
  std::array<char, 16> key{};
  uint32_t effect = 0;
};

// One entry as the caller hands it in: one entry row and 0..kItemsPerEntryMax item rows.
struct EntryWrite {
  uint64_t index = 0;
  std::string entry;
  std::vector<std::string> items;
  std::vector<TileWrite> tiles;       // of different levels
  std::vector<HistoryWrite> history;  // of different keys
};

// Of an entry that was written without it.
struct HistoryRow {
  uint64_t index = 0;
  HistoryWrite write;
};

// Tiles of an entry that was written without them.
struct TileRow {
  uint64_t last_leaf = 0;
  TileWrite tile;
};

// An item row that is stored when a journal is created; it belongs to an entry below the base.
struct CarriedItem {
  uint64_t index = 0;
  uint32_t ordinal = 0;
  std::string bytes;
};

// Hands out carried items in any order, each position once; nullopt ends it, an error stops Create.
using CarriedItemSource = std::function<absl::StatusOr<std::optional<CarriedItem>>()>;

class Journal {
 public:
  static constexpr size_t kItemsPerEntryMax = 4096;
  // Bytes of one Append, rows and keys together.
  static constexpr size_t kAppendBytesMax = size_t{1} << 30;

  struct Options {
    // The data directory. Its parent must exist.
    std::string directory;
    // The stele-probe executable. Empty: the probe runs in this process, where damage that trips
    // an assertion inside RocksDB ends the process; for tests.
    std::string probe_path;
    // Every file operation of the journal goes through it (the LOCK file's and the probe child's
    // excepted). Null: the default file system.
    std::shared_ptr<rocksdb::FileSystem> file_system;
    // Opens without changing a byte on disk; Append and AdvanceWatermark are refused.
    bool read_only = false;
  };

  struct Stats {
    uint64_t appends = 0;           // successful Append calls
    uint64_t entries = 0;           // entries in them
    uint64_t bytes = 0;             // entry and item bytes in them, without keys and envelopes
    uint64_t syncs = 0;             // successful syncs, two for each Append
    uint64_t last_sync_micros = 0;  // duration of the last Append's write and both its syncs
    uint64_t damaged_slots = 0;     // watermark slots (0..1) found damaged at Open; harmless alone
  };

  // Called for one entry in order; a status other than OK stops the scan and is returned by it.
  // The views are valid during the call only.
  using ScanCallback = std::function<absl::Status(uint64_t index, std::string_view entry,
                                                  std::span<const std::string_view> items)>;

  // Creates a journal whose first entry will be `base_index` (0 for a fresh log, n + 1 for a log
  // that continues a snapshot of entry n) and opens it. The directory may exist if it is empty;
  // what an interrupted Create left behind is removed. A crash leaves either no journal or all of
  // it. Errors: ALREADY_EXISTS (a journal is there), FAILED_PRECONDITION (something else is there,
  // or another process holds the directory), PERMISSION_DENIED, RESOURCE_EXHAUSTED, and whatever
  // `carried` returns.
  static absl::StatusOr<std::unique_ptr<Journal>> Create(
      const Options& options, const LogId& log_id, uint64_t base_index,
      const CarriedItemSource& carried = nullptr);

  // Opens a journal. Before anything is changed, every row from entry `check_from` (raised to the
  // base) to the end is read and checked by the probe; the entries must reach the watermark. The
  // entries beyond the watermark, if any, are synced before this returns; the caller then computes
  // their log root and calls AdvanceWatermark.
  // Errors: NOT_FOUND (no journal there), DATA_LOSS (what is damaged or which entries are missing),
  // FAILED_PRECONDITION (newer format, files of another log, directory in use),
  // PERMISSION_DENIED, RESOURCE_EXHAUSTED (too little disk for what opening for writing writes).
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const Options& options, uint64_t check_from);

  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const LogId& log_id() const { return log_id_; }
  uint64_t base_index() const { return base_index_; }
  // Index of the last entry; nullopt while there is none.
  std::optional<uint64_t> end_index() const;
  // The last watermark on disk; nullopt before the first entry is covered.
  std::optional<Watermark> watermark() const;

  // Appends entries end_index + 1, end_index + 2, ... as one atomic batch and syncs it, then writes
  // and syncs the watermark {last index, log_root_after}. Readers see the entries only after both.
  // Errors that change nothing: INVALID_ARGUMENT (indices do not continue the log, nothing given,
  // over a limit), FAILED_PRECONDITION (read-only). Any other error (RESOURCE_EXHAUSTED: no space)
  // poisons: this and every later write returns it.
  absl::Status Append(std::span<const EntryWrite> entries,
                      const std::array<uint8_t, 32>& log_root_after);

  // Moves the watermark forward over entries that are already synced. Does nothing if it already
  // stands at `watermark.index` with the same root. Errors: INVALID_ARGUMENT (other log, beyond the
  // end, backwards, or the same index with another root), and as for Append, poisoning included.
  absl::Status AdvanceWatermark(const Watermark& watermark);

  // Moves what RocksDB's write-ahead log holds into sorted files, so that the next opening has
  // nothing to recover; nothing that can be read changes. Errors: FAILED_PRECONDITION (read-only),
  // and as for Append, poisoning included.
  absl::Status Settle();

  // True after a write or sync has failed. Reads go on.
  bool poisoned() const;

  // OK if the file system has room for `bytes` more and a reserve for RocksDB's own files, else
  // RESOURCE_EXHAUSTED; poisons nothing. To be asked before an entry is applied.
  absl::Status CheckSpace(uint64_t bytes) const;

  // The bytes of an entry. Errors: NOT_FOUND (outside base_index..end_index), DATA_LOSS naming it.
  absl::StatusOr<std::string> ReadEntry(uint64_t index) const;
  // The bytes of an item, carried ones included. Errors: NOT_FOUND (no such item was written),
  // DATA_LOSS naming it.
  absl::StatusOr<std::string> ReadItem(uint64_t index, uint32_t ordinal) const;

  // The bytes of the tile that entry `last_leaf` completed. Errors: NOT_FOUND (none was written),
  // DATA_LOSS naming it.
  absl::StatusOr<std::string> ReadTile(uint64_t last_leaf, uint8_t level) const;
  // The entry that completed the newest tile; nullopt where there is none.
  absl::StatusOr<std::optional<uint64_t>> LastTileLeaf() const;
  // Writes tiles of entries that are there, without a sync: what is lost follows from the entries
  // again. Errors: FAILED_PRECONDITION (read-only), and as for Append, poisoning included.
  absl::Status WriteTiles(std::span<const TileRow> tiles);

  // Which entries touched a key, newest first, from `at_most` down. The rows are complete only as
  // far as HistoryComplete says, and whoever reads them looks into the entries that they name: keys
  // are prefixes. `callback` may stop the scan with a status, which is returned. Errors:
  // FAILED_PRECONDITION (HistoryComplete is false), DATA_LOSS (a damaged row).
  using HistoryCallback = std::function<absl::Status(uint64_t index, uint32_t effect)>;
  absl::Status ScanHistory(const std::array<char, 16>& key, uint64_t at_most,
                           const HistoryCallback& callback) const;
  // True where every entry has its history rows: Append writes them, MarkHistoryComplete says so of
  // those before.
  bool HistoryComplete() const { return history_complete_.load(); }
  // True if the row is there and good.
  absl::StatusOr<bool> HasHistoryRow(const HistoryRow& row) const;
  // Writes rows of entries that are there, without a sync. Errors as WriteTiles.
  absl::Status WriteHistory(std::span<const HistoryRow> rows);
  // Durably, with all rows written before. Errors as WriteTiles.
  absl::Status MarkHistoryComplete();

  // Replaces the bytes of item rows that are there, in one atomic, synced batch; readers see the
  // old ones or the new. What the files still hold of the old ones goes with PurgeItems. Errors:
  // FAILED_PRECONDITION (read-only), INVALID_ARGUMENT (over the limit of an append), and as for
  // Append, poisoning included.
  absl::Status RewriteItems(std::span<const ItemRewrite> rewrites);
  // Makes every file that may hold what rows of entries from..to_inclusive held before they were
  // rewritten disappear: flushes, compacts those rows, and waits until the old files are removed,
  // readers of them gone. `stopped` (may be null) is asked meanwhile: CANCELLED. Errors as for
  // Settle.
  absl::Status PurgeItems(uint64_t from, uint64_t to_inclusive,
                          const std::function<bool()>& stopped);

  // Reads from..to_inclusive in order, with readahead, every row checked. from > to_inclusive reads
  // nothing. Errors: OUT_OF_RANGE (not inside base_index..end_index), DATA_LOSS (after the callback
  // has seen everything before the damage), the callback's.
  absl::Status Scan(uint64_t from, uint64_t to_inclusive, const ScanCallback& callback) const;

  // Reads every sorted file whole and compares it with the checksum noted when it was written;
  // finds damage that no row read would meet. DATA_LOSS names the file.
  absl::Status VerifyFiles() const;

  Stats stats() const;

 private:
  Journal(Options options, LogId log_id, uint64_t base_index);

  static absl::StatusOr<std::unique_ptr<Journal>> OpenLocked(const Options& options,
                                                             uint64_t check_from,
                                                             std::unique_ptr<DirectoryLock> lock);

  // REQUIRES: append_mutex_ held. Errors: FAILED_PRECONDITION (read-only), what poisoned it.
  absl::Status CheckWritable() const;
  absl::Status CheckAppend(std::span<const EntryWrite> entries) const;
  // Reads the mark that MarkHistoryComplete leaves.
  absl::Status ReadHistoryMark();
  absl::Status WriteRows(std::span<const EntryWrite> entries);
  absl::Status Poison(absl::Status status);

  const Options options_;
  const LogId log_id_;
  const uint64_t base_index_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<RowDb> rows_;

  std::atomic<uint64_t> next_index_;  // entries below it are synced and visible
  std::atomic<bool> poisoned_{false};
  std::atomic<bool> history_complete_{false};

  mutable std::mutex append_mutex_;  // held through a whole Append
  std::unique_ptr<WatermarkFile> watermark_file_;
  absl::Status poison_;

  mutable std::mutex state_mutex_;  // short; guards what follows
  std::optional<Watermark> watermark_;
  Stats stats_;
};

}  // namespace stele::storage
