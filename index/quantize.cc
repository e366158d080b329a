#include "index/quantize.h"

#include <algorithm>
#include <bit>

#include "index/check.h"
#include "index/normalized.h"

namespace stele::index {
namespace {

// The finite value (-1)^negative * significand * 2^exponent.
struct Decoded {
  bool negative = false;
  uint64_t significand = 0;
  int exponent = 0;
};

// An IEEE-754 binary interchange format: sign, exponent field, fraction.
template <typename BitsType, int kFractionWidth, int kExponentWidth>
struct Ieee754 {
  using Bits = BitsType;
  static constexpr Bits kSign = Bits{1} << (kFractionWidth + kExponentWidth);
  static constexpr Bits kInfinity = ((Bits{1} << kExponentWidth) - 1) << kFractionWidth;
  static constexpr Bits kImplicitOne = Bits{1} << kFractionWidth;
  static constexpr int kBias = (1 << (kExponentWidth - 1)) - 1;

  // For finite values the order of magnitudes is the order of absolute values.
  static constexpr Bits Magnitude(Bits bits) { return bits & ~kSign; }
  static constexpr bool IsFinite(Bits bits) { return Magnitude(bits) < kInfinity; }

  // REQUIRES: IsFinite(bits).
  static constexpr Decoded Decode(Bits bits) {
    const Bits fraction = bits & (kImplicitOne - 1);
    const int field = static_cast<int>(Magnitude(bits) >> kFractionWidth);
    const bool subnormal = field == 0;
    return {(bits & kSign) != 0, subnormal ? fraction : fraction | kImplicitOne,
            (subnormal ? 1 : field) - kBias - kFractionWidth};
  }
};

using Binary32 = Ieee754<uint32_t, 23, 8>;
using Binary64 = Ieee754<uint64_t, 52, 11>;

// The integer nearest to significand * 2^shift, ties to even, or 2^30 where that is 2^30 or more.
// REQUIRES: significand < 2^53.
uint32_t RoundScaled(uint64_t significand, int shift) {
  constexpr uint64_t kLimit = uint32_t{kComponentLimit};
  if (significand == 0) return 0;
  if (shift >= 0) {
    if (shift >= 30 || significand >= (kLimit >> shift)) return kLimit;
    return static_cast<uint32_t>(significand << shift);
  }
  const int right = -shift;
  if (right > 53) return 0;  // below one half
  const uint64_t floor = significand >> right;
  const uint64_t remainder = significand - (floor << right);
  const uint64_t half = uint64_t{1} << (right - 1);
  const bool up = remainder > half || (remainder == half && (floor & 1) != 0);
  return static_cast<uint32_t>(std::min(floor + (up ? 1 : 0), kLimit));
}

int32_t WithSign(uint32_t magnitude, bool negative) {
  const auto value = static_cast<int32_t>(magnitude);
  return negative ? -value : value;
}

uint32_t MagnitudeOf(int32_t value) {
  return value < 0 ? uint32_t{0} - static_cast<uint32_t>(value) : static_cast<uint32_t>(value);
}

// Sizes are the caller's contract; writing past the end would be worse than stopping.
void RequireSameSize(size_t in, size_t out) { Check(in == out && in >= 1 && in <= kDimensionMax); }

template <typename Format>
VectorCheck Quantize(std::span<const typename Format::Bits> bits, std::span<int32_t> out) {
  RequireSameSize(bits.size(), out.size());
  bool zero_in = true;
  bool zero_out = true;
  for (size_t i = 0; i < bits.size(); ++i) {
    if (!Format::IsFinite(bits[i])) return {VectorFault::kNotFinite, static_cast<uint32_t>(i)};
    const Decoded value = Format::Decode(bits[i]);
    const uint32_t magnitude = RoundScaled(value.significand, value.exponent + kFractionBits);
    if (magnitude >= uint32_t{kComponentLimit}) {
      return {VectorFault::kComponentRange, static_cast<uint32_t>(i)};
    }
    out[i] = WithSign(magnitude, value.negative);
    zero_in = zero_in && value.significand == 0;
    zero_out = zero_out && magnitude == 0;
  }
  if (zero_out && !zero_in) return {VectorFault::kBecomesZero, 0};
  return CheckAdmitted(out);
}

// The exponent field of the smallest binary32 outside the range: |x| * 2^16 = 2^30.
constexpr uint32_t kLimitField = Binary32::kBias + 30 - kFractionBits;
static_assert(kComponentLimit == 1 << 30);

bool AllInRange(std::span<const uint32_t> bits) {
  uint32_t outside = 0;  // the sign of a difference, without a branch
  for (const uint32_t x : bits) outside |= (kLimitField << 23) - 1 - Binary32::Magnitude(x);
  return outside >> 31 == 0;
}

// As Decode and RoundScaled, without a branch. REQUIRES: in range.
//
// With the significand moved to bit 30 at most, x * 2^16 is it shifted right by the distance of the
// exponents, which is at least 1. Subnormals become 0 as they should, being far below one half;
// beyond 40 bits nothing is left of any significand, rounded or not.
uint32_t RoundInRange(uint32_t magnitude) {
  const uint64_t significand =
      uint64_t{(magnitude & (Binary32::kImplicitOne - 1)) | Binary32::kImplicitOne} << 7;
  const uint32_t right = std::min<uint32_t>(kLimitField - (magnitude >> 23), 40);
  const uint64_t odd = (significand >> right) & 1;
  return static_cast<uint32_t>((significand + (uint64_t{1} << (right - 1)) - 1 + odd) >> right);
}

// The integer n nearest to v = a * 2^16 / sqrt(X), ties to even, for one X and many a.
class UnitScaler {
 public:
  // REQUIRES: 2^58 <= squared_norm <= 2^75 (the largest component is in [2^29, 2^30]).
  explicit UnitScaler(Uint128 squared_norm)
      : squared_norm_(squared_norm), reciprocal_((uint64_t{1} << 63) / FloorSqrt(squared_norm)) {}

