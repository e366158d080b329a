// Proofs about a sparse tree (sparse_tree.h): that a key is in it with a value, or is not in it.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// Bit 0 is the most significant one of the first byte.
inline unsigned SparseKeyBit(const Hash& key, unsigned depth) {
  return (key[depth / 8] >> (7 - depth % 8)) & 1u;
}
Hash SparseLeaf(const Hash& key, const Hash& value);

struct SparseProof {
  // What is found where the key's bits lead to: the key itself, nothing, or a leaf of another key,
  // whose place the key would have to share.
  enum class End : uint8_t { kKey, kEmpty, kOtherKey };
  End end = End::kEmpty;
  Hash other_key{};    // kOtherKey
  Hash other_value{};  // kOtherKey
  // The hashes beside the path, from the top downwards; zero for an empty subtree.
  std::vector<Hash> siblings;
  bool operator==(const SparseProof&) const = default;
};

// The root that the tree has if the proof is right: about `key` with `value`, or, without one,
// about its absence. Nothing if the proof is of neither kind.
std::optional<Hash> SparseProofRoot(const Hash& key, const std::optional<Hash>& value,
                                    const SparseProof& proof);

}  // namespace stele::index
