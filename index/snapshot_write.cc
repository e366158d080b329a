#include "index/snapshot.h"
#include "index/snapshot_format.h"
#include "index/snapshot_sections.h"

namespace stele::index {
namespace {

bool WriteRequests(const RequestLog::View& requests, SectionWriter& writer) {
  writer.Begin(SectionKind::kRequests);
  writer.encoder().U64(requests.first()).U64(requests.end() - requests.first());
  for (LogIndex index = requests.first(); index < requests.end(); ++index) {
    const RequestEntry& entry = requests.At(index);
    writer.encoder().Raw({reinterpret_cast<const char*>(entry.request.data()), 16});
    writer.encoder().Digest(entry.body);
    if (!writer.Advance()) return false;
  }
  return writer.End();
}

StoredRecord RecordOf(const Collection& collection, const RecordVersion& version) {
  StoredRecord record;
  record.id = version.id();
  record.version = version.born();
  record.erased = version.erased();
  if (record.erased) {
    record.commitment = version.commitment();
    return record;
  }
  if (version.salt() != nullptr) record.salt = *version.salt();
  record.vector = collection.vectors().Row(version.slot());
  record.attributes = version.attributes();
  if (version.document() != nullptr) record.document = *version.document();
  return record;
}

// visit(version) for every record visible at n, in order of id; stops at false.
template <typename Visit>
bool ForEachRecord(const Collection& collection, LogIndex n, Visit&& visit) {
  for (const RecordNode* node = collection.records().First(); node != nullptr;
       node = node->Next()) {
    const RecordVersion* version = FindVisible(node->payload.newest.Get(), n);
    if (version != nullptr && !visit(*version)) return false;
  }
  return true;
}

bool WritePolicies(const StateMachine& state, const SnapshotBasis& basis, SectionWriter& writer) {
  const LogIndex n = basis.log_index;
  std::vector<const Collection*> held;
  for (const Collection* collection = state.SeekCollection({}, n); collection != nullptr;
       collection = state.SeekCollection(collection->name() + '\0', n)) {
    if (collection->StatsAt(n).holds != nullptr) held.push_back(collection);
  }
  if (basis.pending_erasures.empty() && !basis.history_entries.has_value() && held.empty()) {
    return true;
  }
  writer.Begin(SectionKind::kPolicies);
  writer.encoder().U32(static_cast<uint32_t>(basis.pending_erasures.size()));
  for (const LogIndex index : basis.pending_erasures) writer.encoder().U64(index);
  writer.encoder().U8(basis.history_entries.has_value() ? 1 : 0);
  writer.encoder().U64(basis.history_entries.value_or(0));
  writer.encoder().U32(static_cast<uint32_t>(held.size()));
  for (const Collection* collection : held) {
    writer.encoder().Sized(collection->name());
    EncodeHolds(*collection->StatsAt(n).holds, writer.encoder());
    if (!writer.Advance()) return false;
  }
  return writer.End();
}

bool WriteCollection(const Collection& collection, LogIndex n, SectionWriter& writer,
                     Hasher& versions, bool* has_documents) {
  const CollectionStats& stats = collection.StatsAt(n);
  const CollectionConfig& config = collection.config();
  versions.Sized(collection.name()).U64(collection.born()).U64(stats.state_index);
  const bool plain = IsPlain(config);
  writer.Begin(plain ? SectionKind::kCollection : SectionKind::kCollectionWithOptions);
  EncodeHead({collection.name(), config, collection.born(), stats.state_index, stats.record_count},
             writer.encoder());
  *has_documents = false;
  const bool complete = ForEachRecord(collection, n, [&](const RecordVersion& version) {
    EncodeRecord(RecordOf(collection, version), config.erasable, writer.encoder());
    versions.Sized(version.id()).U64(version.born());
    *has_documents |= version.document() != nullptr;
    return writer.Advance();
  });
  return complete && writer.End();
}

bool WriteDocuments(const Collection& collection, LogIndex n, const DocumentReader& read_document,
                    SectionWriter& writer) {
  const bool erasable = collection.config().erasable;
  writer.Begin(erasable ? SectionKind::kSaltedDocuments : SectionKind::kDocuments);
  StoredDocument stored;
  const bool complete = ForEachRecord(collection, n, [&](const RecordVersion& version) {
    const DocumentRef* document = version.document();
    if (document == nullptr) return true;
    if (!read_document(*document, &stored)) return false;
    writer.encoder().U64(document->index).U32(document->ordinal);
    if (erasable) writer.encoder().Digest(stored.salt);
    writer.encoder().Sized(stored.bytes);
    return writer.Advance();
  });
  return complete && writer.End();
}

}  // namespace

void EncodeSnapshotMetadata(const SnapshotManifest& manifest, Encoder& encoder) {
  encoder.U32(kSnapshotFormat).Id(manifest.log_id);
  encoder.U64(manifest.log_index).U64(manifest.state_index).U32(manifest.rules_version);
  encoder.I64(manifest.timestamp_micros);
  encoder.U32(static_cast<uint32_t>(manifest.log_tree.frontier().size()));
  for (const Hash& hash : manifest.log_tree.frontier()) encoder.Digest(hash);
  encoder.Digest(manifest.log_tree.Root()).Digest(manifest.state_root);
  encoder.Digest(manifest.versions_hash).Digest(manifest.requests_hash);
}

Hash SnapshotHash(const SnapshotManifest& manifest) {
  Encoder encoder;
  EncodeSnapshotMetadata(manifest, encoder);
  return Hasher(Label::kSnapshot).Bytes(encoder.bytes()).Finish();
}

bool WriteSnapshot(const StateMachine& state, const SnapshotBasis& basis, const SnapshotSink& sink,
                   const DocumentReader& read_document, SnapshotManifest* manifest) {
  static_cast<SnapshotPoint&>(*manifest) = basis;
  manifest->sections.clear();

  SectionWriter writer(sink, &manifest->sections);
  if (!writer.Plain(Encoder().Raw(kSnapshotMagic).U32(kSnapshotFormat).U32(0).bytes())) {
    return false;
  }
  if (!WriteRequests(basis.requests, writer)) return false;
  manifest->requests_hash = manifest->sections.back().digest;
  if (!WritePolicies(state, basis, writer)) return false;

  const LogIndex n = basis.log_index;
  Hasher versions(Label::kVersions);
  std::vector<const Collection*> with_documents;
  for (const Collection* collection = state.SeekCollection({}, n); collection != nullptr;
       collection = state.SeekCollection(collection->name() + '\0', n)) {
    bool has_documents;
    if (!WriteCollection(*collection, n, writer, versions, &has_documents)) return false;
    if (has_documents) with_documents.push_back(collection);
  }
  manifest->versions_hash = versions.Finish();
  for (const Collection* collection : with_documents) {
    if (!WriteDocuments(*collection, n, read_document, writer)) return false;
  }
  return WriteManifest(*manifest, writer);
}

}  // namespace stele::index
