// Tiles of the log's tree, beside its entries.
#include <memory>

#include "absl/strings/str_cat.h"
#include "rocksdb/iterator.h"
#include "storage/file_util.h"
#include "storage/journal.h"
#include "storage/put_rows.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {

absl::StatusOr<std::string> Journal::ReadTile(uint64_t last_leaf, uint8_t level) const {
  const std::string name =
      absl::StrCat("the tile of level ", static_cast<int>(level), " that ends with ", last_leaf);
  if (rows_->tiles() == nullptr || last_leaf >= next_index_.load()) {
    return absl::NotFoundError(absl::StrCat(name, " was not written"));
  }
  const TileKey key = EncodeTileKey(last_leaf, level);
  std::string value;
  const rocksdb::Status status = rows_->db().Get({}, rows_->tiles(), ToSlice(key), &value);
  if (status.IsNotFound()) return absl::NotFoundError(absl::StrCat(name, " was not written"));
  if (!status.ok()) return FromRocks(status, name);
  const std::optional<std::string_view> bytes = DecodeTileRow(log_id_, last_leaf, level, value);
  if (!bytes.has_value()) return absl::DataLossError(absl::StrCat(name, " is damaged"));
  return std::string(*bytes);
}

absl::StatusOr<std::optional<uint64_t>> Journal::LastTileLeaf() const {
  if (rows_->tiles() == nullptr) return std::nullopt;
  const std::unique_ptr<rocksdb::Iterator> iterator(rows_->db().NewIterator({}, rows_->tiles()));
  iterator->SeekToLast();
  if (!iterator->Valid()) {
    if (!iterator->status().ok()) return FromRocks(iterator->status(), "the last tile");
    return std::nullopt;
  }
  const std::optional<uint64_t> last = DecodeTileKey(View(iterator->key()));
  if (!last.has_value()) return absl::DataLossError("the key of the last tile is damaged");
  return last;
}

absl::Status Journal::WriteTiles(std::span<const TileRow> tiles) {
  const std::lock_guard append_lock(append_mutex_);
  if (absl::Status status = CheckWritable(); !status.ok()) return status;
  rocksdb::WriteBatch batch;
  rocksdb::Status status;
  for (const TileRow& row : tiles) {
    if (status.ok()) status = PutTile(batch, *rows_, log_id_, row.last_leaf, row.tile);
  }
  if (status.ok()) status = rows_->db().Write({}, &batch);
  return status.ok() ? absl::OkStatus() : Poison(FromRocks(status, "write of tiles"));
}

}  // namespace stele::storage