  // REQUIRES: a^2 <= squared_norm, a <= 2^30.
  //
  // With s = FloorSqrt(X) in [2^29, 2^38): 2^63 / sqrt(X) differs from `reciprocal_` by less than
  // one part in 2^24 (2^-29 from s, 2^-25 from the division), and a * reciprocal_ is below 2^64.
  // So the estimate of v, which is at most 2^16, is off by less than 2^-8, and only fractions
  // within 2^-7 of one half need the exact comparison. Elsewhere the rounded estimate is n.
  uint32_t Scale(uint32_t a) const {
    constexpr int kEstimateFractionBits = 47;
    constexpr uint64_t kOne = uint64_t{1} << kEstimateFractionBits;
    constexpr uint64_t kHalf = kOne >> 1;
    constexpr uint64_t kDoubt = kOne >> 7;
    const uint64_t estimate = a * reciprocal_;
    const uint64_t floor = estimate >> kEstimateFractionBits;
    const uint64_t fraction = estimate & (kOne - 1);
    if (fraction + kDoubt < kHalf) return static_cast<uint32_t>(floor);
    if (fraction > kHalf + kDoubt) return static_cast<uint32_t>(floor + 1);
    return static_cast<uint32_t>(RoundsUp(floor, a) ? floor + 1 : floor);
  }

 private:
  // Whether the integer nearest to v, which is floor or floor + 1, is floor + 1.
  bool RoundsUp(uint64_t floor, uint32_t a) const {
    const uint64_t square = uint64_t{a} * a;
    const Uint128 value = {square >> 30, square << 34};  // 4 a^2 2^32 = (2 v)^2 X
    const uint64_t odd = 2 * floor + 1;
    const Uint128 middle = Multiply(squared_norm_, odd * odd);  // below 2^110
    if (value == middle) return (floor & 1) != 0;
    return value > middle;
  }

  const Uint128 squared_norm_;
  const uint64_t reciprocal_;
};

// In place: scaled integers, the largest magnitude in [2^29, 2^30], become the unit vector.
void NormalizeScaled(std::span<int32_t> vector) {
  Uint128 squared_norm;
  for (const int32_t y : vector) {
    squared_norm = Add(squared_norm, {0, static_cast<uint64_t>(int64_t{y} * y)});
  }
  const UnitScaler scaler(squared_norm);
  for (int32_t& y : vector) y = WithSign(scaler.Scale(MagnitudeOf(y)), y < 0);
}

template <typename Format>
VectorCheck NormalizeFloat(std::span<const typename Format::Bits> bits, std::span<int32_t> out) {
  RequireSameSize(bits.size(), out.size());
  typename Format::Bits largest = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    if (!Format::IsFinite(bits[i])) return {VectorFault::kNotFinite, static_cast<uint32_t>(i)};
    largest = std::max(largest, Format::Magnitude(bits[i]));
  }
  if (largest == 0) return {VectorFault::kZeroVector, 0};
  const Decoded top = Format::Decode(largest);
  const int top_exponent = top.exponent + static_cast<int>(std::bit_width(top.significand)) - 1;
  for (size_t i = 0; i < bits.size(); ++i) {
    const Decoded value = Format::Decode(bits[i]);
    const int shift = value.exponent - top_exponent + 29;
    out[i] = WithSign(RoundScaled(value.significand, shift), value.negative);
  }
  NormalizeScaled(out);
  return {};
}

}  // namespace

VectorCheck QuantizeFloat32(std::span<const uint32_t> bits, std::span<int32_t> out) {
  RequireSameSize(bits.size(), out.size());
  if (!AllInRange(bits)) return Quantize<Binary32>(bits, out);  // finds the first fault
  uint32_t any_in = 0;
  uint32_t any_out = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    const uint32_t magnitude = RoundInRange(Binary32::Magnitude(bits[i]));
    any_in |= Binary32::Magnitude(bits[i]);
    any_out |= magnitude;
    out[i] = WithSign(magnitude, (bits[i] & Binary32::kSign) != 0);
  }
  if (any_out == 0 && any_in != 0) return {VectorFault::kBecomesZero, 0};
  return CheckAdmitted(out);
}

VectorCheck QuantizeFloat64(std::span<const uint64_t> bits, std::span<int32_t> out) {
  return Quantize<Binary64>(bits, out);
}

VectorCheck NormalizeFloat32(std::span<const uint32_t> bits, std::span<int32_t> out) {
  return NormalizeFloat<Binary32>(bits, out);
}

VectorCheck NormalizeFloat64(std::span<const uint64_t> bits, std::span<int32_t> out) {
  return NormalizeFloat<Binary64>(bits, out);
}

VectorCheck NormalizeQ16(std::span<const int32_t> in, std::span<int32_t> out) {
  RequireSameSize(in.size(), out.size());
  const VectorCheck check = CheckAdmitted(in);
  if (!check.ok()) return check;
  uint32_t largest = 0;
  for (const int32_t x : in) largest = std::max(largest, MagnitudeOf(x));
  if (largest == 0) return {VectorFault::kZeroVector, 0};

  const bool unit = IsNormalized(in);
  const int shift = unit ? 0 : 30 - static_cast<int>(std::bit_width(largest));
  for (size_t i = 0; i < in.size(); ++i) out[i] = in[i] * (int32_t{1} << shift);
  if (!unit) NormalizeScaled(out);
  return {};
}

}  // namespace stele::index
