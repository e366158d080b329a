#include "index/commitment.h"

#include <vector>

#include "index/codec.h"
#include "index/value.h"

namespace stele::index {
namespace {

Hash PartHash(PartKind kind, std::string_view bytes, const Salt* salt) {
  Hasher hasher(salt == nullptr ? Label::kPart : Label::kSaltedPart);
  hasher.U8(static_cast<uint8_t>(kind));
  if (salt != nullptr) hasher.Digest(*salt);
  return hasher.Bytes(bytes).Finish();
}

}  // namespace

Salt PartSalt(const Salt& salt, PartKind kind, std::string_view name) {
  return Hasher(Label::kPartSalt).Digest(salt).U8(static_cast<uint8_t>(kind)).Bytes(name).Finish();
}

Hash DocumentPart(std::string_view document, const Salt* salt) {
  return PartHash(PartKind::kDocument, document, salt);
}

std::vector<Salt> PartSalts(const Salt& salt, std::string_view attributes) {
  std::vector<Salt> salts = {PartSalt(salt, PartKind::kId), PartSalt(salt, PartKind::kVector)};
  AttributesView(attributes)
      .ForEach([&](std::string_view name, std::string_view, std::string_view) {
        salts.push_back(PartSalt(salt, PartKind::kAttribute, name));
      });
  return salts;
}

Hash RecordCommitment(const RecordParts& parts) {
  std::vector<Salt> derived;
  std::span<const Salt> salts = parts.part_salts;
  if (parts.salt != nullptr) salts = derived = PartSalts(*parts.salt, parts.attributes);
  std::vector<Hash> leaves;
  const auto add = [&](PartKind kind, std::string_view bytes) {
    leaves.push_back(PartHash(kind, bytes, salts.empty() ? nullptr : &salts[leaves.size()]));
  };
  add(PartKind::kId, parts.id);
  add(PartKind::kVector, Encoder().Components(parts.vector).bytes());
  AttributesView(parts.attributes)
      .ForEach([&](std::string_view, std::string_view, std::string_view pair) {
        add(PartKind::kAttribute, pair);
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

Hash CollectionValue(const CollectionConfig& config, const Hash& records_root,
                     const std::optional<Hash>& holds) {
  const bool plain = IsPlain(config);
  Hasher hasher(plain ? Label::kCollectionValue : Label::kOptionsValue);
  hasher.U32(config.dimension).U8(static_cast<uint8_t>(config.metric)).Sized(config.description);
  if (!plain) hasher.U8(static_cast<uint8_t>(config.receipts)).U8(config.erasable ? 1 : 0);
  const Hash value = hasher.Digest(records_root).Finish();
  return holds.has_value() ? HashPair(Label::kHeldValue, value, *holds) : value;
}

Hash StateRoot(uint32_t rules_version, const Hash& collections_root,
               std::optional<uint64_t> history_entries) {
  Hasher hasher(history_entries.has_value() ? Label::kPolicyRoot : Label::kStateRoot);
  hasher.U32(rules_version).Digest(collections_root);
  if (history_entries.has_value()) hasher.U64(*history_entries);
  return hasher.Finish();
}

}  // namespace stele::index
