// The arithmetic contract: which vectors are admitted, and the exact integer helpers that every
// other file of the island builds on.
//
// A component is Q16.16: an int32_t whose real value is raw / 65536. A vector is ADMITTED iff
//   (1) every component is strictly between -2^30 and 2^30, and
//   (2) its squared norm, the sum of the squared raw components, is strictly below 2^60
//       (a Euclidean norm below 16384.0).
//
// For two admitted vectors a and b, whatever their dimension:
//   - every difference a_i - b_i fits in int32_t;
//   - |a - b|^2 <= (|a| + |b|)^2 < 2^62;
//   - every partial sum of a dot product, over any subset in any order, is below 2^60 in magnitude
//     (Cauchy-Schwarz on the subset).
// So no sum can leave int64_t, integer addition is associative, and no order of summation, vector
// width or thread count can change a result. Nothing here saturates, wraps or rounds.
//
// It does not convert floating point (quantize.h) and does not compute distances (kernels.h).
//
// Thread safety: pure functions, no state.
#pragma once

#include <compare>
#include <cstdint>
#include <span>

namespace stele::index {

inline constexpr int kFractionBits = 16;
// |x_i| is strictly below this.
inline constexpr int32_t kComponentLimit = int32_t{1} << 30;
// The squared norm is strictly below this.
inline constexpr int64_t kSquaredNormLimit = int64_t{1} << 60;
// Dimensions are 1..kDimensionMax.
inline constexpr uint32_t kDimensionMax = 32768;

// Why a vector is refused.
enum class VectorFault : uint8_t {
  kNone = 0,
  kNotFinite = 1,       // a component is NaN or infinite
  kComponentRange = 2,  // a component, after rounding, is not strictly within +-2^30 raw
  kNormRange = 3,       // every component is fine, the squared norm is not below 2^60
  kBecomesZero = 4,     // a floating-point vector other than zero rounds to the zero vector
  kZeroVector = 5,      // the zero vector has no direction, so it cannot be normalised
};

// The answer of every check and conversion.
struct [[nodiscard]] VectorCheck {
  VectorFault fault = VectorFault::kNone;
  // Lowest index of a component at fault, for kNotFinite and kComponentRange; otherwise 0.
  uint32_t component = 0;

  constexpr bool ok() const { return fault == VectorFault::kNone; }
  friend constexpr bool operator==(const VectorCheck&, const VectorCheck&) = default;
};

// Applies the admission rule: components first, in order, then the norm.
// Total: any int32_t values are allowed, and nothing wraps. The zero vector is admitted.
VectorCheck CheckAdmitted(std::span<const int32_t> vector);

// Sum of the squared raw components.
// REQUIRES: `vector` is admitted. Result in [0, 2^60).
int64_t SquaredNorm(std::span<const int32_t> vector);

// An unsigned 128-bit integer in two limbs, for targets without a native one. Ordered by value.
struct Uint128 {
  uint64_t high = 0;
  uint64_t low = 0;

  friend constexpr auto operator<=>(const Uint128&, const Uint128&) = default;
};

// a + b modulo 2^128.
constexpr Uint128 Add(Uint128 a, Uint128 b) {
  const uint64_t low = a.low + b.low;
  return {a.high + b.high + (low < a.low ? 1u : 0u), low};
}

// The full product a * b.
constexpr Uint128 Multiply(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & 0xffffffffu;
  const uint64_t a_high = a >> 32;
  const uint64_t b_low = b & 0xffffffffu;
  const uint64_t b_high = b >> 32;
  const uint64_t low = a_low * b_low;
  // Neither sum can wrap: (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
  const uint64_t middle = a_high * b_low + (low >> 32);
  const uint64_t middle_too = a_low * b_high + (middle & 0xffffffffu);
  return {a_high * b_high + (middle >> 32) + (middle_too >> 32),
          (middle_too << 32) | (low & 0xffffffffu)};
}

// a * b modulo 2^128.
constexpr Uint128 Multiply(Uint128 a, uint64_t b) {
  Uint128 product = Multiply(a.low, b);
  product.high += a.high * b;
  return product;
}

// Largest integer whose square is at most `value`. Below 2^32.
uint64_t FloorSqrt(uint64_t value);
uint64_t FloorSqrt(Uint128 value);

// Smallest integer whose square is at least `value`.
uint64_t CeilSqrt(uint64_t value);
// REQUIRES: value <= (2^64 - 1)^2, so that the result fits.
uint64_t CeilSqrt(Uint128 value);

}  // namespace stele::index
