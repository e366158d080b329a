// Applies an exported log again (docs/format.md, "Exported log") and gives the state after one of
// its entries.
//
// It asks no server and reads no more than the files of the export. Every entry up to that one is
// applied and compared with what the log says came of it; of all the others the commit records are
// taken into the log tree, whose root must be the signed one.
//
// Thread safety: independent calls are independent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "index/proof_text.h"
#include "server/offline.h"

namespace stele::client::cli {

struct LogReplay {
  server::OfflineState state;
  index::Checkpoint checkpoint;              // of all entries of the export
  uint64_t base = 0;                         // first entry of the export
  std::optional<index::Hash> base_snapshot;  // hash of the snapshot that it continues
  // The root over the first `roots_at` entries, where that was asked for and they are all there.
  std::optional<index::Hash> root;
  // The first entry that holds the digest of the receipt that was asked for.
  std::optional<uint64_t> receipt_entry;
};

struct LogReplayOptions {
  index::VerifierKey key;
  std::optional<uint64_t> at_index;    // without it: to the end
  std::optional<uint64_t> root_of;     // LogReplay::root
  std::optional<index::Hash> receipt;  // LogReplay::receipt_entry
  std::string base_snapshot;           // for a log that continues one; else empty
};

// Errors: DATA_LOSS, which names the file or the entry; OUT_OF_RANGE where the export does not hold
// the entry; INVALID_ARGUMENT where a snapshot must be given.
absl::StatusOr<LogReplay> ReplayExport(const std::string& directory,
                                       const LogReplayOptions& options);

// The path of bundle `number` with `width` entries below its folder: c2sp.org/tlog-tiles.
std::string TilePath(uint64_t number, uint64_t width);
inline constexpr uint64_t kTileWidth = 256;

}  // namespace stele::client::cli
