// If these fail, the server and its clients derive different integers from the same floats, or a
// vector that was read back changes when it is written again.
#include "index/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

using Json = nlohmann::json;

Json Cases() {
  std::ifstream file(STELE_SOURCE_DIR "/tests/vectors/quantize.json");
  const Json document = Json::parse(file);
  if (document.at("format") != 1) std::abort();
  return document.at("cases");
}

// Undoes the run-length form: an item is a value, or [count, value].
template <typename T, typename Parse>
std::vector<T> Expand(const Json& runs, Parse parse) {
  std::vector<T> vector;
  for (const Json& item : runs) {
    if (item.is_array()) {
      vector.insert(vector.end(), item.at(0).get<size_t>(), parse(item.at(1)));
    } else {
      vector.push_back(parse(item));
    }
  }
  return vector;
}

std::vector<int32_t> Integers(const Json& runs) {
  return Expand<int32_t>(runs, [](const Json& item) { return item.get<int32_t>(); });
}

template <typename Bits>
std::vector<Bits> Patterns(const Json& runs) {
  return Expand<Bits>(runs, [](const Json& item) {
    return static_cast<Bits>(std::stoull(item.get<std::string>(), nullptr, 16));
  });
}

VectorCheck Convert(const std::string& function, const Json& input, std::vector<int32_t>* out) {
  const auto on_bits = [&](auto convert, const auto& patterns) {
    out->resize(patterns.size());
    return convert(patterns, *out);
  };
  if (function == "quantize_float32") return on_bits(QuantizeFloat32, Patterns<uint32_t>(input));
  if (function == "quantize_float64") return on_bits(QuantizeFloat64, Patterns<uint64_t>(input));
  if (function == "normalize_float32") return on_bits(NormalizeFloat32, Patterns<uint32_t>(input));
  if (function == "normalize_float64") return on_bits(NormalizeFloat64, Patterns<uint64_t>(input));
  if (function == "normalize_q16") return on_bits(NormalizeQ16, Integers(input));
  if (function == "check_admitted") return CheckAdmitted(Integers(input));
  ADD_FAILURE() << "unknown function " << function;
  return {};
}

TEST(SharedVectors, AllAgree) {
  const std::map<std::string, VectorFault> faults = {
      {"none", VectorFault::kNone},
      {"not_finite", VectorFault::kNotFinite},
      {"component_range", VectorFault::kComponentRange},
      {"norm_range", VectorFault::kNormRange},
      {"becomes_zero", VectorFault::kBecomesZero},
      {"zero_vector", VectorFault::kZeroVector},
  };
  const Json cases = Cases();
  ASSERT_GT(cases.size(), 300u);
  for (const Json& item : cases) {
    SCOPED_TRACE(item.at("name").get<std::string>());
    std::vector<int32_t> out;
    const VectorCheck check = Convert(item.at("function"), item.at("input"), &out);
    EXPECT_EQ(check.fault, faults.at(item.at("fault")));
    EXPECT_EQ(check.component, item.at("component").get<uint32_t>());
    if (item.contains("output")) {
      EXPECT_EQ(out, Integers(item.at("output")));
      EXPECT_TRUE(CheckAdmitted(out).ok());
    }
  }
}

// Normal binary32 patterns of random sign and fraction, exponents within `spread` of each other.
std::vector<uint32_t> RandomFloats(TestRandom& random, uint32_t dimension, uint32_t spread) {
  const auto base = static_cast<uint32_t>(1 + random.Below(254 - spread));
  std::vector<uint32_t> bits(dimension);
  for (uint32_t& x : bits) {
    const auto field = base + static_cast<uint32_t>(random.Below(spread + 1));
    x = (static_cast<uint32_t>(random.Next()) & 0x807fffffu) | (field << 23);
  }
  return bits;
}

// The binary64 pattern of the same value. REQUIRES: a normal number.
uint64_t Widen(uint32_t bits) {
  const uint64_t field = (bits >> 23) & 0xff;
  return (uint64_t{bits >> 31} << 63) | ((field - 127 + 1023) << 52) |
         (uint64_t{bits & 0x7fffff} << 29);
}

uint32_t RandomDimension(TestRandom& random) {
  static constexpr uint32_t kSizes[] = {1, 2, 3, 7, 16, 100, 384, 1536};
  return kSizes[random.Below(std::size(kSizes))];
}

