#include "server/state_diff.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "server/history_index.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

using index::Effect;
using index::Hash;
using index::LogIndex;
using index::Operation;
using index::OperationKind;

constexpr uint64_t kEntriesPerCheck = 64;

// Keys are digests: any part of them is a good hash.
struct HashOfKey {
  size_t operator()(const Hash& key) const {
    size_t value = 0;
    for (size_t i = 0; i < sizeof(value); ++i) value = value << 8 | key[i];
    return value;
  }
};

// What the log tells of a record before the first entry that touched it.
enum class Hint { kNone, kWasThere, kWasNot };

struct Touched {
  std::string id;
  Hint hint = Hint::kNone;
  VersionThen after;  // a zero commitment where it was deleted
};

struct Incarnations {
  std::string name;
  bool existed = true;  // at `from`
  bool exists = true;   // at `to`, as far as was read
  bool dropped = false;
  uint64_t dropped_count = 0;  // records that went with the first drop
  // Of the incarnation that is there, and of the first one up to its drop.
  std::unordered_map<Hash, Touched, HashOfKey> touched;
  std::unordered_map<Hash, Touched, HashOfKey> touched_first;
};

class Comparison {
 public:
  Comparison(const storage::Journal& journal, LogIndex from, LogIndex to,
             std::optional<std::string_view> collection, const std::function<bool()>& stopped)
      : journal_(journal), from_(from), to_(to), only_(collection), stopped_(stopped) {}

  absl::StatusOr<StateDifference> Run() {
    StateDifference difference;
    absl::Status status = journal_.Scan(
        from_ + 1, to_,
        [&](uint64_t index, std::string_view entry, std::span<const std::string_view> items) {
          if (difference.entries_read++ % kEntriesPerCheck == 0 && stopped_()) {
            return absl::CancelledError("stopped");
          }
          return Read(index, entry, items);
        });
    if (!status.ok()) return status;
    for (auto& [name, incarnations] : collections_) {
      absl::StatusOr<CollectionDifference> made = Compare(incarnations);
      if (!made.ok()) return made.status();
      const bool same = made->kind == DiffKind::kSame ||
                        (made->kind == DiffKind::kChanged && made->added_count == 0 &&
                         made->removed_count == 0 && made->changed_count == 0);
      if (!same) difference.collections.emplace(name, *std::move(made));
    }
    return difference;
  }

 private:
  bool Wanted(std::string_view collection) const {
    return !only_.has_value() || collection == *only_;
  }

  Incarnations& Of(const std::string& collection) {
    Incarnations& incarnations = collections_[collection];
    incarnations.name = collection;
    return incarnations;
  }

  absl::Status Read(LogIndex index, std::string_view bytes,
                    std::span<const std::string_view> items) {
    const std::optional<index::EntryRow> row = index::DecodeEntryRow(bytes);
    const auto commit = row.has_value() ? index::DecodeCommitRecord(row->commit) : std::nullopt;
    const auto effects = row.has_value() ? index::DecodeEffects(row->effects) : std::nullopt;
    if (!commit.has_value() || !effects.has_value()) return DamagedEntry(index, "it is malformed");
    if (effects->empty()) return absl::OkStatus();
    const bool has_records = std::any_of(effects->begin(), effects->end(), [](const Effect& e) {
      return e.kind == Effect::Kind::kRecord;
    });
    if (has_records) return ReadRecords(index, *commit, *effects, items);
    std::optional<Operation> first;
    if (items.size() == 1) first = index::DecodeOperation(items.front());
    if (!first.has_value() || !Wanted(first->collection)) return absl::OkStatus();
    const bool known = collections_.contains(first->collection);
    Incarnations& incarnations = Of(first->collection);
    if (first->kind == OperationKind::kCreateCollection) {
      if (!known) incarnations.existed = false;
      incarnations.exists = true;
    } else if (first->kind == OperationKind::kDropCollection) {
      if (!incarnations.dropped && incarnations.existed) {
        incarnations.dropped_count = commit->deleted_count;
        incarnations.touched_first = std::move(incarnations.touched);
      }
      incarnations.touched.clear();
      incarnations.dropped = true;
      incarnations.exists = false;
    }
    return absl::OkStatus();
  }

