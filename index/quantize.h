// From floating point to Q16.16, and the normalisation of COSINE collections.
//
// Everything works on IEEE-754 bit patterns with integer shifts, compares and multiplications: the
// floating-point unit, its rounding mode and the compiler's floating-point flags have no part in
// it. Every client implements the same rules; tests/vectors/quantize.json binds them all.
//
// Quantising. x becomes the integer nearest to x * 2^16, ties to even, rounded once from the given
// format. The result must be admitted (arithmetic.h). -0 becomes 0.
//
// Normalising. y = x times the power of two that puts max|x_i| in [2^29, 2^30), each component
// rounded to the nearest integer, ties to even (so |y_i| <= 2^30). X = sum of y_i^2. Stored is
//   n_i = the integer nearest to y_i * 2^16 / sqrt(X), ties to even,
// which is decided exactly by comparing (2|n| + 1)^2 X with 4 y_i^2 2^32. The result is symmetric
// in the sign and independent of the scale of x: floats of any finite magnitude are accepted.
//
// It does not parse, swap bytes or know about the wire.
//
// Thread safety: pure functions, no state.
//
// Invariants:
//   1. Of several faults the one at the lowest component is reported; kNormRange, kBecomesZero and
//      kZeroVector are only reported when no single component is at fault.
//   2. On success the output is admitted. On a fault the contents of the output are unspecified.
//   3. NormalizeQ16 returns every output of the normalising functions unchanged: what was read back
//      can be written again.
//
// REQUIRES, for all: the output has the size of the input, 1..kDimensionMax.
#pragma once

#include <cstdint>
#include <span>

#include "index/arithmetic.h"

namespace stele::index {

// `bits` are IEEE-754 binary32 patterns. Faults: kNotFinite, kComponentRange, kNormRange,
// kBecomesZero. A vector of zeros is fine and becomes zeros.
VectorCheck QuantizeFloat32(std::span<const uint32_t> bits, std::span<int32_t> out);

// The same from binary64, directly: rounding through binary32 first could differ.
VectorCheck QuantizeFloat64(std::span<const uint64_t> bits, std::span<int32_t> out);

// Normalises binary32 patterns. Faults: kNotFinite, kZeroVector.
VectorCheck NormalizeFloat32(std::span<const uint32_t> bits, std::span<int32_t> out);

// Normalises binary64 patterns. Faults: kNotFinite, kZeroVector.
VectorCheck NormalizeFloat64(std::span<const uint64_t> bits, std::span<int32_t> out);

// Normalises raw Q16.16: unchanged iff |N - 2^32| <= 2^16 ceil(sqrt(d)) + d, where N is the squared
// norm of `in` and d its dimension; otherwise by the rule above, from the raw integers. Rounding to
// the nearest moves the squared norm by at most 2^16 sqrt(d) + d / 4, hence invariant 3.
// `out` may be `in` itself. Faults: kComponentRange, kNormRange, kZeroVector.
VectorCheck NormalizeQ16(std::span<const int32_t> in, std::span<int32_t> out);

}  // namespace stele::index