TEST(Quantize, IsMonotoneAndSymmetric) {
  TestRandom random(3);
  for (int i = 0; i < 20000; ++i) {
    // Exponents from 2^-20 up to below 2^13, where neither component nor norm is refused.
    const auto field = 107 + static_cast<uint32_t>(random.Below(33));
    const uint32_t one = (field << 23) | static_cast<uint32_t>(random.Below(1 << 23));
    const uint32_t anchor = 0x3f800000;
    const std::vector<uint32_t> in = {one, one + 1, one | 0x80000000u, anchor};
    std::vector<int32_t> out(in.size());
    ASSERT_TRUE(QuantizeFloat32(in, out).ok());
    ASSERT_LE(out[0], out[1]);
    ASSERT_EQ(out[0], -out[2]);
    ASSERT_EQ(out[3], 65536);
  }
}

TEST(Quantize, Binary64AgreesWithBinary32OnTheSameValues) {
  TestRandom random(4);
  for (int i = 0; i < 2000; ++i) {
    const std::vector<uint32_t> narrow = RandomFloats(random, RandomDimension(random), 20);
    std::vector<uint64_t> wide;
    for (const uint32_t bits : narrow) wide.push_back(Widen(bits));
    std::vector<int32_t> from_narrow(narrow.size());
    std::vector<int32_t> from_wide(narrow.size());
    const VectorCheck check = QuantizeFloat32(narrow, from_narrow);
    ASSERT_EQ(check, QuantizeFloat64(wide, from_wide));
    if (check.ok()) {
      ASSERT_EQ(from_narrow, from_wide);
    }
    ASSERT_TRUE(NormalizeFloat32(narrow, from_narrow).ok());
    ASSERT_TRUE(NormalizeFloat64(wide, from_wide).ok());
    ASSERT_EQ(from_narrow, from_wide);
  }
}

TEST(Quantize, EveryComponentOfALargeVectorIsNamed) {
  for (const uint32_t at : {0u, 1u, 31u, 1000u, 32767u}) {
    std::vector<uint32_t> bits(kDimensionMax, 0x3f800000);
    std::vector<int32_t> out(kDimensionMax);
    bits[at] = 0xff800000;
    EXPECT_EQ(QuantizeFloat32(bits, out), (VectorCheck{VectorFault::kNotFinite, at}));
    EXPECT_EQ(NormalizeFloat32(bits, out), (VectorCheck{VectorFault::kNotFinite, at}));
    bits[at] = 0xc6800000;  // -2^14
    EXPECT_EQ(QuantizeFloat32(bits, out), (VectorCheck{VectorFault::kComponentRange, at}));
    EXPECT_TRUE(NormalizeFloat32(bits, out).ok());
  }
}

uint64_t Square(int32_t y) { return static_cast<uint64_t>(int64_t{y} * y); }

// |N - 2^32| <= 2^16 ceil(sqrt(d)) + d, written out again.
bool IsUnit(const std::vector<int32_t>& vector) {
  int64_t norm = 0;
  for (const int32_t x : vector) norm += int64_t{x} * x;
  const auto dimension = static_cast<int64_t>(vector.size());
  int64_t root = 1;
  while (root * root < dimension) ++root;
  return std::abs(norm - (int64_t{1} << 32)) <= 65536 * root + dimension;
}

TEST(Normalize, OutputsAreUnitVectorsAndStay) {
  TestRandom random(5);
  for (int i = 0; i < 3000; ++i) {
    const std::vector<uint32_t> bits =
        RandomFloats(random, RandomDimension(random), static_cast<uint32_t>(random.Below(40)));
    std::vector<int32_t> once(bits.size());
    ASSERT_TRUE(NormalizeFloat32(bits, once).ok());
    ASSERT_TRUE(IsUnit(once));
    std::vector<int32_t> again(bits.size());
    ASSERT_TRUE(NormalizeQ16(once, again).ok());
    ASSERT_EQ(once, again);
  }
}

TEST(Normalize, RawVectorsBecomeUnitVectorsAndStayInPlaceToo) {
  TestRandom random(6);
  for (int i = 0; i < 3000; ++i) {
    const uint32_t dimension = RandomDimension(random);
    const int32_t bound = std::max(AdmittedBound(dimension) >> random.Below(31), 1);
    std::vector<int32_t> vector = RandomVector(random, dimension, bound);
    vector[0] = std::max(vector[0], 1);
    std::vector<int32_t> once(dimension);
    ASSERT_TRUE(NormalizeQ16(vector, once).ok());
    ASSERT_TRUE(IsUnit(once));
    ASSERT_TRUE(NormalizeQ16(vector, vector).ok());
    ASSERT_EQ(vector, once);
    ASSERT_TRUE(NormalizeQ16(vector, vector).ok());
    ASSERT_EQ(vector, once);
  }
}

