// The nodes of the log tree as they lie in the journal: stored tiles (index/log_tiles.h), and
// leaves computed from the entries themselves.
//
// A tile that is missing or damaged is computed again from what is below it, so damage to tiles
// costs time and never an answer. It signs nothing and compares nothing with roots: the callers do.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/log_proof.h"
#include "index/log_tiles.h"
#include "index/log_tree.h"
#include "index/proof_text.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {

class LogNodes {
 public:
  // `base` is the log tree before the journal's first entry: empty where that is 0. The journal
  // must outlive the object.
  LogNodes(const storage::Journal* journal, const index::LogTree& base);

  uint64_t base_size() const { return base_.size(); }

  // The leaf of an entry, from its commit record as it lies in the journal, after a look at what
  // stands beside it: the record is that of the entry, its command is the header's and its effects
  // are the stored ones. Errors: NOT_FOUND, DATA_LOSS naming the entry.
  absl::StatusOr<index::Hash> ReadLeaf(uint64_t index) const;

  // The unfinished tiles of the tree over the first `size` entries; size >= base_size().
  absl::StatusOr<index::LogTiles> OpenTiles(uint64_t size) const;

  // Reads nodes of the tree whose unfinished tiles are `open`, which must outlive the reader. What
  // goes wrong on the disk is put into `*error`; nodes below the base are simply not there.
  index::LogNodeReader Reader(const index::LogTiles& open, absl::Status* error) const;

  using Tile = std::array<index::Hash, index::kTileWidth>;
  // A complete tile, as it is stored or else computed anew.
  absl::StatusOr<Tile> ReadTile(unsigned level, uint64_t index) const;
  // As it is stored. Errors: NOT_FOUND, DATA_LOSS.
  absl::StatusOr<Tile> ReadStoredTile(unsigned level, uint64_t index) const;

 private:
  // The node of height 4 * level; the zero hash where it lies below the base and is not known.
  absl::StatusOr<index::Hash> PlaceHash(unsigned level, uint64_t index) const;

  const storage::Journal* const journal_;
  const index::LogTiles base_;
};

// The log tree before the journal's first entry: empty, or that of the snapshot which the log
// continues. DATA_LOSS where that is damaged or gone.
absl::StatusOr<index::LogTree> ReadBaseTree(const storage::SnapshotStore& store,
                                            const storage::Journal& journal);

std::string LastCheckpointPath(const std::string& data_directory);
// What was signed last, as the file in the data directory says; nothing where there is none. The
// log begins with it, or DATA_LOSS says why not. Signatures are the caller's to check.
struct LastSigned {
  index::SignedNote note;
  index::Checkpoint checkpoint;
  index::LogTiles tiles;  // of the log at that size
};
absl::StatusOr<std::optional<LastSigned>> ReadLastSigned(const std::string& data_directory,
                                                         const storage::Journal& journal,
                                                         const LogNodes& nodes);

// The form in which the journal takes a tile.
storage::TileWrite MakeTileWrite(const index::LogTile& tile);

// Writes the tiles that the journal lacks, and gives the unfinished ones at its end. DATA_LOSS if
// they do not have the root of `tree`.
absl::StatusOr<index::LogTiles> CompleteTiles(storage::Journal* journal, const index::LogTree& base,
                                              const index::LogTree& tree);

}  // namespace stele::server
