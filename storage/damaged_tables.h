// Which table files of a RocksDB database are damaged: asked when something has been found wrong,
// so that the file is named and not only what is missing without it.
//
// It does not open the database, and repairs nothing. Damaged files can trip assertions inside
// RocksDB: for the probe, which is a process of its own. Thread safety: pure but for the disk.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "rocksdb/file_system.h"

namespace stele::storage {

// `status`, if it is not DATA_LOSS, already names each damaged table of the database in `path`, or
// there is none; else the same with their names, and what is wrong with each, at the end.
absl::Status NameDamagedTables(const absl::Status& status, const std::string& path,
                               std::shared_ptr<rocksdb::FileSystem> file_system);

}  // namespace stele::storage