  absl::Status ReadRecords(LogIndex index, const index::CommitRecord& commit,
                           const std::vector<Effect>& effects,
                           std::span<const std::string_view> items) {
    std::unordered_map<Hash, Operation, HashOfKey> writers;
    std::optional<Operation> deletion;  // by filter
    for (const std::string_view item : items) {
      std::optional<Operation> operation = index::DecodeOperation(item);
      if (!operation.has_value()) continue;
      if (operation->id.empty()) {
        deletion = *std::move(operation);
        break;
      }
      if (!Wanted(operation->collection)) continue;
      const Hash key = index::RecordKey(operation->collection, operation->id);
      writers.emplace(key, *std::move(operation));
    }
    for (const Effect& effect : effects) {
      if (effect.kind != Effect::Kind::kRecord) continue;
      const auto writer = writers.find(effect.key);
      const Operation* operation = writer != writers.end() ? &writer->second
                                   : deletion.has_value()  ? &*deletion
                                                           : nullptr;
      // Where the operation has been erased nothing tells the collection.
      if (operation == nullptr || !Wanted(operation->collection)) continue;
      Incarnations& incarnations = Of(operation->collection);
      const auto [touched, fresh] = incarnations.touched.try_emplace(effect.key);
      touched->second.after = {index, effect.value};
      if (touched->second.id.empty()) touched->second.id = operation->id;
      if (!fresh) continue;
      if (++touched_count_ > kDiffRecordsMax) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the entries between touched more than ", kDiffRecordsMax,
                         " records; compare states that are closer to each other"));
      }
      const bool inserted = operation->kind == OperationKind::kInsert || commit.updated_count == 0;
      const bool was_there = effect.value == index::kZeroHash ||
                             operation->kind == OperationKind::kUpdateAttributes ||
                             commit.inserted_count == 0;
      touched->second.hint = was_there ? Hint::kWasThere : inserted ? Hint::kWasNot : Hint::kNone;
    }
    return absl::OkStatus();
  }

  // The newest entry at or before `from_` that touched a key, and the place of its effect.
  absl::StatusOr<std::optional<std::pair<uint64_t, uint32_t>>> RowBefore(const Hash& key,
                                                                         LogIndex at_most) const {
    std::optional<std::pair<uint64_t, uint32_t>> row;
    const absl::Status status =
        journal_.ScanHistory(HistoryKeyOf(key), at_most, [&](uint64_t index, uint32_t effect) {
          row = {index, effect};
          return absl::CancelledError("enough");
        });
    if (!status.ok() && !absl::IsCancelled(status)) return status;
    return row;
  }

  struct Lookup {
    uint64_t index = 0;
    uint32_t effect = 0;
    const Hash* key = nullptr;
  };

  // The versions at `from_` of touched records of the incarnation that was there. Reads each entry
  // once, whatever the number of records it wrote.
  absl::StatusOr<std::unordered_map<Hash, VersionThen, HashOfKey>> VersionsBefore(
      const std::string& collection, const std::unordered_map<Hash, Touched, HashOfKey>& touched) {
    const absl::StatusOr<LogIndex> dropped = NewestDrop(collection);
    if (!dropped.ok()) return dropped.status();
    std::vector<Lookup> lookups;
    for (const auto& [key, record] : touched) {
      const auto row = RowBefore(key, from_);
      if (!row.ok()) return row.status();
      if (row->has_value() && (*row)->first > *dropped) {
        lookups.push_back({(*row)->first, (*row)->second, &key});
      }
    }
    std::sort(lookups.begin(), lookups.end(), [](const Lookup& a, const Lookup& b) {
      return std::tie(a.index, a.effect) < std::tie(b.index, b.effect);
    });
    std::unordered_map<Hash, VersionThen, HashOfKey> versions;
    std::vector<Effect> effects;
    uint64_t read = UINT64_MAX;
    uint64_t count = 0;
    for (const Lookup& lookup : lookups) {
      if (++count % kEntriesPerCheck == 0 && stopped_()) return absl::CancelledError("stopped");
      if (lookup.index != read) {
        absl::StatusOr<std::vector<Effect>> made = EffectsOf(lookup.index);
        if (!made.ok()) return made.status();
        effects = *std::move(made);
        read = lookup.index;
      }
      if (lookup.effect >= effects.size() || effects[lookup.effect].key != *lookup.key) {
        return DamagedEntry(lookup.index, "its effects are not those that its history row names");
      }
      const Hash& value = effects[lookup.effect].value;
      if (value != index::kZeroHash) versions[*lookup.key] = {lookup.index, value};
    }
    return versions;
  }

  absl::StatusOr<std::vector<Effect>> EffectsOf(LogIndex index) const {
    const absl::StatusOr<std::string> bytes = journal_.ReadEntry(index);
    if (!bytes.ok()) return bytes.status();
    const std::optional<index::EntryRow> row = index::DecodeEntryRow(*bytes);
    std::optional<std::vector<Effect>> effects =
        row.has_value() ? index::DecodeEffects(row->effects) : std::nullopt;
    if (!effects.has_value()) return DamagedEntry(index, "its effects are malformed");
    return *std::move(effects);
  }

  // The newest entry up to `from_` that dropped the collection; 0 where there is none.
  absl::StatusOr<LogIndex> NewestDrop(const std::string& collection) const {
    LogIndex at_most = from_;
    const Hash key = index::CollectionKey(collection);
    for (;;) {
      const auto row = RowBefore(key, at_most);
      if (!row.ok()) return row.status();
      if (!row->has_value()) return 0;
      const auto effects = EffectsOf((*row)->first);
      if (!effects.ok()) return effects.status();
      if ((*row)->second < effects->size() && (*effects)[(*row)->second].key == key &&
          (*effects)[(*row)->second].value == index::kZeroHash) {
        return (*row)->first;
      }
      if ((*row)->first == 0) return 0;
      at_most = (*row)->first - 1;
    }
  }

  // An id that only an earlier entry tells: that of a record deleted by filter.
  absl::StatusOr<std::string> FindId(const std::string& collection, const Hash& key,
                                     LogIndex at_most) const {
    for (;;) {
      const auto row = RowBefore(key, at_most);
      if (!row.ok()) return row.status();
      if (!row->has_value()) return std::string();
      const LogIndex index = (*row)->first;
      for (uint32_t ordinal = (*row)->second;; ++ordinal) {
        const absl::StatusOr<std::string> item = journal_.ReadItem(index, ordinal);
        if (absl::IsNotFound(item.status())) break;
        if (!item.ok()) return item.status();
        const std::optional<Operation> operation = index::DecodeOperation(*item);
        if (operation.has_value() && !operation->id.empty() &&
            index::RecordKey(collection, operation->id) == key) {
          return operation->id;
        }
      }
      if (index == 0) return std::string();
      at_most = index - 1;
    }
  }

  absl::StatusOr<CollectionDifference> Compare(Incarnations& incarnations) {
    CollectionDifference difference;
    if (incarnations.existed && incarnations.dropped) {
      // Of the first incarnation: as many as were dropped, less what had come meanwhile.
      const auto before = VersionsBefore(incarnations.name, incarnations.touched_first);
      if (!before.ok()) return before.status();
      uint64_t alive = 0;
      for (const auto& [key, record] : incarnations.touched_first) {
        if (record.after.commitment != index::kZeroHash) ++alive;
      }
      difference.removed_count = incarnations.dropped_count + before->size() - alive;
    }
    if (!incarnations.exists) {
      if (incarnations.existed) difference.kind = DiffKind::kRemoved;
      return difference;
    }
    const bool same_incarnation = incarnations.existed && !incarnations.dropped;
    difference.kind = same_incarnation       ? DiffKind::kChanged
                      : incarnations.existed ? DiffKind::kReplaced
                                             : DiffKind::kAdded;
    std::unordered_map<Hash, VersionThen, HashOfKey> before;
    if (same_incarnation) {
      auto made = VersionsBefore(incarnations.name, incarnations.touched);
      if (!made.ok()) return made.status();
      before = *std::move(made);
    }
    for (auto& [key, touched] : incarnations.touched) {
      RecordDifference record;
      record.key = key;
      record.id = std::move(touched.id);
      if (touched.after.commitment != index::kZeroHash) record.after = touched.after;
      if (const auto found = before.find(key); found != before.end()) record.before = found->second;
      record.kind = KindOf(record, touched.hint, same_incarnation);
      if (absl::Status status = Add(incarnations.name, std::move(record), &difference);
          !status.ok()) {
        return status;
      }
    }
    std::sort(difference.records.begin(), difference.records.end(),
              [](const RecordDifference& a, const RecordDifference& b) {
                return std::tie(a.id, a.key) < std::tie(b.id, b.key);
              });
    return difference;
  }

  DiffKind KindOf(const RecordDifference& record, Hint hint, bool same_incarnation) const {
    if (record.before.has_value()) {
      if (!record.after.has_value()) return DiffKind::kRemoved;
      return record.before->commitment == record.after->commitment ? DiffKind::kSame
                                                                   : DiffKind::kChanged;
    }
    // A log that continues a snapshot does not hold what was there at its base.
    const bool perhaps_there =
        same_incarnation && journal_.base_index() > 0 && hint != Hint::kWasNot;
    if (!record.after.has_value()) {
      return perhaps_there && hint == Hint::kWasThere ? DiffKind::kRemoved : DiffKind::kSame;
    }
    if (!perhaps_there) return DiffKind::kAdded;
    return hint == Hint::kWasThere ? DiffKind::kChanged : DiffKind::kWritten;
  }

  absl::Status Add(const std::string& collection, RecordDifference record,
                   CollectionDifference* difference) const {
    switch (record.kind) {
      case DiffKind::kAdded:
      case DiffKind::kWritten:
        ++difference->added_count;
        break;
      case DiffKind::kRemoved:
        ++difference->removed_count;
        break;
      case DiffKind::kChanged:
        ++difference->changed_count;
        break;
      default:
        return absl::OkStatus();
    }
    if (!only_.has_value()) return absl::OkStatus();
    if (record.id.empty()) {
      absl::StatusOr<std::string> id = FindId(collection, record.key, to_);
      if (!id.ok()) return id.status();
      record.id = *std::move(id);
    }
    difference->records.push_back(std::move(record));
    return absl::OkStatus();
  }

  const storage::Journal& journal_;
  const LogIndex from_;
  const LogIndex to_;
  const std::optional<std::string_view> only_;
  const std::function<bool()>& stopped_;
  std::map<std::string, Incarnations> collections_;
  size_t touched_count_ = 0;
};

}  // namespace

absl::StatusOr<StateDifference> CompareStates(const storage::Journal& journal, LogIndex from,
                                              LogIndex to,
                                              std::optional<std::string_view> collection,
                                              const std::function<bool()>& stopped) {
  return Comparison(journal, from, to, collection, stopped).Run();
}

}  // namespace stele::server
