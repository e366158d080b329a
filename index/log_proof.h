// Proofs about the log tree: that an entry is in a log of n entries, and that a log of n entries
// begins with one of m. RFC 6962 section 2.1 for the tree and for making them; RFC 9162 sections
// 2.1.3.2 and 2.1.4.2 for checking them.
//
// Making one reads O(log n) nodes and computes at most log2(n) hashes; checking computes at most
// 2 log2(n) + 1. It does not know where nodes are stored, and signs nothing.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// The hash of the complete subtree over the leaves index * 2^height up to and without
// (index + 1) * 2^height; nothing where it is not to be had.
using LogNodeReader = std::function<std::optional<Hash>(unsigned height, uint64_t index)>;

// Hashes from the leaf upwards; nothing where a node is not to be had. REQUIRES: index < size.
std::optional<std::vector<Hash>> MakeInclusionProof(uint64_t index, uint64_t size,
                                                    const LogNodeReader& node_at);
// REQUIRES: old_size <= new_size. Empty where they are equal or old_size is 0.
std::optional<std::vector<Hash>> MakeConsistencyProof(uint64_t old_size, uint64_t new_size,
                                                      const LogNodeReader& node_at);
// Root of the first `size` leaves.
std::optional<Hash> LogRootAt(uint64_t size, const LogNodeReader& node_at);

// Whether `leaf` (LogLeaf of a commit record) is entry `index` of the log with this size and root.
bool VerifyInclusion(uint64_t index, uint64_t size, const Hash& leaf, std::span<const Hash> proof,
                     const Hash& root);
// Whether the log with the new size and root begins with all that the old one held.
bool VerifyConsistency(uint64_t old_size, uint64_t new_size, std::span<const Hash> proof,
                       const Hash& old_root, const Hash& new_root);

}  // namespace stele::index
