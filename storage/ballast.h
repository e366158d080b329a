// The ballast: a file of a data directory that holds nothing but room. When the disk is full a
// start gives it up, so that the log can be recovered and read.
//
// Thread safety: none; the caller holds the directory.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace stele::storage {

// Makes the file, its room taken from the file system, if there is sixteen times that left; makes
// it anew if it has another size. 0 bytes: removes it. RESOURCE_EXHAUSTED: too little room, and
// there is no ballast now.
absl::Status KeepBallast(const std::string& directory, uint64_t bytes);

// Gives the room back. False where there is no ballast.
bool DropBallast(const std::string& directory);

}  // namespace stele::storage
