// Byte strings of the reference: the same formats as docs/format.md states, written a second time
// and without any code of index/, so that a slip in one is not repeated in the other.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace stele::reference {

inline std::string Number(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}
inline std::string U8(uint64_t value) { return Number(value, 1); }
inline std::string U32(uint64_t value) { return Number(value, 4); }
inline std::string U64(uint64_t value) { return Number(value, 8); }
inline std::string Sized(const std::string& bytes) { return U32(bytes.size()) + bytes; }

// SHA-256 of a label byte and `bytes`; 32 bytes.
inline std::string Digest(uint8_t label, const std::string& bytes) {
  const std::string input = U8(label) + bytes;
  std::string out(32, '\0');
  unsigned size = 0;
  if (EVP_Digest(input.data(), input.size(), reinterpret_cast<unsigned char*>(out.data()), &size,
                 EVP_sha256(), nullptr) != 1 ||
      size != 32) {
    std::abort();
  }
  return out;
}

inline std::string Zeros() { return std::string(32, '\0'); }

// RFC 6962, 2.1, by its recursive definition.
inline std::string MerkleRoot(uint8_t label, const std::vector<std::string>& leaves) {
  if (leaves.empty()) return Zeros();
  if (leaves.size() == 1) return leaves[0];
  size_t split = 1;
  while (2 * split < leaves.size()) split *= 2;
  const auto middle = leaves.begin() + static_cast<std::ptrdiff_t>(split);
  return Digest(label, MerkleRoot(label, {leaves.begin(), middle}) +
                           MerkleRoot(label, {middle, leaves.end()}));
}

}  // namespace stele::reference
