// RowReader: walks entries with their items in order and checks everything it passes.
//
// It finds damaged rows, missing entries, missing items and items that nobody counted. It reads one
// consistent view of the database, taken when it is made.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/iterator.h"
#include "storage/log_id.h"
#include "storage/row_db.h"

namespace stele::storage {

class RowReader {
 public:
  // Reads the entries from `begin` up to and without `end`; `rows` must outlive the reader.
  static absl::StatusOr<std::unique_ptr<RowReader>> Make(const RowDb& rows, const LogId& log_id,
                                                         uint64_t begin, uint64_t end);

  // Moves to the next entry; false after the last. DATA_LOSS says what is wrong where.
  absl::StatusOr<bool> Next();

  // Of the entry that Next moved to; valid until the next call of it.
  uint64_t index() const { return next_; }
  std::string_view entry() const { return entry_; }
  std::span<const std::string_view> items() const { return items_; }

  // After Next has returned false with `end` the end of the log: DATA_LOSS if the database holds
  // items beyond it.
  absl::Status ExpectNoMoreItems() const;

 private:
  RowReader(const RowDb& rows, const LogId& log_id, uint64_t begin, uint64_t end);

  absl::Status Damaged(std::string_view what) const;
  absl::Status MissingEntries() const;
  absl::Status ReadItems(uint32_t item_count);
  absl::Status ReadItem(uint32_t ordinal);

  const RowDb& rows_;
  const LogId log_id_;
  uint64_t next_;  // the entry that is being read, or has been
  const uint64_t end_;
  bool moved_ = false;  // next_ has been read
  std::unique_ptr<rocksdb::Iterator> entry_iterator_;
  std::unique_ptr<rocksdb::Iterator> item_iterator_;

  std::string_view entry_;
  std::string item_bytes_;  // the items of one entry, one after the other
  std::vector<size_t> item_ends_;
  std::vector<std::string_view> items_;
};

}  // namespace stele::storage
