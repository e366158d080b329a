// The names inside a data directory. docs/format-storage.md, "directory".
//
// Thread safety: constants.
#pragma once

#include <string_view>

namespace stele::storage {

// FROZEN: on disk.
constexpr std::string_view kFormatName = "FORMAT";
constexpr std::string_view kLockName = "LOCK";
constexpr std::string_view kWatermarkName = "watermark";
constexpr std::string_view kJournalName = "journal";
constexpr std::string_view kSnapshotsName = "snapshots";
// Room that is given up when the disk is full.
constexpr std::string_view kBallastName = "ballast";
// Exists while a data directory is being created, and after a crash in that.
constexpr std::string_view kCreatingName = "creating";

}  // namespace stele::storage
