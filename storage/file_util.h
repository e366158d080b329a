// Small file operations over RocksDB's FileSystem, with absl::Status and the path in every message.
//
// Everything in this folder that writes goes through a rocksdb::FileSystem, so that a test can fail
// or lose any single operation.
//
// Thread safety: the functions hold no state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/file_system.h"
#include "rocksdb/status.h"

namespace stele::storage {

// NoSpace is RESOURCE_EXHAUSTED, Corruption DATA_LOSS, a missing path NOT_FOUND, a refused one
// PERMISSION_DENIED, everything else INTERNAL. `what` leads the message.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

// `file_system`, or the default one if it is null.
std::shared_ptr<rocksdb::FileSystem> OrDefault(std::shared_ptr<rocksdb::FileSystem> file_system);

std::string JoinPath(std::string_view directory, std::string_view name);

// The directory part of `path`; "." if it has none.
std::string ParentDirectory(std::string_view path);

absl::StatusOr<bool> FileExists(rocksdb::FileSystem& file_system, const std::string& path);

// Names in `directory` without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListDirectory(rocksdb::FileSystem& file_system,
                                                       const std::string& directory);

// The first `size_max` bytes, or all if there are fewer.
absl::StatusOr<std::string> ReadFilePrefix(rocksdb::FileSystem& file_system,
                                           const std::string& path, size_t size_max);

// Creates or truncates the file and syncs it (not its directory).
absl::Status WriteFileSynced(rocksdb::FileSystem& file_system, const std::string& path,
                             std::string_view bytes);

absl::Status SyncDirectory(rocksdb::FileSystem& file_system, const std::string& directory);

absl::Status RenameFile(rocksdb::FileSystem& file_system, const std::string& from,
                        const std::string& to);

// Removes a file, or a directory with everything in it. Nothing there is OK.
absl::Status RemoveTree(rocksdb::FileSystem& file_system, const std::string& path);

}  // namespace stele::storage
