#include "index/commitment.h"

#include <vector>

#include "index/codec.h"
#include "index/value.h"

namespace stele::index {
namespace {

// FROZEN: hashed.
enum class PartKind : uint8_t { kId = 1, kVector = 2, kAttribute = 3, kDocument = 4 };

Hash PartHash(PartKind kind, std::string_view bytes) {
  return Hasher(Label::kPart).U8(static_cast<uint8_t>(kind)).Bytes(bytes).Finish();
}

}  // namespace

Hash DocumentPart(std::string_view document) { return PartHash(PartKind::kDocument, document); }

Hash RecordCommitment(const RecordParts& parts) {
  std::vector<Hash> leaves;
  leaves.push_back(PartHash(PartKind::kId, parts.id));
  Encoder vector;
  vector.Components(parts.vector);
  leaves.push_back(PartHash(PartKind::kVector, vector.bytes()));
  AttributesView(parts.attributes)
      .ForEach([&](std::string_view, std::string_view, std::string_view pair) {
        leaves.push_back(PartHash(PartKind::kAttribute, pair));
      });
  if (parts.document.has_value()) leaves.push_back(*parts.document);
  return MerkleRoot(Label::kPartNode, leaves);
}

Hash RecordKey(std::string_view collection, std::string_view id) {
  return Hasher(Label::kRecordKey).Sized(collection).Bytes(id).Finish();
}

Hash CollectionKey(std::string_view collection) {
  return Hasher(Label::kCollectionKey).Bytes(collection).Finish();
}

Hash CollectionValue(const CollectionConfig& config, const Hash& records_root) {
  const bool plain = IsPlain(config);
  Hasher hasher(plain ? Label::kCollectionValue : Label::kOptionsValue);
  hasher.U32(config.dimension).U8(static_cast<uint8_t>(config.metric)).Sized(config.description);
  if (!plain) hasher.U8(static_cast<uint8_t>(config.receipts)).U8(config.erasable ? 1 : 0);
  return hasher.Digest(records_root).Finish();
}

Hash StateRoot(uint32_t rules_version, const Hash& collections_root) {
  return Hasher(Label::kStateRoot).U32(rules_version).Digest(collections_root).Finish();
}

}  // namespace stele::index
