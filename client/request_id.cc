#include "client/request_id.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

namespace stele::client {

std::string NewRequestId() {
  std::array<unsigned char, 16> bits;
  // Cannot fail on Linux for a buffer this small; an id that is not random would let one client's
  // write be taken for another's, so there is no fallback.
  if (getentropy(bits.data(), bits.size()) != 0) std::abort();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string id;
  id.reserve(2 * bits.size());
  for (const unsigned char byte : bits) {
    id.push_back(kDigits[byte >> 4]);
    id.push_back(kDigits[byte & 15]);
  }
  return id;
}

}  // namespace stele::client
