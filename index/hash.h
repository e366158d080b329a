// SHA-256 with a domain label per kind of node, so that bytes hashed for one purpose can never pass
// for another. Labels are one leading byte; 0x00 and 0x01 are those of RFC 6962. Not thread-safe
// per object; objects are independent.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "index/types.h"

namespace stele::index {

// FROZEN: hashed. docs/format.md, "Domain labels".
enum class Label : uint8_t {
  kLogLeaf = 0x00,          // RFC 6962 leaf: a CommitRecord
  kLogNode = 0x01,          // RFC 6962 node
  kPart = 0x10,             // one part of a record: id, vector, attribute, document
  kPartNode = 0x11,         // Merkle node over parts; its root is the record commitment
  kItem = 0x12,             // one item of a command
  kItemNode = 0x13,         // Merkle node over items
  kCommand = 0x14,          // header and items root: the command commitment
  kRequestKey = 0x15,       // (actor, request id), truncated to 16 bytes
  kRequestBody = 0x16,      // what a retried request must repeat
  kSaltedContent = 0x17,    // (salt, content) of a salted operation that is no upsert or insert
  kPartSalt = 0x18,         // (salt, kind and name of a part): the part's own salt
  kSaltedPart = 0x19,       // as 0x10, with the part's salt
  kRecordKey = 0x20,        // (collection name, record id): key in the records tree
  kTreeLeaf = 0x21,         // (key, value hash) in a sparse tree
  kTreeNode = 0x22,         // node of a sparse tree
  kCollectionKey = 0x23,    // collection name: key in the collections tree
  kCollectionValue = 0x24,  // (config, records root): value in the collections tree
  kStateRoot = 0x25,        // (rules version, collections root)
  kOptionsValue = 0x26,     // as 0x24, of a collection with options
  kHeldValue = 0x27,        // (collection value, holds): value of a collection with holds
  kPolicyRoot = 0x28,       // as 0x25, where the log sets how far history reaches
  kHolds = 0x29,            // the holds of a collection
  kEffect = 0x30,           // one effect
  kEffectNode = 0x31,       // Merkle node over effects
  kSnapshot = 0x40,         // canonical snapshot metadata: the snapshot hash
  kVersions = 0x41,         // names, ids and versions: a snapshot's versions hash
  kReceipt = 0x50,          // text of a search receipt: what the log holds of it
};

class Hasher {
 public:
  // Starts a digest with `label` as its first byte.
  explicit Hasher(Label label);
  // Starts a plain SHA-256 digest, for whole sections of files.
  Hasher();

  Hasher& Bytes(std::string_view bytes);
  Hasher& Digest(const Hash& hash) { return Bytes(AsBytes(hash)); }
  Hasher& U8(uint8_t value);
  Hasher& U32(uint32_t value);  // little-endian
  Hasher& U64(uint64_t value);  // little-endian
  // u32 length, then the bytes.
  Hasher& Sized(std::string_view bytes);
  // Ends the digest; the object must not be used again.
  Hash Finish();

 private:
  alignas(8) unsigned char context_[112];
};

// SHA-256(label, left, right).
Hash HashPair(Label label, const Hash& left, const Hash& right);

// Root of the RFC 6962 tree shape (split at the largest power of two below n) over `leaves`, whose
// inner nodes carry `node_label`. Of nothing: 32 zero bytes. Of one leaf: that leaf.
Hash MerkleRoot(Label node_label, std::span<const Hash> leaves);

}  // namespace stele::index
