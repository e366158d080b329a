#include "index/log_proof.h"

#include <algorithm>
#include <bit>

#include "index/check.h"

namespace stele::index {
namespace {

// The largest power of two below n. REQUIRES: n > 1.
uint64_t SplitOf(uint64_t n) { return std::bit_floor(n - 1); }

// Root over the leaves begin .. end, where `begin` is a multiple of the smallest power of two that
// is not below end - begin: complete subtrees of falling size, joined from the smallest on.
std::optional<Hash> RangeRoot(uint64_t begin, uint64_t end, const LogNodeReader& node_at) {
  std::optional<Hash> root;
  while (end > begin) {
    const unsigned height = static_cast<unsigned>(std::countr_zero(end - begin));
    end -= uint64_t{1} << height;
    const std::optional<Hash> node = node_at(height, end >> height);
    if (!node.has_value()) return std::nullopt;
    root = root.has_value() ? HashPair(Label::kLogNode, *node, *root) : *node;
  }
  return root;
}

}  // namespace

std::optional<std::vector<Hash>> MakeInclusionProof(uint64_t index, uint64_t size,
                                                    const LogNodeReader& node_at) {
  Check(index < size);
  std::vector<Hash> proof;
  // The subtree begin .. end, from the whole tree down to the leaf; siblings on the way.
  uint64_t begin = 0;
  uint64_t end = size;
  while (end - begin > 1) {
    const uint64_t middle = begin + SplitOf(end - begin);
    const bool left = index < middle;
    const std::optional<Hash> sibling =
        left ? RangeRoot(middle, end, node_at) : RangeRoot(begin, middle, node_at);
    if (!sibling.has_value()) return std::nullopt;
    proof.push_back(*sibling);
    (left ? end : begin) = middle;
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

std::optional<std::vector<Hash>> MakeConsistencyProof(uint64_t old_size, uint64_t new_size,
                                                      const LogNodeReader& node_at) {
  Check(old_size <= new_size);
  std::vector<Hash> proof;
  if (old_size == 0 || old_size == new_size) return proof;
  uint64_t begin = 0;
  uint64_t end = new_size;
  while (end != old_size) {
    const uint64_t middle = begin + SplitOf(end - begin);
    const bool left = old_size <= middle;
    const std::optional<Hash> sibling =
        left ? RangeRoot(middle, end, node_at) : RangeRoot(begin, middle, node_at);
    if (!sibling.has_value()) return std::nullopt;
    proof.push_back(*sibling);
    (left ? end : begin) = middle;
  }
  // What is left is the end of the old tree. All of it, and the verifier has its root already.
  if (begin != 0) {
    const std::optional<Hash> node = RangeRoot(begin, end, node_at);
    if (!node.has_value()) return std::nullopt;
    proof.push_back(*node);
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

std::optional<Hash> LogRootAt(uint64_t size, const LogNodeReader& node_at) {
  if (size == 0) return Hasher().Finish();
  return RangeRoot(0, size, node_at);
}

bool VerifyInclusion(uint64_t index, uint64_t size, const Hash& leaf, std::span<const Hash> proof,
                     const Hash& root) {
  if (index >= size) return false;
  uint64_t node = index;
  uint64_t last = size - 1;
  Hash hash = leaf;
  for (const Hash& sibling : proof) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      hash = HashPair(Label::kLogNode, sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = HashPair(Label::kLogNode, hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

bool VerifyConsistency(uint64_t old_size, uint64_t new_size, std::span<const Hash> proof,
                       const Hash& old_root, const Hash& new_root) {
  if (old_size > new_size) return false;
  if (old_size == 0) return proof.empty() && old_root == Hasher().Finish();
  if (old_size == new_size) return proof.empty() && old_root == new_root;
  if (proof.empty()) return false;
  const bool whole = std::has_single_bit(old_size);
  const Hash first = whole ? old_root : proof.front();
  if (!whole) proof = proof.subspan(1);
  uint64_t node = old_size - 1;
  uint64_t last = new_size - 1;
  while ((node & 1) != 0) {
    node >>= 1;
    last >>= 1;
  }
  Hash old_hash = first;
  Hash new_hash = first;
  for (const Hash& sibling : proof) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      old_hash = HashPair(Label::kLogNode, sibling, old_hash);
      new_hash = HashPair(Label::kLogNode, sibling, new_hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      new_hash = HashPair(Label::kLogNode, new_hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && old_hash == old_root && new_hash == new_root;
}

}  // namespace stele::index
