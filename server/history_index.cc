#include "server/history_index.h"

#include <algorithm>
#include <optional>

#include "index/hash.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

constexpr size_t kRowsInBatch = 4096;
// Of the newest rows, how many are looked for at start.
constexpr size_t kRowsLookedFor = 1024;

absl::StatusOr<std::vector<storage::HistoryRow>> RowsOf(const storage::Journal& journal,
                                                        uint64_t index) {
  const absl::StatusOr<std::string> bytes = journal.ReadEntry(index);
  if (!bytes.ok()) return bytes.status();
  const std::optional<index::EntryRow> row = index::DecodeEntryRow(*bytes);
  const std::optional<std::vector<index::Effect>> effects =
      row.has_value() ? index::DecodeEffects(row->effects) : std::nullopt;
  if (!effects.has_value()) {
    return DamagedEntry(index, "its effects are malformed");
  }
  std::vector<storage::HistoryRow> rows;
  for (const storage::HistoryWrite& write : HistoryOf(*effects)) rows.push_back({index, write});
  return rows;
}

// Whether the newest rows are there.
absl::StatusOr<bool> NewestAreThere(const storage::Journal& journal, uint64_t end) {
  size_t looked_for = 0;
  for (uint64_t index = end; looked_for < kRowsLookedFor && end - index < kRowsLookedFor; --index) {
    const absl::StatusOr<std::vector<storage::HistoryRow>> rows = RowsOf(journal, index);
    if (!rows.ok()) return rows.status();
    for (const storage::HistoryRow& row : *rows) {
      const absl::StatusOr<bool> there = journal.HasHistoryRow(row);
      if (!there.ok() || !*there) return there;
      if (++looked_for == kRowsLookedFor) break;
    }
    if (index == journal.base_index()) break;
  }
  return true;
}

}  // namespace

std::array<char, 16> HistoryKeyOf(const index::Hash& key) {
  std::array<char, 16> prefix;
  std::copy_n(key.begin(), prefix.size(), prefix.begin());
  return prefix;
}

std::vector<storage::HistoryWrite> HistoryOf(const std::vector<index::Effect>& effects) {
  const bool has_records = std::any_of(
      effects.begin(), effects.end(),
      [](const index::Effect& effect) { return effect.kind == index::Effect::Kind::kRecord; });
  std::vector<storage::HistoryWrite> rows;
  rows.reserve(effects.size());
  for (size_t i = 0; i < effects.size(); ++i) {
    const index::Effect& effect = effects[i];
    if (effect.kind == index::Effect::Kind::kCollection && has_records &&
        effect.value != index::kZeroHash) {
      continue;
    }
    rows.push_back({HistoryKeyOf(effect.key), static_cast<uint32_t>(i)});
  }
  return rows;
}

absl::Status CompleteHistory(storage::Journal* journal) {
  const std::optional<uint64_t> end = journal->end_index();
  if (journal->HistoryComplete() && end.has_value()) {
    const absl::StatusOr<bool> there = NewestAreThere(*journal, *end);
    if (!there.ok()) return there.status();
    if (*there) return absl::OkStatus();
  }
  std::vector<storage::HistoryRow> batch;
  for (uint64_t index = journal->base_index(); end.has_value() && index <= *end; ++index) {
    absl::StatusOr<std::vector<storage::HistoryRow>> rows = RowsOf(*journal, index);
    if (!rows.ok()) return rows.status();
    batch.insert(batch.end(), rows->begin(), rows->end());
    if (batch.size() < kRowsInBatch && index < *end) continue;
    const absl::Status status = journal->WriteHistory(batch);
    if (!status.ok()) return status;
    batch.clear();
  }
  return journal->MarkHistoryComplete();
}

absl::Status VerifyHistory(const storage::Journal& journal) {
  const std::optional<uint64_t> end = journal.end_index();
  if (!journal.HistoryComplete() || !end.has_value()) return absl::OkStatus();
  for (uint64_t index = journal.base_index(); index <= *end; ++index) {
    const absl::StatusOr<std::vector<storage::HistoryRow>> rows = RowsOf(journal, index);
    if (!rows.ok()) return rows.status();
    for (const storage::HistoryRow& row : *rows) {
      const absl::StatusOr<bool> there = journal.HasHistoryRow(row);
      if (!there.ok()) return there.status();
      if (!*there) {
        return DamagedEntry(index,
                            "a row of the index from records to entries is missing or damaged");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace stele::server
