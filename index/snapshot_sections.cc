#include "index/snapshot_sections.h"

#include "index/arithmetic.h"
#include "index/normalized.h"
#include "index/snapshot_format.h"
#include "index/value.h"

namespace stele::index {

bool WriteManifest(const SnapshotManifest& manifest, SectionWriter& writer) {
  Encoder encoder;
  EncodeSnapshotMetadata(manifest, encoder);
  encoder.U32(static_cast<uint32_t>(manifest.sections.size()));
  for (const SnapshotSection& section : manifest.sections) {
    encoder.U8(static_cast<uint8_t>(section.kind)).U64(section.offset).U64(section.size_bytes);
    encoder.Digest(section.digest);
  }
  const uint64_t offset = writer.offset();
  Encoder trailer;
  trailer.U64(offset).U64(encoder.size());
  trailer.Digest(Hasher().Bytes(encoder.bytes()).Finish()).Raw(kSnapshotEnd);
  return writer.Plain(encoder.bytes()) && writer.Plain(trailer.bytes());
}

void EncodeHead(const CollectionHead& head, Encoder& encoder) {
  const CollectionConfig& config = head.config;
  encoder.Sized(head.name).U32(config.dimension).U8(static_cast<uint8_t>(config.metric));
  encoder.Sized(config.description);
  if (!IsPlain(config)) {
    encoder.U8(static_cast<uint8_t>(config.receipts)).U8(config.erasable ? 1 : 0);
  }
  encoder.U64(head.born).U64(head.state_index).U64(head.record_count);
}

std::optional<CollectionHead> DecodeHead(Decoder& decoder, bool with_options) {
  CollectionHead head;
  head.name = std::string(decoder.Sized(kCollectionNameBytesMax));
  CollectionConfig& config = head.config;
  config.dimension = decoder.U32();
  config.metric = static_cast<Metric>(decoder.U8());
  config.description = decoder.Sized(kDescriptionBytesMax);
  if (with_options) {
    config.receipts = static_cast<ReceiptPolicy>(decoder.U8());
    config.erasable = decoder.Bool();
  }
  head.born = decoder.U64();
  head.state_index = decoder.U64();
  head.record_count = decoder.U64();
  if (!decoder.ok() || head.name.empty() || !IsUtf8(head.name) || config.dimension == 0 ||
      config.dimension > kDimensionMax || config.metric < Metric::kL2 ||
      config.metric > Metric::kCosine || config.receipts > ReceiptPolicy::kLogged ||
      IsPlain(config) == with_options) {
    return std::nullopt;
  }
  return head;
}

void EncodeRecord(const StoredRecord& record, bool erasable, Encoder& encoder) {
  encoder.Sized(record.id).U64(record.version);
  if (erasable) {
    encoder.U8(record.erased ? 1 : 0);
    encoder.Digest(record.erased ? record.commitment : record.salt);
  }
  if (record.erased) return;
  encoder.Components(record.vector).Sized(record.attributes);
  encoder.U8(record.document.has_value() ? 1 : 0);
  if (!record.document.has_value()) return;
  encoder.U64(record.document->index).U32(record.document->ordinal);
  encoder.U32(record.document->size_bytes).Digest(record.document->part);
}

StoredRecord DecodeRecord(Decoder& decoder, const CollectionConfig& config) {
  StoredRecord record;
  record.id = decoder.Sized(kIdBytesMax);
  record.version = decoder.U64();
  if (record.id.empty() || !IsUtf8(record.id)) decoder.Fail();
  if (config.erasable) {
    record.erased = decoder.Bool();
    (record.erased ? record.commitment : record.salt) = decoder.Digest();
  }
  if (record.erased) return record;
  record.vector = decoder.Components(config.dimension);
  record.attributes = decoder.Sized(kAttributesBytesMax);
  if (decoder.Bool()) {
    DocumentRef& document = record.document.emplace();
    document.index = decoder.U64();
    document.ordinal = decoder.U32();
    document.size_bytes = decoder.U32();
    document.part = decoder.Digest();
    if (document.size_bytes > kDocumentBytesMax) decoder.Fail();
  }
  AttributeMap checked;
  if (!decoder.ok() || !CheckAdmitted(record.vector).ok() ||
      (config.metric == Metric::kCosine && !IsNormalized(record.vector)) ||
      !DecodeAttributes(record.attributes, &checked)) {
    decoder.Fail();
  }
  return record;
}

}  // namespace stele::index
