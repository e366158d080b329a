#include "index/snapshot.h"
#include "index/snapshot_format.h"

namespace stele::index {
namespace {

// Collects bytes into pieces for the sink, and the digest and place of each section.
class SectionWriter {
 public:
  SectionWriter(const SnapshotSink& sink, std::vector<SnapshotSection>* sections)
      : sink_(sink), sections_(sections) {}

  void Begin(SectionKind kind) {
    digest_ = Hasher();
    sections_->push_back({kind, offset_, 0, {}});
  }
  Encoder& encoder() { return encoder_; }
  // Passes on what the encoder holds, if it is worth it.
  bool Advance() { return encoder_.size() < kPiece || Flush(); }
  bool End() {
    if (!Flush()) return false;
    SnapshotSection& section = sections_->back();
    section.size_bytes = offset_ - section.offset;
    section.digest = digest_.Finish();
    return true;
  }
  // Bytes that belong to no section.
  bool Plain(std::string_view bytes) {
    offset_ += bytes.size();
    return sink_(bytes);
  }
  uint64_t offset() const { return offset_; }

 private:
  static constexpr size_t kPiece = 1 << 18;

  bool Flush() {
    const std::string bytes = encoder_.Take();
    encoder_ = Encoder();
    digest_.Bytes(bytes);
    return Plain(bytes);
  }

  const SnapshotSink& sink_;
  std::vector<SnapshotSection>* sections_;
  uint64_t offset_ = 0;
  Encoder encoder_;
  Hasher digest_;
};

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

void EncodeRecord(const Collection& collection, const RecordVersion& version, Encoder& encoder) {
  encoder.Sized(version.id()).U64(version.born());
  encoder.Components(collection.vectors().Row(version.slot())).Sized(version.attributes());
  const DocumentRef* document = version.document();
  encoder.U8(document != nullptr ? 1 : 0);
  if (document == nullptr) return;
  encoder.U64(document->index).U32(document->ordinal).U32(document->size_bytes);
  encoder.Digest(document->part);
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

bool WriteCollection(const Collection& collection, LogIndex n, SectionWriter& writer,
                     Hasher& versions, bool* has_documents) {
  const CollectionStats& stats = collection.StatsAt(n);
  const CollectionConfig& config = collection.config();
  versions.Sized(collection.name()).U64(collection.born()).U64(stats.state_index);
  const bool plain = IsPlain(config);
  writer.Begin(plain ? SectionKind::kCollection : SectionKind::kCollectionWithOptions);
  writer.encoder().Sized(collection.name()).U32(config.dimension);
  writer.encoder().U8(static_cast<uint8_t>(config.metric)).Sized(config.description);
  if (!plain) {
    writer.encoder().U8(static_cast<uint8_t>(config.receipts)).U8(config.erasable ? 1 : 0);
  }
  writer.encoder().U64(collection.born()).U64(stats.state_index).U64(stats.record_count);
  *has_documents = false;
  const bool complete = ForEachRecord(collection, n, [&](const RecordVersion& version) {
    EncodeRecord(collection, version, writer.encoder());
    versions.Sized(version.id()).U64(version.born());
    *has_documents |= version.document() != nullptr;
    return writer.Advance();
  });
  return complete && writer.End();
}

bool WriteDocuments(const Collection& collection, LogIndex n, const DocumentReader& read_document,
                    SectionWriter& writer) {
  writer.Begin(SectionKind::kDocuments);
  std::string bytes;
  const bool complete = ForEachRecord(collection, n, [&](const RecordVersion& version) {
    const DocumentRef* document = version.document();
    if (document == nullptr) return true;
    if (!read_document(*document, &bytes)) return false;
    writer.encoder().U64(document->index).U32(document->ordinal).Sized(bytes);
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

  Encoder encoder;
  EncodeSnapshotMetadata(*manifest, encoder);
  encoder.U32(static_cast<uint32_t>(manifest->sections.size()));
  for (const SnapshotSection& section : manifest->sections) {
    encoder.U8(static_cast<uint8_t>(section.kind)).U64(section.offset).U64(section.size_bytes);
    encoder.Digest(section.digest);
  }
  const uint64_t offset = writer.offset();
  Encoder trailer;
  trailer.U64(offset).U64(encoder.size());
  trailer.Digest(Hasher().Bytes(encoder.bytes()).Finish()).Raw(kSnapshotEnd);
  return writer.Plain(encoder.bytes()) && writer.Plain(trailer.bytes());
}

}  // namespace stele::index
