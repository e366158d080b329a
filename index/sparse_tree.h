// A compact sparse Merkle tree: a map from 32-byte keys to value hashes whose root is a function of
// its content alone, whatever the order of changes. Keys are digests, so their bits are uniform.
//
// Shape: the empty tree hashes to 32 zero bytes; a subtree that holds one key is that key's leaf; a
// larger one is a node over the keys whose next bit is 0 and 1. Leaf = H(kTreeLeaf, key, value),
// node = H(kTreeNode, left, right). A path has about log2(n) nodes; per key 64 B of leaf and 1.44
// nodes of 40 B.
//
// Changes only mark the path; Root() rehashes what was marked, once for any number of changes.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "index/hash.h"
#include "index/sparse_proof.h"
#include "index/types.h"

namespace stele::index {

// A place in a tree: an inner node by its hash, or a leaf by its key and value.
struct TreeNode {
  Hash path{};  // its first `depth` bits; of a leaf, the key
  uint32_t depth = 0;
  bool is_leaf = false;
  Hash hash{};  // of a leaf, the value
};

class SparseTree {
 public:
  SparseTree() = default;
  SparseTree(SparseTree&&) = default;
  SparseTree& operator=(SparseTree&&) = default;

  // Sets the value of a key.
  void Put(const Hash& key, const Hash& value);
  // Removes a key. REQUIRES: it is there.
  void Remove(const Hash& key);
  Hash Root();
  // That the key is there with its value, or is not there. REQUIRES: no change since Root().
  SparseProof Prove(const Hash& key) const;

  // What is below the first `bits` bits of `prefix`: leaves above depth bits + levels, and all that
  // is there at that depth, in order of path; empty subtrees are left out. REQUIRES: no change
  // since Root(); bits <= 256.
  std::vector<TreeNode> Read(const Hash& prefix, uint32_t bits, uint32_t levels) const;

  // Digests computed so far: what tests count.
  uint64_t hash_count() const { return hash_count_; }
  size_t memory_bytes() const;

 private:
  // 0 is the empty subtree; the top bit marks a leaf; the rest is a place in its arena.
  using Ref = uint32_t;
  static constexpr Ref kEmpty = 0;
  static constexpr Ref kLeafBit = Ref{1} << 31;

  // The value rather than the hash: it is what a proof that another key is absent must show.
  struct Leaf {
    Hash key;
    Hash value;
  };
  // A node whose hash is zero awaits rehashing: no digest is zero.
  struct Node {
    Hash hash;
    Ref children[2];
  };

  // Places that never move, in chunks, with a list of free ones.
  template <typename T>
  class Arena {
   public:
    uint32_t Allocate();
    void Free(uint32_t place) { free_.push_back(place); }
    T& operator[](uint32_t place) { return chunks_[place / kChunk][place % kChunk]; }
    const T& operator[](uint32_t place) const { return chunks_[place / kChunk][place % kChunk]; }
    size_t memory_bytes() const {
      return chunks_.size() * kChunk * sizeof(T) + free_.capacity() * sizeof(uint32_t);
    }

   private:
    static constexpr uint32_t kChunk = 64;
    std::vector<std::unique_ptr<T[]>> chunks_;
    std::vector<uint32_t> free_;
    uint32_t next_ = 1;  // place 0 is never used
  };

  static bool IsLeaf(Ref ref) { return (ref & kLeafBit) != 0; }
  Leaf& leaf(Ref ref) { return leaves_[ref & ~kLeafBit]; }
  const Leaf& leaf(Ref ref) const { return leaves_[ref & ~kLeafBit]; }
  static unsigned Bit(const Hash& key, unsigned depth) { return SparseKeyBit(key, depth); }
  Ref NewLeaf(const Hash& key, const Hash& value);
  Ref NewNode();
  Ref Split(Ref old_leaf, Ref new_leaf, unsigned depth);
  Hash Rehash(Ref ref);
  Hash HashOf(Ref ref) const;
  void ReadBelow(Ref ref, const Hash& path, uint32_t depth, uint32_t depth_max,
                 std::vector<TreeNode>* nodes) const;

  Ref root_ = kEmpty;
  Arena<Leaf> leaves_;
  Arena<Node> nodes_;
  uint64_t hash_count_ = 0;
};

}  // namespace stele::index
