#include "server/record_history.h"

#include <utility>

#include "index/state_machine.h"
#include "server/history_index.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

using index::Operation;
using index::OperationKind;

constexpr size_t kRowsAtOnce = 64;

RecordChange::Kind EndKind(const std::optional<Operation>& operation) {
  if (!operation.has_value()) return RecordChange::Kind::kErased;
  if (operation->kind == OperationKind::kDelete) return RecordChange::Kind::kDeleted;
  if (operation->kind == OperationKind::kDeleteByFilter) {
    return RecordChange::Kind::kDeletedByFilter;
  }
  return RecordChange::Kind::kErased;
}

}  // namespace

RecordHistory::RecordHistory(const storage::Journal* journal, std::string_view collection,
                             std::string_view id, index::LogIndex at_most)
    : journal_(journal), collection_(collection), id_(id) {
  records_.key = index::RecordKey(collection, id);
  collections_.key = index::CollectionKey(collection);
  records_.at_most = collections_.at_most = at_most;
}

absl::Status RecordHistory::Fill(Rows* rows) const {
  if (!rows->read.empty() || rows->exhausted) return absl::OkStatus();
  const absl::Status status = journal_->ScanHistory(
      HistoryKeyOf(rows->key), rows->at_most, [&](uint64_t index, uint32_t effect) {
        rows->read.push_back({index, effect});
        return rows->read.size() < kRowsAtOnce ? absl::OkStatus() : absl::CancelledError("enough");
      });
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  rows->exhausted = status.ok() || rows->read.back().first == 0;
  if (!rows->exhausted) rows->at_most = rows->read.back().first - 1;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RecordHistory::Mark>> RecordHistory::NextMark() {
  for (;;) {
    for (Rows* rows : {&records_, &collections_}) {
      if (absl::Status status = Fill(rows); !status.ok()) return status;
    }
    if (records_.read.empty() && collections_.read.empty()) return std::nullopt;
    const bool is_collection =
        records_.read.empty() || (!collections_.read.empty() &&
                                  collections_.read.front().first > records_.read.front().first);
    Rows& rows = is_collection ? collections_ : records_;
    const auto [index, effect] = rows.read.front();
    rows.read.pop_front();
    absl::StatusOr<std::optional<Mark>> mark = ReadMark(rows, index, effect, is_collection);
    if (!mark.ok() || mark->has_value()) return mark;
  }
}

absl::StatusOr<std::optional<RecordHistory::Mark>> RecordHistory::ReadMark(
    const Rows& rows, uint64_t index, uint32_t effect, bool is_collection) const {
  ++entries_read_;
  const absl::StatusOr<std::string> bytes = journal_->ReadEntry(index);
  if (!bytes.ok()) return bytes.status();
  const std::optional<index::EntryRow> row = index::DecodeEntryRow(*bytes);
  if (!row.has_value()) return DamagedEntry(index, "its row is malformed");
  const auto header = index::DecodeHeader(row->header);
  const auto commit = index::DecodeCommitRecord(row->commit);
  const auto effects = index::DecodeEffects(row->effects);
  if (!header.has_value() || !commit.has_value() || !effects.has_value()) {
    return DamagedEntry(index, "its header, commit record or effects are malformed");
  }
  if (effect >= effects->size())
    return DamagedEntry(index, "it has fewer effects than its history row");
  const index::Effect& touched = (*effects)[effect];
  if (HistoryKeyOf(touched.key) != HistoryKeyOf(rows.key)) {
    return DamagedEntry(index, "its effects are not those that its history row names");
  }
  // Another name with the same first bytes.
  if (touched.key != rows.key) return std::nullopt;
  if (is_collection && touched.value != index::kZeroHash) return std::nullopt;

  Mark mark;
  mark.is_drop = is_collection;
  mark.only_inserts = commit->updated_count == 0;
  mark.only_updates = commit->inserted_count == 0;
  mark.change.index = index;
  mark.change.actor = header->actor;
  mark.change.request_id = header->request_id;
  mark.change.timestamp_micros = header->timestamp_micros;
  if (is_collection) {
    mark.change.kind = RecordChange::Kind::kCollectionDropped;
    return mark;
  }
  if (touched.value != index::kZeroHash) mark.change.commitment = touched.value;
  const absl::Status status = ReadOperation(index, effect, header->item_count, &mark);
  if (!status.ok()) return status;
  return mark;
}

// An effect comes from the operation in its own place, or from a later one where operations before
// it had no effect.
absl::Status RecordHistory::ReadOperation(uint64_t index, uint32_t first, uint32_t count,
                                          Mark* mark) const {
  bool some_erased = false;
  for (uint32_t ordinal = count == 1 ? 0 : first; ordinal < count; ++ordinal) {
    const absl::StatusOr<std::string> bytes = journal_->ReadItem(index, ordinal);
    if (!bytes.ok()) return bytes.status();
    std::optional<Operation> operation = index::DecodeOperation(*bytes);
    if (!operation.has_value()) {
      some_erased = true;
      continue;
    }
    const bool names_record = !operation->id.empty();
    if (operation->collection != collection_ || (names_record && operation->id != id_)) continue;
    if (mark->change.is_end()) {
      mark->change.kind = EndKind(operation);
      return absl::OkStatus();
    }
    if (!names_record) break;
    if (operation->kind == OperationKind::kUpdateAttributes) {
      mark->change.kind = RecordChange::Kind::kAttributesUpdated;
    } else if (!index::IsWholeRecord(operation->kind)) {
      break;
    }
    if (!operation->erased) {
      mark->change.operation = std::make_shared<const Operation>(*std::move(operation));
    }
    return absl::OkStatus();
  }
  if (!some_erased) return DamagedEntry(index, "no operation of it wrote the record of its effect");
  if (mark->change.is_end()) mark->change.kind = RecordChange::Kind::kErased;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RecordChange>> RecordHistory::Next() {
  if (!begun_) {
    absl::StatusOr<std::optional<Mark>> first = NextMark();
    if (!first.ok()) return first.status();
    ahead_ = *std::move(first);
    begun_ = true;
  }
  while (ahead_.has_value()) {
    Mark mark = *std::move(ahead_);
    absl::StatusOr<std::optional<Mark>> older = NextMark();
    if (!older.ok()) return older.status();
    ahead_ = *std::move(older);
    const bool was_there = ahead_.has_value() && !ahead_->change.is_end();
    // A drop ends the record only if it was there.
    if (mark.is_drop && !was_there) continue;
    RecordChange& change = mark.change;
    if (change.is_end() || change.kind == RecordChange::Kind::kAttributesUpdated) return change;
    const bool inserted =
        change.operation != nullptr && change.operation->kind == OperationKind::kInsert;
    if (was_there) {
      change.kind = RecordChange::Kind::kReplaced;
    } else if (ahead_.has_value() || journal_->base_index() == 0 || inserted || mark.only_inserts) {
      change.kind = RecordChange::Kind::kCreated;
    } else {
      change.kind =
          mark.only_updates ? RecordChange::Kind::kReplaced : RecordChange::Kind::kWritten;
    }
    return change;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<RecordContent>> ContentsOf(const std::vector<RecordChange>& changes,
                                                      RecordHistory* history) {
  // What the oldest builds on, newest first.
  std::vector<RecordChange> older;
  const RecordChange* oldest = changes.empty() ? nullptr : &changes.back();
  while (oldest != nullptr && oldest->kind == RecordChange::Kind::kAttributesUpdated) {
    absl::StatusOr<std::optional<RecordChange>> next = history->Next();
    if (!next.ok()) return next.status();
    if (!next->has_value()) break;
    older.push_back(**std::move(next));
    oldest = &older.back();
  }
  std::vector<RecordContent> contents(changes.size());
  RecordContent content;
  const auto advance = [&content](const RecordChange& change) {
    if (change.is_end()) {
      content = {};
    } else if (change.operation == nullptr) {
      content = {RecordContent::State::kErased, nullptr, {}};
    } else if (change.kind != RecordChange::Kind::kAttributesUpdated) {
      content = {RecordContent::State::kGiven, change.operation, change.operation->attributes};
    } else if (content.state == RecordContent::State::kGiven) {
      std::string merged;
      index::MergeAttributes(content.attributes, *change.operation, &merged);
      content.attributes = std::move(merged);
    }
  };
  for (auto change = older.rbegin(); change != older.rend(); ++change) advance(*change);
  for (size_t i = changes.size(); i-- > 0;) {
    advance(changes[i]);
    contents[i] = content;
  }
  return contents;
}

absl::StatusOr<std::optional<RecordThen>> RecordAfter(const storage::Journal* journal,
                                                      std::string_view collection,
                                                      std::string_view id,
                                                      index::LogIndex at_most) {
  RecordHistory history(journal, collection, id, at_most);
  absl::StatusOr<std::optional<RecordChange>> newest = history.Next();
  if (!newest.ok()) return newest.status();
  if (!newest->has_value()) return std::nullopt;
  std::vector<RecordChange> changes;
  changes.push_back(**std::move(newest));
  absl::StatusOr<std::vector<RecordContent>> contents = ContentsOf(changes, &history);
  if (!contents.ok()) return contents.status();
  return RecordThen{std::move(changes.front()), std::move(contents->front())};
}

}  // namespace stele::server
