// What lies in a data directory without being Stele's.
//
// Such files are left alone: a warning names them, because who put them there took the directory
// for something else. It does not look into journal/, which belongs to RocksDB.
//
// Thread safety: a pure function but for the disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace stele::server {

// The server's own files there, beside those of storage/layout.h.
inline constexpr std::string_view kCheckpointName = "checkpoint";
inline constexpr std::string_view kCheckpointKeyName = "checkpoint-key.pem";
inline constexpr std::string_view kCosignaturesName = "cosignatures";

// Names in `data_directory` and in its snapshots/ ("snapshots/NAME") that docs/format-storage.md
// does not list, sorted. A file system's own lost+found is not told. Empty where there is no
// directory.
std::vector<std::string> ForeignNames(const std::string& data_directory);

}  // namespace stele::server
