// RowDb: the RocksDB database under a journal: its options, its column families, its closing.
//
// It knows keys and options, not rows: callers read and write through db() with the handles.
//
// Thread safety: as rocksdb::DB.
//
// Invariant: the column family handles are released before the database is closed; this build of
// RocksDB aborts otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/cache.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace stele::storage {

class RowDb {
 public:
  enum class Mode {
    kCreate,  // must not exist
    kWrite,   // must exist; recovers, which drops what is damaged at the end of the WAL
    kRead,    // must exist; changes nothing on disk, writes no log file
  };

  // `path` is RocksDB's own directory. A database that cannot be opened is DATA_LOSS unless the
  // reason lies outside it (space, permission).
  static absl::StatusOr<std::unique_ptr<RowDb>> Open(
      const std::string& path, std::shared_ptr<rocksdb::FileSystem> file_system, Mode mode);

  ~RowDb();
  RowDb(const RowDb&) = delete;
  RowDb& operator=(const RowDb&) = delete;

  rocksdb::DB& db() const { return *db_; }
  rocksdb::ColumnFamilyHandle* meta() const { return meta_; }
  rocksdb::ColumnFamilyHandle* entries() const { return entries_; }
  rocksdb::ColumnFamilyHandle* items() const { return items_; }
  // Null where the database is open for reading and has no such family yet.
  rocksdb::ColumnFamilyHandle* tiles() const { return tiles_; }
  rocksdb::ColumnFamilyHandle* history() const { return history_; }
  const std::string& path() const { return path_; }

  // The row in which the journal keeps a copy of the FORMAT file.
  absl::StatusOr<std::string> ReadFormatRow() const;
  absl::Status WriteFormatRow(std::string_view bytes);

  // The highest entry index; nullopt if there is no entry.
  absl::StatusOr<std::optional<uint64_t>> LastEntryIndex() const;

  // Forgets the blocks of files that nobody is reading.
  void DropCache() { cache_->EraseUnRefEntries(); }

  // Makes everything written so far durable in sorted files.
  absl::Status Flush();

 private:
  explicit RowDb(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::unique_ptr<rocksdb::Env> env_;
  std::shared_ptr<rocksdb::Cache> cache_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;
  rocksdb::ColumnFamilyHandle* entries_ = nullptr;
  rocksdb::ColumnFamilyHandle* items_ = nullptr;
  rocksdb::ColumnFamilyHandle* tiles_ = nullptr;
  rocksdb::ColumnFamilyHandle* history_ = nullptr;
};

}  // namespace stele::storage
