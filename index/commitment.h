// Commitments: what is hashed of records, collections and the state, and the keys under which they
// stand in the trees. docs/format.md, "Record commitment" and "State root".
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// FROZEN: on disk. Whether searches of a collection leave receipts without being asked for.
enum class ReceiptPolicy : uint8_t { kOff = 0, kSigned = 1, kLogged = 2 };

struct CollectionConfig {
  uint32_t dimension = 0;
  Metric metric = Metric::kL2;
  std::string description;
  ReceiptPolicy receipts = ReceiptPolicy::kOff;
  // Its content is salted, so that it can be destroyed and everything proved of it stays provable.
  bool erasable = false;
};

// Whether no option differs from its default: such a collection is encoded and hashed without them.
inline bool IsPlain(const CollectionConfig& config) {
  return config.receipts == ReceiptPolicy::kOff && !config.erasable;
}

// 32 bytes that nobody can guess. Content of erasable collections is hashed together with one, so
// that the hash says nothing about the content once both are gone.
using Salt = Hash;

// FROZEN: hashed.
enum class PartKind : uint8_t { kId = 1, kVector = 2, kAttribute = 3, kDocument = 4 };

// The salt of one part, one-way from that of the record: one part can be shown without the others.
// `name` is that of an attribute, else empty.
Salt PartSalt(const Salt& salt, PartKind kind, std::string_view name = {});

// Commitments to the parts of a record, and the root over them.
struct RecordParts {
  std::string_view id;
  std::span<const int32_t> vector;
  std::string_view attributes;  // encoded
  // Part hash of the document; nothing where there is none.
  std::optional<Hash> document;
  // In an erasable collection: the record's salt, or else those of its parts: id, vector, each
  // attribute.
  const Salt* salt = nullptr;
  std::span<const Salt> part_salts = {};
};
// `salt`: the part's own; null where the collection is not erasable.
Hash DocumentPart(std::string_view document, const Salt* salt = nullptr);
Hash RecordCommitment(const RecordParts& parts);
// The salts of the parts that are shown with a record: id, vector, each attribute.
std::vector<Salt> PartSalts(const Salt& salt, std::string_view attributes);

Hash RecordKey(std::string_view collection, std::string_view id);
Hash CollectionKey(std::string_view collection);
// The collection's value in the tree of collections, and the root of the state over that tree.
// `holds`: HoldsHash, where the collection has some.
Hash CollectionValue(const CollectionConfig& config, const Hash& records_root,
                     const std::optional<Hash>& holds = std::nullopt);
// `history_entries`: where the log sets it.
Hash StateRoot(uint32_t rules_version, const Hash& collections_root,
               std::optional<uint64_t> history_entries = std::nullopt);

}  // namespace stele::index
