#include "index/arithmetic.h"

namespace stele::index {

VectorCheck CheckAdmitted(std::span<const int32_t> vector) {
  for (size_t i = 0; i < vector.size(); ++i) {
    if (vector[i] <= -kComponentLimit || vector[i] >= kComponentLimit) {
      return {VectorFault::kComponentRange, static_cast<uint32_t>(i)};
    }
  }
  // A square is below 2^60 and the sum so far is too, so the sum is below 2^61 when it is compared.
  int64_t sum = 0;
  for (const int32_t x : vector) {
    sum += int64_t{x} * x;
    if (sum >= kSquaredNormLimit) return {VectorFault::kNormRange, 0};
  }
  return {};
}

int64_t SquaredNorm(std::span<const int32_t> vector) {
  int64_t sum = 0;
  for (const int32_t x : vector) sum += int64_t{x} * x;
  return sum;
}

// Both square roots find one binary digit at a time, highest first (the schoolbook method):
// `root` holds the digits found so far.
uint64_t FloorSqrt(uint64_t value) {
  uint64_t root = 0;
  for (uint64_t digit = uint64_t{1} << 31; digit != 0; digit >>= 1) {
    const uint64_t candidate = root | digit;
    if (candidate * candidate <= value) root = candidate;
  }
  return root;
}

uint64_t FloorSqrt(Uint128 value) {
  if (value.high == 0) return FloorSqrt(value.low);
  uint64_t root = 0;
  for (uint64_t digit = uint64_t{1} << 63; digit != 0; digit >>= 1) {
    const uint64_t candidate = root | digit;
    if (Multiply(candidate, candidate) <= value) root = candidate;
  }
  return root;
}

uint64_t CeilSqrt(uint64_t value) {
  const uint64_t root = FloorSqrt(value);
  return root * root == value ? root : root + 1;
}

uint64_t CeilSqrt(Uint128 value) {
  const uint64_t root = FloorSqrt(value);
  return Multiply(root, root) == value ? root : root + 1;
}

}  // namespace stele::index
