#include "storage/row_db.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "rocksdb/cache.h"
#include "rocksdb/file_checksum.h"
#include "rocksdb/options.h"
#include "rocksdb/table.h"
#include "storage/file_util.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

// FROZEN: on disk. RocksDB's own default family always exists and serves as the meta family.
constexpr char kEntriesFamily[] = "entries";
constexpr char kItemsFamily[] = "items";
// Made when a database that has none is opened for writing: their rows follow from the entries.
constexpr char kTilesFamily[] = "tiles";
constexpr char kHistoryFamily[] = "history";
constexpr char kFormatKey[] = "format";

constexpr size_t kMebibyte = size_t{1} << 20;
constexpr size_t kWriteBufferBytes = 64 * kMebibyte;
constexpr size_t kWriteBuffersBytesMax = 160 * kMebibyte;
constexpr size_t kBlockCacheBytes = 64 * kMebibyte;
constexpr size_t kBlockBytes = 16 * 1024;
constexpr int kOpenFilesMax = 512;

rocksdb::DBOptions DatabaseOptions(rocksdb::Env* env, RowDb::Mode mode) {
  rocksdb::DBOptions options;
  options.env = env;
  options.create_if_missing = mode == RowDb::Mode::kCreate;
  options.error_if_exists = mode == RowDb::Mode::kCreate;
  options.create_missing_column_families = mode == RowDb::Mode::kCreate;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // All families always stand at the same point of the log.
  options.atomic_flush = true;
  options.file_checksum_gen_factory = rocksdb::GetFileChecksumGenCrc32cFactory();
  // After a failed write or sync nothing is tried again.
  options.max_bgerror_resume_count = 0;
  options.max_background_jobs = 2;
  options.max_open_files = kOpenFilesMax;
  options.db_write_buffer_size = kWriteBuffersBytesMax;
  options.max_total_wal_size = 2 * kWriteBuffersBytesMax;
  options.bytes_per_sync = kMebibyte;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.max_log_file_size = kMebibyte;
  options.keep_log_file_num = 2;
  return options;
}

// Of all families but `history` the keys only ever grow, so files never overlap and compaction
// moves them without rewriting.
rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache,
                                           rocksdb::CompressionType compression) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.block_size = kBlockBytes;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = compression;
  options.compression_opts.level = 1;
  options.write_buffer_size = kWriteBufferBytes;
  options.max_write_buffer_number = 3;
  options.target_file_size_base = kWriteBufferBytes;
  options.max_bytes_for_level_base = 8 * kWriteBufferBytes;
  options.memtable_protection_bytes_per_key = 8;
  return options;
}

bool Has(const std::vector<std::string>& names, const char* name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::Status OpenError(const rocksdb::Status& status, const std::string& path) {
  const std::string what = absl::StrCat("opening the journal in ", path);
  const absl::Status mapped = FromRocks(status, what);
  if (absl::IsNotFound(mapped) || status.IsInvalidArgument() || status.IsNotSupported()) {
    return absl::DataLossError(std::string(mapped.message()));
  }
  return mapped;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowDb>> RowDb::Open(const std::string& path,
                                                   std::shared_ptr<rocksdb::FileSystem> file_system,
                                                   Mode mode) {
  std::unique_ptr<RowDb> rows(new RowDb(path));
  rows->env_ = rocksdb::NewCompositeEnv(OrDefault(std::move(file_system)));
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  rows->cache_ = cache;
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, FamilyOptions(cache, rocksdb::kNoCompression)},
      {kEntriesFamily, FamilyOptions(cache, rocksdb::kZSTD)},
      {kItemsFamily, FamilyOptions(cache, rocksdb::kLZ4Compression)},
  };
  rocksdb::DBOptions options = DatabaseOptions(rows->env_.get(), mode);
  std::vector<std::string> names;
  if (mode != Mode::kCreate) {
    const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(options, path, &names);
    if (!listed.ok()) return OpenError(listed, path);
    // Only those that follow from them may be missing.
    options.create_missing_column_families = Has(names, kEntriesFamily) && Has(names, kItemsFamily);
  }
  for (const char* const derived : {kTilesFamily, kHistoryFamily}) {
    if (mode != Mode::kRead || Has(names, derived)) {
      families.emplace_back(derived, FamilyOptions(cache, rocksdb::kNoCompression));
    }
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      mode == Mode::kRead ? rocksdb::DB::OpenForReadOnly(options, path, families, &handles, &db)
                          : rocksdb::DB::Open(options, path, families, &handles, &db);
  if (!status.ok()) return OpenError(status, path);
  rows->db_.reset(db);
  rows->meta_ = handles[0];
  rows->entries_ = handles[1];
  rows->items_ = handles[2];
  for (size_t i = 3; i < handles.size(); ++i) {
    (families[i].name == kTilesFamily ? rows->tiles_ : rows->history_) = handles[i];
  }
  return rows;
}

RowDb::~RowDb() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* const handle : {meta_, entries_, items_, tiles_, history_}) {
    if (handle != nullptr) db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  db_->Close().PermitUncheckedError();
}

absl::StatusOr<std::string> RowDb::ReadFormatRow() const {
  std::string bytes;
  const rocksdb::Status status = db_->Get({}, meta_, kFormatKey, &bytes);
  if (status.IsNotFound()) {
    return absl::DataLossError(absl::StrCat("the journal in ", path_, " has lost its format row"));
  }
  if (!status.ok()) return FromRocks(status, absl::StrCat("format row in ", path_));
  return bytes;
}

absl::Status RowDb::WriteFormatRow(std::string_view bytes) {
  rocksdb::WriteOptions options;
  options.sync = true;
  return FromRocks(db_->Put(options, meta_, kFormatKey, ToSlice(bytes)),
                   absl::StrCat("format row in ", path_));
}

absl::StatusOr<std::optional<uint64_t>> RowDb::LastEntryIndex() const {
  const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator({}, entries_));
  iterator->SeekToLast();
  if (!iterator->Valid()) {
    if (!iterator->status().ok()) {
      return FromRocks(iterator->status(), absl::StrCat("last entry in ", path_));
    }
    return std::nullopt;
  }
  const rocksdb::Slice key = iterator->key();
  const std::optional<uint64_t> index = DecodeEntryKey({key.data(), key.size()});
  if (!index.has_value() || *index == UINT64_MAX) {
    return absl::DataLossError(absl::StrCat("the last entry key in ", path_, " is damaged"));
  }
  return index;
}

absl::Status RowDb::Flush() {
  const std::string what = absl::StrCat("flush of ", path_);
  rocksdb::Status status = db_->FlushWAL(true);
  if (status.ok()) status = db_->Flush({}, {meta_, entries_, items_, tiles_, history_});
  return FromRocks(status, what);
}

}  // namespace stele::storage
