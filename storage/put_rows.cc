#include "storage/put_rows.h"

#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

// Key, header and body go into the batch without being joined first.
rocksdb::Status PutRow(rocksdb::WriteBatch& batch, rocksdb::ColumnFamilyHandle* family,
                       rocksdb::Slice key, rocksdb::Slice header, rocksdb::Slice body) {
  const rocksdb::Slice value[] = {header, body};
  return batch.Put(family, rocksdb::SliceParts(&key, 1), rocksdb::SliceParts(value, 2));
}

}  // namespace

rocksdb::Status PutEntry(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                         const EntryWrite& write) {
  const EntryKey key = EncodeEntryKey(write.index);
  const EntryHeader header = EncodeEntryHeader(
      log_id, write.index, static_cast<uint32_t>(write.items.size()), write.entry);
  return PutRow(batch, rows.entries(), ToSlice(key), ToSlice(header), write.entry);
}

rocksdb::Status PutItem(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                        uint64_t index, uint32_t ordinal, std::string_view bytes) {
  const ItemKey key = EncodeItemKey(index, ordinal);
  const ItemHeader header = EncodeItemHeader(log_id, index, ordinal, bytes);
  return PutRow(batch, rows.items(), ToSlice(key), ToSlice(header), ToSlice(bytes));
}

rocksdb::Status PutTile(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                        uint64_t last_leaf, const TileWrite& tile) {
  const TileKey key = EncodeTileKey(last_leaf, tile.level);
  const TileHeader header = EncodeTileHeader(log_id, last_leaf, tile.level, tile.bytes);
  return PutRow(batch, rows.tiles(), ToSlice(key), ToSlice(header), tile.bytes);
}

rocksdb::Status PutHistory(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                           const HistoryRow& row) {
  const HistoryKey key = EncodeHistoryKey(row.write.key, row.index);
  const HistoryValue value = EncodeHistoryValue(log_id, key, row.write.effect);
  return batch.Put(rows.history(), ToSlice(key), ToSlice(value));
}

}  // namespace stele::storage
