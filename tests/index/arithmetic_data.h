// Deterministic random vectors for the tests of the arithmetic.
#pragma once

#include <cstdint>
#include <vector>

#include "index/arithmetic.h"

namespace stele::index {

// splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Uniform enough in [0, limit).
  uint64_t Below(uint64_t limit) { return Next() % limit; }

  // In [-bound, bound].
  int32_t Within(int32_t bound) {
    const auto span = static_cast<uint64_t>(2 * int64_t{bound} + 1);
    return static_cast<int32_t>(static_cast<int64_t>(Below(span)) - bound);
  }

 private:
  uint64_t state_;
};

// The largest component bound for which every vector of the dimension is admitted.
inline int32_t AdmittedBound(uint32_t dimension) {
  const auto limit = static_cast<uint64_t>(kSquaredNormLimit);
  const uint64_t bound = FloorSqrt((limit - 1) / dimension);
  return static_cast<int32_t>(bound);
}

inline std::vector<int32_t> RandomVector(TestRandom& random, uint32_t dimension, int32_t bound) {
  std::vector<int32_t> vector(dimension);
  for (int32_t& x : vector) x = random.Within(bound);
  return vector;
}

}  // namespace stele::index
