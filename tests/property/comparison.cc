#include "tests/property/comparison.h"

#include "tests/reference/bytes.h"

namespace stele::property {
namespace {

std::string Text(const index::Hash& hash) { return std::string(index::AsBytes(hash)); }

std::string RecordDifference(const index::Collection& collection, index::LogIndex n,
                             const std::string& id, const reference::Record& expected) {
  const index::RecordVersion* version = collection.Find(id, n);
  if (version == nullptr) return "missing";
  if (version->id() != id) return "id";
  if (version->born() != expected.version) return "version";
  const auto row = collection.vectors().Row(version->slot());
  if (std::vector<int32_t>(row.begin(), row.end()) != expected.vector) return "vector";
  if (version->attributes() != reference::EncodeAttributes(expected.attributes)) {
    return "attributes";
  }
  if ((version->salt() != nullptr ? Text(*version->salt()) : "") != expected.salt) return "salt";
  const index::DocumentRef* document = version->document();
  if ((document != nullptr) != !expected.document.empty()) return "document";
  if (document == nullptr) return {};
  if (document->size_bytes != expected.document.size()) return "document size";
  if (Text(document->part) != reference::DocumentPart(expected)) {
    return "document part";
  }
  return {};
}

std::string CollectionDifference(const index::Collection& collection, index::LogIndex n,
                                 const reference::Collection& expected) {
  if (collection.born() != expected.born) return "born";
  if (collection.config().dimension != expected.config.dimension ||
      collection.config().metric != expected.config.metric ||
      collection.config().description != expected.config.description ||
      collection.config().receipts != expected.config.receipts ||
      collection.config().erasable != expected.config.erasable) {
    return "config";
  }
  const index::CollectionStats& stats = collection.StatsAt(n);
  if (stats.record_count != expected.records.size()) return "record count";
  if ((stats.holds != nullptr ? stats.holds->size() : 0) != expected.holds.size()) return "holds";
  if (stats.state_index != expected.state_index) return "state index";
  if (Text(stats.records_root) != reference::RecordsRoot(collection.name(), expected)) {
    return "records root";
  }
  for (const auto& [id, record] : expected.records) {
    const std::string difference = RecordDifference(collection, n, id, record);
    if (!difference.empty()) return "record " + id + ": " + difference;
  }
  // In order, and nothing else.
  auto expected_record = expected.records.begin();
  for (const auto* node = collection.records().First(); node != nullptr; node = node->Next()) {
    if (index::FindVisible(node->payload.newest.Get(), n) == nullptr) continue;
    if (expected_record == expected.records.end() || expected_record->first != node->key()) {
      return "an extra record";
    }
    ++expected_record;
  }
  return expected_record == expected.records.end() ? "" : "a record is not listed";
}

}  // namespace

std::string Difference(const index::StateMachine& machine, index::LogIndex n,
                       const reference::State& expected) {
  const std::string at = "at " + std::to_string(n) + ": ";
  std::string seek;
  for (const auto& [name, collection] : expected.collections) {
    const index::Collection* found = machine.SeekCollection(seek, n);
    if (found == nullptr || found->name() != name) return at + "collection " + name + " not listed";
    if (machine.FindCollection(name, n) != found) return at + "collection " + name + " not found";
    const std::string difference = CollectionDifference(*found, n, collection);
    if (!difference.empty()) return at + "collection " + name + ": " + difference;
    seek = name + '\0';
  }
  if (machine.SeekCollection(seek, n) != nullptr) return at + "an extra collection";
  return {};
}

std::vector<index::SearchHit> SearchInParts(const index::Collection& collection, index::LogIndex n,
                                            const index::SearchQuery& query,
                                            const index::Kernels& kernels) {
  const index::SearchScan scan(collection, n, {&query, 1}, kernels);
  index::TopHits first(query.k, query.distance_max);
  index::TopHits second = first;
  index::SearchCounts counts;
  const uint32_t middle = scan.stretch_count() / 2;
  const auto scratch = scan.MakeScratch();
  scan.Scan(middle, scan.stretch_count(), {&second, 1}, {&counts, 1}, scratch.get());
  // As threads tell each other how far they are.
  first.Tighten(second.distance_limit());
  scan.Scan(0, middle, {&first, 1}, {&counts, 1}, scratch.get());
  second.Merge(first);
  return second.TakeSorted();
}

}  // namespace stele::property
