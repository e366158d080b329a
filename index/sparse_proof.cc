#include "index/sparse_proof.h"

namespace stele::index {

Hash SparseLeaf(const Hash& key, const Hash& value) {
  return Hasher(Label::kTreeLeaf).Digest(key).Digest(value).Finish();
}

std::optional<Hash> SparseProofRoot(const Hash& key, const std::optional<Hash>& value,
                                    const SparseProof& proof) {
  const size_t depth = proof.siblings.size();
  if (depth > 8 * sizeof(Hash)) return std::nullopt;
  if ((proof.end == SparseProof::End::kKey) != value.has_value()) return std::nullopt;
  Hash hash = kZeroHash;
  if (proof.end == SparseProof::End::kKey) {
    hash = SparseLeaf(key, *value);
  } else if (proof.end == SparseProof::End::kOtherKey) {
    if (proof.other_key == key) return std::nullopt;
    for (unsigned i = 0; i < depth; ++i) {
      if (SparseKeyBit(proof.other_key, i) != SparseKeyBit(key, i)) return std::nullopt;
    }
    hash = SparseLeaf(proof.other_key, proof.other_value);
  }
  for (size_t i = depth; i-- > 0;) {
    const Hash& sibling = proof.siblings[i];
    const bool right = SparseKeyBit(key, static_cast<unsigned>(i)) != 0;
    hash = right ? HashPair(Label::kTreeNode, sibling, hash)
                 : HashPair(Label::kTreeNode, hash, sibling);
  }
  return hash;
}

}  // namespace stele::index
