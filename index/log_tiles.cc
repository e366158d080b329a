#include "index/log_tiles.h"

#include <bit>

#include "index/check.h"

namespace stele::index {

TilePlace LocateNode(unsigned height, uint64_t index) {
  TilePlace place;
  place.level = height / kTileHeight;
  place.height = height % kTileHeight;
  const uint64_t first = index << place.height;
  place.index = first / kTileWidth;
  place.offset = static_cast<unsigned>(first % kTileWidth);
  return place;
}

uint64_t TileLastLeaf(unsigned level, uint64_t index) {
  return ((index + 1) << (kTileHeight * (level + 1))) - 1;
}

std::optional<Hash> TileNode(std::span<const Hash> hashes, unsigned height, unsigned offset,
                             uint64_t* hash_count) {
  const unsigned width = 1u << height;
  if (offset + width > hashes.size() || hashes[offset] == kZeroHash) return std::nullopt;
  if (height == 0) {
    // A hash before zeros stands for all of them together.
    const bool merged = offset + 1 < hashes.size() && hashes[offset + 1] == kZeroHash;
    return merged ? std::nullopt : std::optional<Hash>(hashes[offset]);
  }
  bool merged = true;
  for (unsigned i = 1; i < width; ++i) merged = merged && hashes[offset + i] == kZeroHash;
  // One that stands for even more is not this node.
  const bool longer = offset + width < hashes.size() && hashes[offset + width] == kZeroHash;
  if (merged) return longer ? std::nullopt : std::optional<Hash>(hashes[offset]);
  const std::optional<Hash> left = TileNode(hashes, height - 1, offset, hash_count);
  const std::optional<Hash> right = TileNode(hashes, height - 1, offset + width / 2, hash_count);
  if (!left.has_value() || !right.has_value()) return std::nullopt;
  if (hash_count != nullptr) ++*hash_count;
  return HashPair(Label::kLogNode, *left, *right);
}

LogTiles::LogTiles(uint64_t size, std::span<const Hash> frontier) : size_(size) {
  Check(frontier.size() == static_cast<size_t>(std::popcount(size)));
  // Largest first: a frontier hash of height h fills 2^(h % 4) places of level h / 4.
  for (unsigned height = 64; height-- > 0;) {
    if ((size >> height & 1) == 0) continue;
    const unsigned level = height / kTileHeight;
    if (open_.size() <= level) open_.resize(level + 1);
    open_[level].push_back(frontier.front());
    open_[level].resize(open_[level].size() + (1u << height % kTileHeight) - 1, kZeroHash);
    frontier = frontier.subspan(1);
  }
}

void LogTiles::Append(const Hash& leaf, std::vector<LogTile>* complete) {
  Hash hash = leaf;
  for (unsigned level = 0;; ++level) {
    if (open_.size() <= level) open_.resize(level + 1);
    std::vector<Hash>& open = open_[level];
    open.push_back(hash);
    if (open.size() < kTileWidth) break;
    LogTile tile;
    tile.level = level;
    tile.index = size_ >> (kTileHeight * (level + 1));
    for (unsigned i = 0; i < kTileWidth; ++i) tile.hashes[i] = open[i];
    open.clear();
    const std::optional<Hash> above = TileNode(tile.hashes, kTileHeight, 0);
    Check(above.has_value());
    hash = *above;
    complete->push_back(tile);
  }
  ++size_;
}

void LogTiles::Load(unsigned level, const Hash& hash) {
  if (open_.size() <= level) open_.resize(level + 1);
  open_[level].push_back(hash);
}

void LogTiles::SetSize(uint64_t size) {
  for (unsigned level = 0; level < open_.size(); ++level) {
    Check(open_[level].size() == (size >> (kTileHeight * level)) % kTileWidth);
  }
  size_ = size;
}

std::span<const Hash> LogTiles::unfinished(unsigned level) const {
  if (level >= open_.size()) return {};
  return open_[level];
}

Hash LogTiles::Root() const {
  std::optional<Hash> root;
  for (unsigned level = 0; level < open_.size(); ++level) {
    // The places of a tile in groups of falling size, joined from the smallest on.
    unsigned end = static_cast<unsigned>(open_[level].size());
    for (unsigned height = 0; end > 0; ++height) {
      if ((end >> height & 1) == 0) continue;
      end -= 1u << height;
      const std::optional<Hash> node = TileNode(open_[level], height, end);
      Check(node.has_value());
      root = root.has_value() ? HashPair(Label::kLogNode, *node, *root) : *node;
    }
  }
  return root.has_value() ? *root : Hasher().Finish();
}

}  // namespace stele::index
