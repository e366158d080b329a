#include "server/log_nodes.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "index/commit_record.h"
#include "server/data_directory.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

constexpr size_t kTilesInBatch = 1024;

}  // namespace

LogNodes::LogNodes(const storage::Journal* journal, const index::LogTree& base)
    : journal_(journal), base_(base.size(), base.frontier()) {}

absl::StatusOr<index::Hash> LogNodes::ReadLeaf(uint64_t index) const {
  const absl::StatusOr<std::string> bytes = journal_->ReadEntry(index);
  if (!bytes.ok()) return bytes.status();
  const std::optional<index::EntryRow> row = index::DecodeEntryRow(*bytes);
  if (!row.has_value()) return DamagedEntry(index, "its row is malformed");
  const std::optional<index::CommitRecord> commit = index::DecodeCommitRecord(row->commit);
  if (!commit.has_value()) return DamagedEntry(index, "its commit record is malformed");
  if (commit->index != index) return DamagedEntry(index, "its commit record is of another entry");
  const index::Hash command = index::Hasher(index::Label::kCommand).Bytes(row->header).Finish();
  if (commit->command != command) {
    return DamagedEntry(index, "its commit record is of another command");
  }
  const std::optional<std::vector<index::Effect>> effects = index::DecodeEffects(row->effects);
  if (!effects.has_value() || index::EffectsRoot(*effects) != commit->effects_root) {
    return DamagedEntry(index, "its effects are not those that its commit record names");
  }
  return index::LogLeaf(row->commit);
}

absl::StatusOr<index::Hash> LogNodes::PlaceHash(unsigned level, uint64_t index) const {
  const unsigned shift = index::kTileHeight * level;
  if (((index + 1) << shift) <= base_.size()) {
    const std::span<const index::Hash> known = base_.unfinished(level);
    const bool beside = index / index::kTileWidth == (base_.size() >> shift) / index::kTileWidth;
    return beside && index % index::kTileWidth < known.size() ? known[index % index::kTileWidth]
                                                              : index::kZeroHash;
  }
  if (level == 0) return ReadLeaf(index);
  const absl::StatusOr<Tile> below = ReadTile(level - 1, index);
  if (!below.ok()) return below.status();
  const std::optional<index::Hash> hash = index::TileNode(*below, index::kTileHeight, 0);
  if (!hash.has_value()) return absl::InternalError("a complete tile has no root");
  return *hash;
}

absl::StatusOr<LogNodes::Tile> LogNodes::ReadStoredTile(unsigned level, uint64_t index) const {
  const absl::StatusOr<std::string> bytes =
      journal_->ReadTile(index::TileLastLeaf(level, index), static_cast<uint8_t>(level));
  if (!bytes.ok()) return bytes.status();
  Tile tile;
  if (bytes->size() != sizeof(tile)) return absl::DataLossError("a tile has another size");
  std::memcpy(tile.data(), bytes->data(), sizeof(tile));
  return tile;
}

absl::StatusOr<LogNodes::Tile> LogNodes::ReadTile(unsigned level, uint64_t index) const {
  absl::StatusOr<Tile> stored = ReadStoredTile(level, index);
  if (stored.ok()) return stored;
  Tile tile;
  for (unsigned i = 0; i < index::kTileWidth; ++i) {
    const absl::StatusOr<index::Hash> hash = PlaceHash(level, index * index::kTileWidth + i);
    if (!hash.ok()) return hash.status();
    tile[i] = *hash;
  }
  return tile;
}

absl::StatusOr<index::LogTiles> LogNodes::OpenTiles(uint64_t size) const {
  index::LogTiles tiles;
  for (unsigned level = 0; index::kTileHeight * level < 64; ++level) {
    const uint64_t end = size >> (index::kTileHeight * level);
    for (uint64_t i = end - end % index::kTileWidth; i < end; ++i) {
      const absl::StatusOr<index::Hash> hash = PlaceHash(level, i);
      if (!hash.ok()) return hash.status();
      tiles.Load(level, *hash);
    }
  }
  tiles.SetSize(size);
  return tiles;
}

index::LogNodeReader LogNodes::Reader(const index::LogTiles& open, absl::Status* error) const {
  return [this, &open, error](unsigned height, uint64_t index) -> std::optional<index::Hash> {
    const index::TilePlace place = index::LocateNode(height, index);
    const uint64_t open_tile = open.size() >> (index::kTileHeight * (place.level + 1));
    if (place.index == open_tile) {
      return index::TileNode(open.unfinished(place.level), place.height, place.offset);
    }
    if (index::TileLastLeaf(place.level, place.index) < base_.size()) return std::nullopt;
    const absl::StatusOr<Tile> tile = ReadTile(place.level, place.index);
    if (!tile.ok()) {
      *error = tile.status();
      return std::nullopt;
    }
    return index::TileNode(*tile, place.height, place.offset);
  };
}

