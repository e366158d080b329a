// Which vectors a COSINE collection takes as they are.
#pragma once

#include <span>

#include "index/arithmetic.h"

namespace stele::index {

// Whether the squared norm X satisfies |X - 2^32| <= 2^16 * ceil(sqrt(d)) + d, as every output of
// the normalising rule does (quantize.h). REQUIRES: admitted.
inline bool IsNormalized(std::span<const int32_t> vector) {
  const auto dimension = static_cast<int64_t>(vector.size());
  const int64_t slack =
      65536 * static_cast<int64_t>(CeilSqrt(static_cast<uint64_t>(dimension))) + dimension;
  const int64_t distance = SquaredNorm(vector) - (int64_t{1} << 32);
  return distance <= slack && -distance <= slack;
}

}  // namespace stele::index
