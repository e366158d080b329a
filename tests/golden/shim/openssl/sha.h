// SHA-256 (FIPS 180-4) behind OpenSSL's names, for cross builds where the target has no libcrypto.
// Used by tests/golden/cross_build.py only.
#pragma once

#include <cstddef>
#include <cstdint>

struct SHA256_CTX {
  uint32_t state[8];
  uint64_t size;
  unsigned char block[64];
};

inline uint32_t Sha256Rotate(uint32_t value, int by) { return value >> by | value << (32 - by); }

inline void Sha256Block(SHA256_CTX* context) {
  static const uint32_t kRounds[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
      0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
      0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
      0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
      0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
      0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
      0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
      0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
      0xc67178f2};
  uint32_t w[64];
  for (int i = 0; i < 16; ++i) {
    const unsigned char* p = context->block + 4 * i;
    w[i] = uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15];
    const uint32_t b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (Sha256Rotate(a, 7) ^ Sha256Rotate(a, 18) ^ a >> 3) +
           (Sha256Rotate(b, 17) ^ Sha256Rotate(b, 19) ^ b >> 10);
  }
  uint32_t s[8];
  for (int i = 0; i < 8; ++i) s[i] = context->state[i];
  for (int i = 0; i < 64; ++i) {
    const uint32_t e = Sha256Rotate(s[4], 6) ^ Sha256Rotate(s[4], 11) ^ Sha256Rotate(s[4], 25);
    const uint32_t t1 = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + kRounds[i] + w[i];
    const uint32_t a = Sha256Rotate(s[0], 2) ^ Sha256Rotate(s[0], 13) ^ Sha256Rotate(s[0], 22);
    const uint32_t t2 = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    for (int j = 7; j > 0; --j) s[j] = s[j - 1];
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; ++i) context->state[i] += s[i];
}

inline int SHA256_Init(SHA256_CTX* context) {
  *context = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
               0x5be0cd19},
              0,
              {}};
  return 1;
}

inline int SHA256_Update(SHA256_CTX* context, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; ++i) {
    context->block[context->size++ % 64] = bytes[i];
    if (context->size % 64 == 0) Sha256Block(context);
  }
  return 1;
}

inline int SHA256_Final(unsigned char* out, SHA256_CTX* context) {
  const uint64_t bits = 8 * context->size;
  unsigned char byte = 0x80;
  do {
    SHA256_Update(context, &byte, 1);
    byte = 0;
  } while (context->size % 64 != 56);
  for (int i = 7; i >= 0; --i) {
    byte = static_cast<unsigned char>(bits >> (8 * i));
    SHA256_Update(context, &byte, 1);
  }
  for (int i = 0; i < 32; ++i) {
    out[i] = static_cast<unsigned char>(context->state[i / 4] >> (24 - 8 * (i % 4)));
  }
  return 1;
}
