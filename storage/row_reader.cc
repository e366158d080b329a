#include "storage/row_reader.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "rocksdb/options.h"
#include "storage/file_util.h"
#include "storage/rows.h"
#include "storage/slice.h"

namespace stele::storage {
namespace {

constexpr size_t kReadaheadBytes = size_t{2} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<RowReader>> RowReader::Make(const RowDb& rows, const LogId& log_id,
                                                           uint64_t begin, uint64_t end) {
  std::unique_ptr<RowReader> reader(new RowReader(rows, log_id, begin, end));
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = kReadaheadBytes;
  std::vector<rocksdb::Iterator*> iterators;
  const rocksdb::Status status =
      rows.db().NewIterators(options, {rows.entries(), rows.items()}, &iterators);
  if (!status.ok()) return FromRocks(status, absl::StrCat("reading ", rows.path()));
  reader->entry_iterator_.reset(iterators[0]);
  reader->item_iterator_.reset(iterators[1]);
  reader->entry_iterator_->Seek(ToSlice(EncodeEntryKey(begin)));
  reader->item_iterator_->Seek(ToSlice(EncodeItemKey(begin, 0)));
  return reader;
}

RowReader::RowReader(const RowDb& rows, const LogId& log_id, uint64_t begin, uint64_t end)
    : rows_(rows), log_id_(log_id), next_(begin), end_(end) {}

absl::Status RowReader::Damaged(std::string_view what) const {
  return absl::DataLossError(absl::StrCat(std::string(what), " in ", rows_.path()));
}

absl::Status RowReader::MissingEntries() const {
  if (!entry_iterator_->status().ok()) {
    return FromRocks(entry_iterator_->status(),
                     absl::StrCat("entry ", next_, " in ", rows_.path()));
  }
  if (!entry_iterator_->Valid()) {
    return Damaged(absl::StrCat("entries ", next_, "..", end_ - 1, " are missing"));
  }
  const std::optional<uint64_t> found = DecodeEntryKey(View(entry_iterator_->key()));
  if (!found.has_value() || *found <= next_) return Damaged("an entry key is damaged");
  return Damaged(absl::StrCat("entries ", next_, "..", *found - 1,
                              " are missing: the log continues at ", *found));
}

absl::StatusOr<bool> RowReader::Next() {
  if (moved_) {
    moved_ = false;
    ++next_;
    entry_iterator_->Next();
  }
  if (next_ >= end_) return false;
  if (!entry_iterator_->Valid() ||
      View(entry_iterator_->key()) != View(ToSlice(EncodeEntryKey(next_)))) {
    return MissingEntries();
  }
  // The entry's bytes stay in the iterator, which therefore moves on only at the next call.
  const std::optional<EntryRow> row =
      DecodeEntryRow(log_id_, next_, View(entry_iterator_->value()));
  if (!row.has_value()) {
    return Damaged(absl::StrCat("entry ", next_, " is damaged: its checksum does not match"));
  }
  const absl::Status status = ReadItems(row->item_count);
  if (!status.ok()) return status;
  entry_ = row->bytes;
  moved_ = true;
  return true;
}

absl::Status RowReader::ReadItems(uint32_t item_count) {
  item_bytes_.clear();
  item_ends_.clear();
  items_.clear();
  for (uint32_t ordinal = 0; ordinal < item_count; ++ordinal) {
    const absl::Status status = ReadItem(ordinal);
    if (!status.ok()) return status;
  }
  if (item_iterator_->Valid()) {
    const std::optional<ItemPosition> following = DecodeItemKey(View(item_iterator_->key()));
    if (!following.has_value() || following->index <= next_) {
      return Damaged(
          absl::StrCat("entry ", next_, " has more item rows than the ", item_count, " it counts"));
    }
  } else if (!item_iterator_->status().ok()) {
    return FromRocks(item_iterator_->status(),
                     absl::StrCat("items after entry ", next_, " in ", rows_.path()));
  }
  size_t begin = 0;
  for (const size_t end : item_ends_) {
    items_.push_back(std::string_view(item_bytes_).substr(begin, end - begin));
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status RowReader::ReadItem(uint32_t ordinal) {
  const auto name = [&] { return absl::StrCat("item ", ordinal, " of entry ", next_); };
  if (!item_iterator_->status().ok()) {
    return FromRocks(item_iterator_->status(), absl::StrCat(name(), " in ", rows_.path()));
  }
  if (!item_iterator_->Valid() ||
      View(item_iterator_->key()) != View(ToSlice(EncodeItemKey(next_, ordinal)))) {
    return Damaged(absl::StrCat(name(), " is missing"));
  }
  const std::optional<std::string_view> bytes =
      DecodeItemRow(log_id_, next_, ordinal, View(item_iterator_->value()));
  if (!bytes.has_value()) {
    return Damaged(absl::StrCat(name(), " is damaged: its checksum does not match"));
  }
  item_bytes_.append(*bytes);
  item_ends_.push_back(item_bytes_.size());
  item_iterator_->Next();
  return absl::OkStatus();
}

absl::Status RowReader::ExpectNoMoreItems() const {
  if (item_iterator_->Valid()) {
    return Damaged("there are item rows beyond the end of the log");
  }
  return FromRocks(item_iterator_->status(), absl::StrCat("items in ", rows_.path()));
}

}  // namespace stele::storage
