// Checksum: XXH3-128 with seed 0, in its canonical (big-endian) form of 16 bytes.
//
// It finds damage, not forgery: nothing that is proved to anybody rests on it.
//
// Thread safety: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace stele::storage {

constexpr size_t kChecksumSize = 16;
using Checksum = std::array<char, kChecksumSize>;

// The checksum of `head` followed by `body`.
Checksum ComputeChecksum(std::string_view head, std::string_view body = {});

// True iff `stored` (kChecksumSize bytes) is the checksum of `head` followed by `body`.
bool ChecksumMatches(std::string_view stored, std::string_view head, std::string_view body = {});

}  // namespace stele::storage
