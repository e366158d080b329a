// Destroying content in snapshots: the file is written anew, with commitments in its place.
#include <set>
#include <utility>

#include "index/snapshot.h"
#include "index/snapshot_format.h"
#include "index/snapshot_sections.h"

namespace stele::index {
namespace {

using Place = std::pair<LogIndex, uint32_t>;

bool ScrubCollection(std::string_view bytes, const ErasedKeys& keys, SectionWriter& writer,
                     std::set<Place>* places, ScrubResult* result) {
  Decoder decoder(bytes);
  const std::optional<CollectionHead> head = DecodeHead(decoder, true);
  if (!head.has_value()) return false;
  EncodeHead(*head, writer.encoder());
  for (uint64_t i = 0; i < head->record_count; ++i) {
    StoredRecord record = DecodeRecord(decoder, head->config);
    if (!decoder.ok()) return false;
    const auto key = keys.find(RecordKey(head->name, record.id));
    if (head->config.erasable && !record.erased && key != keys.end() &&
        record.version <= key->second) {
      ++result->records;
      if (record.document.has_value()) {
        result->documents.push_back(*record.document);
        places->emplace(record.document->index, record.document->ordinal);
      }
      const DocumentRef* document = record.document.has_value() ? &*record.document : nullptr;
      record.commitment = RecordCommitment(
          {record.id, record.vector, record.attributes, PartOf(document), &record.salt});
      record.erased = true;
    }
    EncodeRecord(record, head->config.erasable, writer.encoder());
    if (!writer.Advance()) return false;
  }
  return decoder.Done();
}

bool ScrubDocuments(std::string_view bytes, const std::set<Place>& places, SectionWriter& writer) {
  Decoder decoder(bytes);
  while (decoder.remaining() > 0) {
    const LogIndex index = decoder.U64();
    const uint32_t ordinal = decoder.U32();
    const Salt salt = decoder.Digest();
    const std::string_view document = decoder.Sized(kDocumentBytesMax);
    if (!decoder.ok()) return false;
    if (places.contains({index, ordinal})) continue;
    writer.encoder().U64(index).U32(ordinal).Digest(salt).Sized(document);
    if (!writer.Advance()) return false;
  }
  return true;
}

// A section as it is, in pieces.
bool Copy(std::string_view bytes, SectionWriter& writer) {
  constexpr size_t kPiece = size_t{1} << 18;
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    writer.encoder().Raw(bytes.substr(at, kPiece));
    if (!writer.Advance()) return false;
  }
  return true;
}

}  // namespace

bool ScrubSnapshot(std::string_view file, const SnapshotManifest& manifest, const ErasedKeys& keys,
                   const SnapshotSink& sink, ScrubResult* result) {
  *result = {};
  SnapshotManifest scrubbed = manifest;
  scrubbed.sections.clear();
  SectionWriter writer(sink, &scrubbed.sections);
  if (!writer.Plain(Encoder().Raw(kSnapshotMagic).U32(kSnapshotFormat).U32(0).bytes())) {
    return false;
  }
  std::set<Place> places;
  for (const SnapshotSection& section : manifest.sections) {
    const std::string_view bytes = BytesOf(file, section);
    writer.Begin(section.kind);
    bool good;
    switch (section.kind) {
      case SectionKind::kCollectionWithOptions:
        good = ScrubCollection(bytes, keys, writer, &places, result);
        break;
      case SectionKind::kSaltedDocuments:
        good = ScrubDocuments(bytes, places, writer);
        break;
      default:
        good = Copy(bytes, writer);
        break;
    }
    if (!good || !writer.End()) return false;
  }
  return WriteManifest(scrubbed, writer);
}

}  // namespace stele::index
