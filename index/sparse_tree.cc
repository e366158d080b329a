#include "index/sparse_tree.h"

#include "index/check.h"

namespace stele::index {

template <typename T>
uint32_t SparseTree::Arena<T>::Allocate() {
  if (!free_.empty()) {
    const uint32_t place = free_.back();
    free_.pop_back();
    return place;
  }
  Check(next_ < kLeafBit);
  if (next_ / kChunk >= chunks_.size()) chunks_.push_back(std::make_unique<T[]>(kChunk));
  return next_++;
}

SparseTree::Ref SparseTree::NewLeaf(const Hash& key, const Hash& value) {
  const uint32_t place = leaves_.Allocate();
  leaves_[place] = {key, value};
  return place | kLeafBit;
}

SparseTree::Ref SparseTree::NewNode() {
  const uint32_t place = nodes_.Allocate();
  nodes_[place] = {kZeroHash, {kEmpty, kEmpty}};
  return place;
}

// Nodes from `depth` down to the first bit in which the two keys differ.
SparseTree::Ref SparseTree::Split(Ref old_leaf, Ref new_leaf, unsigned depth) {
  const Ref top = NewNode();
  Ref node = top;
  const Hash& old_key = leaf(old_leaf).key;
  const Hash& new_key = leaf(new_leaf).key;
  for (;; ++depth) {
    const unsigned old_bit = Bit(old_key, depth);
    if (old_bit != Bit(new_key, depth)) {
      nodes_[node].children[old_bit] = old_leaf;
      nodes_[node].children[1 - old_bit] = new_leaf;
      return top;
    }
    const Ref below = NewNode();
    nodes_[node].children[old_bit] = below;
    node = below;
  }
}

void SparseTree::Put(const Hash& key, const Hash& value) {
  Ref* place = &root_;
  unsigned depth = 0;
  while (*place != kEmpty && !IsLeaf(*place)) {
    Node& node = nodes_[*place];
    node.hash = kZeroHash;
    place = &node.children[Bit(key, depth++)];
  }
  const Ref fresh = NewLeaf(key, value);
  if (*place == kEmpty) {
    *place = fresh;
  } else if (leaf(*place).key == key) {
    leaves_.Free(*place & ~kLeafBit);
    *place = fresh;
  } else {
    *place = Split(*place, fresh, depth);
  }
}

void SparseTree::Remove(const Hash& key) {
  Ref* path[256];
  Ref* place = &root_;
  unsigned depth = 0;
  while (!IsLeaf(*place)) {
    Check(*place != kEmpty);
    Node& node = nodes_[*place];
    node.hash = kZeroHash;
    path[depth] = place;
    place = &node.children[Bit(key, depth++)];
  }
  Check(leaf(*place).key == key);
  leaves_.Free(*place & ~kLeafBit);
  *place = kEmpty;
  // A node left with a single leaf, or with nothing, gives way to it.
  while (depth > 0) {
    Ref* above = path[--depth];
    const Node& node = nodes_[*above];
    const Ref left = node.children[0];
    const Ref right = node.children[1];
    if (left != kEmpty && right != kEmpty) return;
    const Ref only = left != kEmpty ? left : right;
    if (only != kEmpty && !IsLeaf(only)) return;
    nodes_.Free(*above);
    *above = only;
  }
}

Hash SparseTree::Rehash(Ref ref) {
  if (ref == kEmpty) return kZeroHash;
  if (IsLeaf(ref)) {
    ++hash_count_;
    return SparseLeaf(leaf(ref).key, leaf(ref).value);
  }
  Node& node = nodes_[ref];
  if (node.hash == kZeroHash) {
    node.hash = HashPair(Label::kTreeNode, Rehash(node.children[0]), Rehash(node.children[1]));
    ++hash_count_;
  }
  return node.hash;
}

Hash SparseTree::Root() { return Rehash(root_); }

Hash SparseTree::HashOf(Ref ref) const {
  if (ref == kEmpty) return kZeroHash;
  if (IsLeaf(ref)) return SparseLeaf(leaf(ref).key, leaf(ref).value);
  const Hash& hash = nodes_[ref].hash;
  Check(hash != kZeroHash);
  return hash;
}

SparseProof SparseTree::Prove(const Hash& key) const {
  SparseProof proof;
  Ref ref = root_;
  for (unsigned depth = 0; ref != kEmpty && !IsLeaf(ref); ++depth) {
    const Node& node = nodes_[ref];
    const unsigned bit = Bit(key, depth);
    proof.siblings.push_back(HashOf(node.children[1 - bit]));
    ref = node.children[bit];
  }
  if (ref == kEmpty) {
    proof.end = SparseProof::End::kEmpty;
  } else if (leaf(ref).key == key) {
    proof.end = SparseProof::End::kKey;
  } else {
    proof.end = SparseProof::End::kOtherKey;
    proof.other_key = leaf(ref).key;
    proof.other_value = leaf(ref).value;
  }
  return proof;
}

std::vector<TreeNode> SparseTree::Read(const Hash& prefix, uint32_t bits, uint32_t levels) const {
  std::vector<TreeNode> nodes;
  Hash path{};
  Ref ref = root_;
  uint32_t depth = 0;
  for (; depth < bits && ref != kEmpty && !IsLeaf(ref); ++depth) {
    const unsigned bit = Bit(prefix, depth);
    if (bit != 0) path[depth / 8] = static_cast<uint8_t>(path[depth / 8] | 0x80u >> depth % 8);
    ref = nodes_[ref].children[bit];
  }
  // A leaf stands for its key alone, wherever it is.
  for (; depth < bits && ref != kEmpty; ++depth) {
    if (Bit(leaf(ref).key, depth) != Bit(prefix, depth)) return nodes;
  }
  ReadBelow(ref, path, depth, bits + levels, &nodes);
  return nodes;
}

void SparseTree::ReadBelow(Ref ref, const Hash& path, uint32_t depth, uint32_t depth_max,
                           std::vector<TreeNode>* nodes) const {
  if (ref == kEmpty) return;
  if (IsLeaf(ref)) {
    nodes->push_back({leaf(ref).key, depth, true, leaf(ref).value});
  } else if (depth >= depth_max) {
    nodes->push_back({path, depth, false, HashOf(ref)});
  } else {
    const Node& node = nodes_[ref];
    ReadBelow(node.children[0], path, depth + 1, depth_max, nodes);
    Hash right = path;
    right[depth / 8] = static_cast<uint8_t>(right[depth / 8] | 0x80u >> depth % 8);
    ReadBelow(node.children[1], right, depth + 1, depth_max, nodes);
  }
}

size_t SparseTree::memory_bytes() const { return leaves_.memory_bytes() + nodes_.memory_bytes(); }

}  // namespace stele::index
