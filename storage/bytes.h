// Fixed-width integers on disk. Every integer that this folder writes is big-endian, so that keys
// sort as numbers and one rule covers all files.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace stele::storage {

inline void StoreBigEndian32(uint32_t value, char* out) {
  for (int i = 3; i >= 0; --i) {
    out[i] = static_cast<char>(static_cast<unsigned char>(value & 0xff));
    value >>= 8;
  }
}

inline void StoreBigEndian64(uint64_t value, char* out) {
  for (int i = 7; i >= 0; --i) {
    out[i] = static_cast<char>(static_cast<unsigned char>(value & 0xff));
    value >>= 8;
  }
}

inline uint32_t LoadBigEndian32(const char* in) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = (value << 8) | static_cast<unsigned char>(in[i]);
  return value;
}

inline uint64_t LoadBigEndian64(const char* in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = (value << 8) | static_cast<unsigned char>(in[i]);
  return value;
}

}  // namespace stele::storage
