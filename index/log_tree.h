// The RFC 6962 Merkle tree over log entries, as its frontier only: the roots of the complete
// subtrees that make up `size` leaves. Appending costs O(1) hashes amortised, the root O(log size).
// Not thread-safe.
#pragma once

#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

class LogTree {
 public:
  LogTree() = default;
  // A tree of `size` leaves. REQUIRES: one hash per set bit of size, largest subtree first.
  LogTree(uint64_t size, std::vector<Hash> frontier);

  // `leaf` is LogLeaf of the entry with index size().
  void Append(const Hash& leaf);

  uint64_t size() const { return size_; }
  const std::vector<Hash>& frontier() const { return frontier_; }
  // RFC 6962 section 2.1. Of no leaves: SHA-256 of nothing.
  Hash Root() const;

 private:
  uint64_t size_ = 0;
  std::vector<Hash> frontier_;
};

}  // namespace stele::index
