// Puts rows into a write batch, key and header as rows.h encodes them: shared by what appends
// entries and what writes rows before, afterwards or anew.
//
// Thread safety: pure functions over the batch.
#pragma once

#include <cstdint>
#include <string_view>

#include "rocksdb/status.h"
#include "rocksdb/write_batch.h"
#include "storage/journal.h"
#include "storage/row_db.h"

namespace stele::storage {

rocksdb::Status PutEntry(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                         const EntryWrite& write);
rocksdb::Status PutItem(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                        uint64_t index, uint32_t ordinal, std::string_view bytes);
rocksdb::Status PutTile(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                        uint64_t last_leaf, const TileWrite& tile);
rocksdb::Status PutHistory(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                           const HistoryRow& row);

}  // namespace stele::storage
