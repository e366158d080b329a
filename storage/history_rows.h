// Puts history rows into a write batch: shared by what appends entries and what writes rows
// afterwards.
//
// Thread safety: a pure function over the batch.
#pragma once

#include "rocksdb/status.h"
#include "rocksdb/write_batch.h"
#include "storage/journal.h"
#include "storage/row_db.h"

namespace stele::storage {

rocksdb::Status PutHistory(rocksdb::WriteBatch& batch, const RowDb& rows, const LogId& log_id,
                           const HistoryRow& row);

}  // namespace stele::storage
