#include "server/erasure.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "index/commit_record.h"
#include "index/snapshot.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

using index::LogIndex;
using index::Operation;
using index::OperationKind;

// Rows of one batch; small ones, since of each there is hardly more than an id.
constexpr size_t kRewritesMax = 65'536;

bool IsTarget(LogIndex index, const Operation& operation, const ErasureTargets& targets) {
  if (index::IsByFilter(operation.kind)) {
    const auto place = targets.collections.find(operation.collection);
    return place != targets.collections.end() && index <= place->second;
  }
  const auto place = targets.keys.find(index::RecordKey(operation.collection, operation.id));
  return place != targets.keys.end() && index <= place->second;
}

// The later entry counts.
template <typename Map, typename Key>
void Raise(Map* map, Key key, LogIndex entry) {
  LogIndex& through = (*map)[std::move(key)];
  through = std::max(through, entry);
}

// Documents that a restored log carries lie below its first entry; the snapshot that it continues
// says whose they are.
absl::Status FindCarried(const storage::Journal& journal, const storage::SnapshotStore& store,
                         const ErasureTargets& targets,
                         std::vector<storage::ItemRewrite>* rewrites) {
  if (journal.base_index() == 0) return absl::OkStatus();
  const auto file = store.OpenSnapshot(journal.base_index() - 1);
  if (!file.ok()) return file.status();
  const auto manifest = ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  index::ScrubResult result;
  if (!index::ScrubSnapshot((*file)->bytes(), *manifest, targets.keys,
                            [](std::string_view) { return true; }, &result)) {
    return absl::DataLossError(absl::StrCat((*file)->path(), ": malformed"));
  }
  for (const index::DocumentRef& document : result.documents) {
    if (document.index >= journal.base_index()) continue;
    rewrites->push_back({document.index, document.ordinal, std::string(1, kCarriedErased)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ErasureTargets> ReadTargets(const storage::Journal& journal,
                                           std::span<const LogIndex> entries) {
  ErasureTargets targets;
  for (const LogIndex entry : entries) {
    targets.through = std::max(targets.through, entry);
    const auto bytes = journal.ReadEntry(entry);
    if (!bytes.ok()) return bytes.status();
    const auto row = index::DecodeEntryRow(*bytes);
    const auto header = row.has_value() ? index::DecodeHeader(row->header) : std::nullopt;
    const auto effects = row.has_value() ? index::DecodeEffects(row->effects) : std::nullopt;
    if (!header.has_value() || !effects.has_value()) {
      return DamagedEntry(entry, "its row is malformed");
    }
    for (uint32_t i = 0; i < header->item_count; ++i) {
      const auto item = journal.ReadItem(entry, i);
      if (!item.ok()) return item.status();
      const auto operation = index::DecodeOperation(*item);
      if (!operation.has_value()) {
        return DamagedEntry(entry, "an item is malformed");
      }
      if (operation->kind == OperationKind::kErase) {
        Raise(&targets.collections, operation->collection, entry);
        Raise(&targets.keys, index::RecordKey(operation->collection, operation->id), entry);
      } else if (operation->kind == OperationKind::kEraseByFilter) {
        Raise(&targets.collections, operation->collection, entry);
        for (const index::Effect& effect : *effects) {
          if (effect.kind == index::Effect::Kind::kRecord) Raise(&targets.keys, effect.key, entry);
        }
      }
    }
  }
  return targets;
}

absl::Status DestroyInLog(storage::Journal* journal, const storage::SnapshotStore& store,
                          const ErasureTargets& targets, const std::function<bool()>& stopped,
                          uint64_t* items) {
  std::vector<storage::ItemRewrite> rewrites;
  absl::Status status = FindCarried(*journal, store, targets, &rewrites);
  if (!status.ok()) return status;
  LogIndex lowest = journal->base_index();
  for (const storage::ItemRewrite& rewrite : rewrites) lowest = std::min(lowest, rewrite.index);
  *items = rewrites.size();
  const auto rewrite = [&] {
    const absl::Status written = journal->RewriteItems(rewrites);
    rewrites.clear();
    return written;
  };
  status = journal->Scan(
      journal->base_index(), targets.through,
      [&](LogIndex index, std::string_view, std::span<const std::string_view> rows) {
        if (stopped()) return absl::CancelledError("stopped");
        for (uint32_t i = 0; i < rows.size(); ++i) {
          // Others need not be decoded.
          if (!index::IsSalted(rows[i])) continue;
          const auto operation = index::DecodeOperation(rows[i]);
          if (!operation.has_value()) {
            return DamagedEntry(index, "an item is malformed");
          }
          if (!IsTarget(index, *operation, targets)) continue;
          ++*items;
          if (operation->erased) continue;
          rewrites.push_back({index, i, index::EncodeOperation(index::WithoutContent(*operation))});
        }
        return rewrites.size() < kRewritesMax ? absl::OkStatus() : rewrite();
      });
  if (status.ok()) status = rewrite();
  // Also where there was nothing to rewrite: an attempt before this one may have been cut off.
  return status.ok() ? journal->PurgeItems(lowest, targets.through, stopped) : status;
}

absl::Status DestroyInSnapshots(storage::SnapshotStore* store, const ErasureTargets& targets,
                                uint64_t* snapshots) {
  const auto listed = store->List();
  if (!listed.ok()) return listed.status();
  for (const storage::SnapshotStore::Listed& snapshot : *listed) {
    if (snapshot.index >= targets.through) continue;
    const auto file = storage::SnapshotFile::Open(snapshot.path);
    if (!file.ok()) return file.status();
    const auto manifest = ReadManifest(**file);
    bool good = manifest.ok();
    for (size_t i = 0; good && i < manifest->sections.size(); ++i) {
      good = index::IsIntact((*file)->bytes(), manifest->sections[i]);
    }
    index::ScrubResult result;
    good = good && index::ScrubSnapshot((*file)->bytes(), *manifest, targets.keys,
                                        [](std::string_view) { return true; }, &result);
    if (!good) {
      // A damaged file proves nothing and may hold anything.
      const absl::Status removed = store->Remove(snapshot.index);
      if (!removed.ok()) return removed;
      ++*snapshots;
      continue;
    }
    if (result.records == 0) continue;
    auto writer = store->NewWriter(snapshot.index);
    if (!writer.ok()) return writer.status();
    absl::Status status;
    const auto sink = [&](std::string_view bytes) {
      status = (*writer)->Append(bytes);
      return status.ok();
    };
    index::ScrubSnapshot((*file)->bytes(), *manifest, targets.keys, sink, &result);
    if (status.ok()) status = (*writer)->Commit();
    if (!status.ok()) return status;
    ++*snapshots;
  }
  return absl::OkStatus();
}

}  // namespace stele::server