// The definition itself: (2|n| - 1)^2 X <= 4 y^2 2^32 <= (2|n| + 1)^2 X, an equality only for even
// n.
void ExpectNearest(const std::vector<int32_t>& scaled, const std::vector<int32_t>& unit) {
  Uint128 norm;
  for (const int32_t y : scaled) norm = Add(norm, Multiply(Square(y), uint64_t{1}));
  for (size_t i = 0; i < scaled.size(); ++i) {
    const auto n = static_cast<uint64_t>(std::abs(unit[i]));
    const Uint128 value = Multiply(Square(scaled[i]), uint64_t{1} << 34);
    const Uint128 above = Multiply(norm, (2 * n + 1) * (2 * n + 1));
    ASSERT_TRUE(value < above || (value == above && n % 2 == 0)) << scaled[i] << " -> " << unit[i];
    ASSERT_TRUE(unit[i] == 0 || (unit[i] < 0) == (scaled[i] < 0));
    if (n == 0) continue;
    const Uint128 below = Multiply(norm, (2 * n - 1) * (2 * n - 1));
    ASSERT_TRUE(value > below || (value == below && n % 2 == 0)) << scaled[i] << " -> " << unit[i];
  }
}

TEST(Normalize, EveryComponentIsTheNearestInteger) {
  TestRandom random(9);
  for (int i = 0; i < 3000; ++i) {
    const uint32_t dimension = i % 100 == 0 ? kDimensionMax : RandomDimension(random);
    // Binary32 significands of 24 bits, so that the scaled integers are exact multiples of 2^6.
    std::vector<uint32_t> bits(dimension);
    std::vector<int32_t> scaled(dimension);
    const auto exponent = static_cast<uint32_t>(1 + random.Below(254));
    for (uint32_t d = 0; d < dimension; ++d) {
      const auto pattern = static_cast<uint32_t>(random.Next());
      bits[d] = (pattern & 0x807fffff) | (exponent << 23);
      const auto magnitude = static_cast<int32_t>((pattern & 0x7fffff) | 0x800000) << 6;
      scaled[d] = (pattern >> 31) != 0 ? -magnitude : magnitude;
    }
    std::vector<int32_t> unit(dimension);
    ASSERT_TRUE(NormalizeFloat32(bits, unit).ok());
    ASSERT_NO_FATAL_FAILURE(ExpectNearest(scaled, unit));
  }
}

TEST(Normalize, PowersOfTwoAndSignsDoNotMatter) {
  TestRandom random(7);
  for (int i = 0; i < 1000; ++i) {
    std::vector<uint32_t> bits = RandomFloats(random, RandomDimension(random), 20);
    std::vector<int32_t> expected(bits.size());
    ASSERT_TRUE(NormalizeFloat32(bits, expected).ok());
    uint32_t top = 0;
    uint32_t bottom = 255;
    for (const uint32_t x : bits) {
      top = std::max(top, (x >> 23) & 0xff);
      bottom = std::min(bottom, (x >> 23) & 0xff);
    }
    // Multiplying by -2^shift keeps every component normal.
    const auto shift = 1 - bottom + static_cast<uint32_t>(random.Below(254 - top + bottom));
    for (uint32_t& x : bits) x = (x + (shift << 23)) ^ 0x80000000u;
    std::vector<int32_t> moved(bits.size());
    ASSERT_TRUE(NormalizeFloat32(bits, moved).ok());
    for (int32_t& x : moved) x = -x;
    ASSERT_EQ(moved, expected);
  }
}

TEST(Normalize, RawIntegersAndEqualFloatsAgree) {
  TestRandom random(8);
  for (int i = 0; i < 1000; ++i) {
    // 20-bit integers are exact in binary32, whatever they are scaled by.
    const uint32_t dimension = RandomDimension(random);
    std::vector<int32_t> integers = RandomVector(random, dimension, 1 << 20);
    integers[0] = 1 << 20;  // too long to be a unit vector already
    std::vector<uint32_t> bits(dimension);
    for (uint32_t d = 0; d < dimension; ++d) {
      const auto magnitude = static_cast<uint32_t>(std::abs(integers[d]));
      if (magnitude == 0) continue;
      const auto top = static_cast<uint32_t>(std::bit_width(magnitude)) - 1;
      const uint32_t fraction = (magnitude << (23 - top)) & 0x7fffff;
      bits[d] = (integers[d] < 0 ? 0x80000000u : 0) | ((50 + top) << 23) | fraction;
    }
    std::vector<int32_t> from_integers(dimension);
    std::vector<int32_t> from_floats(dimension);
    ASSERT_TRUE(NormalizeQ16(integers, from_integers).ok());
    ASSERT_TRUE(NormalizeFloat32(bits, from_floats).ok());
    ASSERT_EQ(from_integers, from_floats);
  }
}

TEST(QuantizeDeath, SizesMustAgree) {
  const std::vector<uint32_t> bits(3, 0x3f800000);
  std::vector<int32_t> out(2);
  EXPECT_DEATH((void)QuantizeFloat32(bits, out), "");
}

}  // namespace
}  // namespace stele::index
