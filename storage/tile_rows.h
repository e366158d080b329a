// Puts tiles into a write batch: shared by what appends entries and what writes tiles afterwards.
//
// Thread safety: a pure function over the batch.
#pragma once

#include "rocksdb/status.h"
#include "rocksdb/write_batch.h"
#include "storage/journal.h"
#include "storage/row_db.h"

namespace stele::storage {

rocksdb::Status PutTile(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                        uint64_t last_leaf, const TileWrite& tile);

}  // namespace stele::storage
