// The nodes of the log tree in tiles of 16: what is stored so that proofs need no recomputation.
//
// A tile of level k holds the 16 hashes of height 4k that lie beside each other under one node of
// height 4k + 4. It is complete with the leaf that ends it, and never changes afterwards. 34.1
// bytes of hashes an entry are kept, and any node of the tree is at most 7 hashes away from a tile.
// (The tiles of C2SP tlog-tiles are 256 wide: as much to store, but up to 127 hashes for a node.)
//
// In a log that continues another one, hashes below its base are not known one by one: a tile then
// holds the root of 2^j of its places in the first of them and zeros in the others.
//
// It stores nothing itself. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// FROZEN: on disk.
inline constexpr unsigned kTileHeight = 4;
inline constexpr unsigned kTileWidth = 1u << kTileHeight;

// A complete tile. Its last leaf is (index + 1) * 16^(level + 1) - 1.
struct LogTile {
  unsigned level = 0;
  uint64_t index = 0;
  std::array<Hash, kTileWidth> hashes{};
};

// The node of `height` (0: a leaf) with the leaves index * 2^height ... lies in this tile, 2^height
// hashes of it joined, from `offset` on.
struct TilePlace {
  unsigned level = 0;
  uint64_t index = 0;
  unsigned height = 0;  // inside the tile: 0..3
  unsigned offset = 0;
};
TilePlace LocateNode(unsigned height, uint64_t index);
uint64_t TileLastLeaf(unsigned level, uint64_t index);

// Root over 2^height hashes of a tile from `offset` on; height 4 is the whole tile. Nothing where
// they are not known. REQUIRES: offset is a multiple of 2^height. Counts what it computes in
// `*hash_count`, which may be null.
std::optional<Hash> TileNode(std::span<const Hash> hashes, unsigned height, unsigned offset,
                             uint64_t* hash_count = nullptr);

// The tiles that are not complete yet, from which the complete ones come.
class LogTiles {
 public:
  LogTiles() = default;
  // Of a tree of `size` leaves of which only the frontier is known (LogTree).
  LogTiles(uint64_t size, std::span<const Hash> frontier);

  // Adds the leaf with index size(). Complete tiles are added to `*complete`, lowest level first.
  void Append(const Hash& leaf, std::vector<LogTile>* complete);

  // Puts a node of height 4 * level behind the others of its level. For loading: the levels must
  // be filled to what `size` says, and then SetSize called.
  void Load(unsigned level, const Hash& hash);
  void SetSize(uint64_t size);

  uint64_t size() const { return size_; }
  // The hashes of the unfinished tile of a level; empty beyond the top.
  std::span<const Hash> unfinished(unsigned level) const;
  // RFC 6962 root, from the unfinished tiles alone.
  Hash Root() const;

 private:
  uint64_t size_ = 0;
  std::vector<std::vector<Hash>> open_;  // by level, each shorter than kTileWidth
};

}  // namespace stele::index