absl::StatusOr<index::LogTree> ReadBaseTree(const storage::SnapshotStore& store,
                                            const storage::Journal& journal) {
  if (journal.base_index() == 0) return index::LogTree();
  const uint64_t last = journal.base_index() - 1;
  const auto file = store.OpenSnapshot(last);
  if (!file.ok()) {
    return absl::DataLossError(absl::StrCat("the log continues the snapshot of entry ", last,
                                            ", which cannot be opened: ", file.status().message()));
  }
  const absl::StatusOr<index::SnapshotManifest> manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  if (manifest->log_tree.size() != journal.base_index()) {
    return absl::DataLossError(absl::StrCat((*file)->path(), ": it is of another entry"));
  }
  return manifest->log_tree;
}

std::string LastCheckpointPath(const std::string& data_directory) {
  return data_directory + "/" + std::string(kCheckpointName);
}

absl::StatusOr<std::optional<LastSigned>> ReadLastSigned(const std::string& data_directory,
                                                         const storage::Journal& journal,
                                                         const LogNodes& nodes) {
  const std::string path = LastCheckpointPath(data_directory);
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::string error;
  std::optional<index::SignedNote> note = index::ParseNote(bytes, &error);
  std::optional<index::Checkpoint> checkpoint;
  if (note.has_value()) checkpoint = index::ParseCheckpoint(note->text, &error);
  if (!checkpoint.has_value()) {
    return absl::DataLossError(absl::StrCat(path, " is damaged, ", error));
  }
  const uint64_t end = journal.end_index().has_value() ? *journal.end_index() + 1 : 0;
  const std::string origin = LogOrigin(journal.log_id().bytes);
  if (checkpoint->origin != origin || checkpoint->size > end ||
      checkpoint->size < nodes.base_size()) {
    return absl::DataLossError(absl::StrCat(
        path, ": ", checkpoint->size, " entries of ", checkpoint->origin,
        " were signed, but this log (", origin, ") holds the entries from ", nodes.base_size(),
        " up to ", end, ": it was put back to an older state, or replaced"));
  }
  absl::StatusOr<index::LogTiles> tiles = nodes.OpenTiles(checkpoint->size);
  if (!tiles.ok()) return tiles.status();
  if (tiles->Root() != checkpoint->root) {
    return absl::DataLossError(absl::StrCat(path, ": the first ", checkpoint->size,
                                            " entries are not those that were signed: the log's ",
                                            "past was changed"));
  }
  return LastSigned{*std::move(note), *std::move(checkpoint), *std::move(tiles)};
}

storage::TileWrite MakeTileWrite(const index::LogTile& tile) {
  storage::TileWrite write;
  write.level = static_cast<uint8_t>(tile.level);
  for (const index::Hash& hash : tile.hashes) write.bytes.append(index::AsBytes(hash));
  return write;
}

absl::StatusOr<index::LogTiles> CompleteTiles(storage::Journal* journal, const index::LogTree& base,
                                              const index::LogTree& tree) {
  const absl::StatusOr<std::optional<uint64_t>> last = journal->LastTileLeaf();
  if (!last.ok()) return last.status();
  const LogNodes nodes(journal, base);
  uint64_t from = last->has_value() ? **last + 1 : base.size();
  // Where the stored ones have another root they are of no use: all are made anew.
  for (;; from = base.size()) {
    if (from > tree.size()) continue;
    absl::StatusOr<index::LogTiles> tiles = nodes.OpenTiles(from);
    if (!tiles.ok()) return tiles.status();
    std::vector<storage::TileRow> rows;
    std::vector<index::LogTile> complete;
    while (tiles->size() < tree.size()) {
      const uint64_t index = tiles->size();
      const absl::StatusOr<index::Hash> leaf = nodes.ReadLeaf(index);
      if (!leaf.ok()) return leaf.status();
      complete.clear();
      tiles->Append(*leaf, &complete);
      for (const index::LogTile& tile : complete) rows.push_back({index, MakeTileWrite(tile)});
      if (rows.size() < kTilesInBatch && tiles->size() < tree.size()) continue;
      if (rows.empty()) continue;
      const absl::Status status = journal->WriteTiles(rows);
      if (!status.ok()) return status;
      rows.clear();
    }
    if (tiles->Root() == tree.Root()) return tiles;
    if (from == base.size()) {
      return absl::DataLossError("the log tree computed from the entries has another root");
    }
  }
}

}  // namespace stele::server
