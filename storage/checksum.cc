#include "storage/checksum.h"

#include <cstring>

#define XXH_STATIC_LINKING_ONLY  // for a hash state on the stack
#include <xxhash.h>

namespace stele::storage {

static_assert(sizeof(XXH128_canonical_t) == kChecksumSize);

Checksum ComputeChecksum(std::string_view head, std::string_view body) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, head.data(), head.size());
  if (!body.empty()) XXH3_128bits_update(&state, body.data(), body.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  Checksum checksum;
  std::memcpy(checksum.data(), &canonical, kChecksumSize);
  return checksum;
}

bool ChecksumMatches(std::string_view stored, std::string_view head, std::string_view body) {
  if (stored.size() != kChecksumSize) return false;
  const Checksum computed = ComputeChecksum(head, body);
  return std::memcmp(stored.data(), computed.data(), kChecksumSize) == 0;
}

}  // namespace stele::storage
