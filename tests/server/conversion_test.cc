// If this failed: a vector could be stored as another one than the client sent, a fault could be
// blamed on the wrong component, or a threshold could let in or keep out a hit that its exact score
// does not.
#include "server/conversion.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "index/arithmetic.h"
#include "index/quantize.h"
#include "tests/server/error_details.h"

namespace stele::server {
namespace {

using index::Metric;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

v1::Vector Q16(const std::vector<int32_t>& values) {
  v1::Vector vector;
  vector.set_q16(BytesOf(values));
  return vector;
}
v1::Vector Float32(const std::vector<float>& values) {
  v1::Vector vector;
  vector.set_float32(BytesOf(values));
  return vector;
}
v1::Vector Float64(const std::vector<double>& values) {
  v1::Vector vector;
  vector.set_float64(BytesOf(values));
  return vector;
}
v1::Vector Floats(const std::vector<float>& values) {
  v1::Vector vector;
  vector.mutable_floats();
  for (const float value : values) vector.mutable_floats()->add_values(value);
  return vector;
}

std::vector<int32_t> Convert(const v1::Vector& vector, uint32_t dimension, Metric metric) {
  return ConvertVector(vector, dimension, metric, "v").value();
}

TEST(ConvertVector, EveryFormGivesTheSameIntegers) {
  const std::vector<int32_t> expected = {65536, -98304, 0, 1};
  for (const Metric metric : {Metric::kL2, Metric::kDot}) {
    EXPECT_EQ(Convert(Q16(expected), 4, metric), expected);
    EXPECT_EQ(Convert(Float32({1.0f, -1.5f, 0.0f, 0x1p-16f}), 4, metric), expected);
    EXPECT_EQ(Convert(Floats({1.0f, -1.5f, -0.0f, 0x1p-16f}), 4, metric), expected);
    EXPECT_EQ(Convert(Float64({1.0, -1.5, 0.0, 0x1p-16}), 4, metric), expected);
  }
}

TEST(ConvertVector, BytesAreLittleEndian) {
  v1::Vector vector;
  vector.set_q16(std::string("\x01\x02\x03\x04\xfe\xff\xff\xff", 8));
  EXPECT_EQ(Convert(vector, 2, Metric::kL2), (std::vector<int32_t>{0x04030201, -2}));
}

TEST(ConvertVector, Binary64IsRoundedOnce) {
  // Through binary32 this would first become a tie, and then go to even, which is down.
  const double above_half = 1.0 / 131072 + 0x1p-60;
  EXPECT_EQ(Convert(Float64({above_half, 1}), 2, Metric::kL2)[0], 1);
  EXPECT_EQ(Convert(Float32({static_cast<float>(above_half), 1}), 2, Metric::kL2)[0], 0);
}

TEST(ConvertVector, CosineNormalisesEveryForm) {
  const std::vector<int32_t> expected = {39322, 52429};  // 0.6, 0.8
  EXPECT_EQ(Convert(Float32({3, 4}), 2, Metric::kCosine), expected);
  EXPECT_EQ(Convert(Floats({3e30f, 4e30f}), 2, Metric::kCosine), expected);
  EXPECT_EQ(Convert(Float64({3e-300, 4e-300}), 2, Metric::kCosine), expected);
  EXPECT_EQ(Convert(Q16({300, 400}), 2, Metric::kCosine), expected);
  EXPECT_EQ(Convert(Q16(expected), 2, Metric::kCosine), expected);
}

struct Fault {
  const char* name;
  v1::Vector vector;
  uint32_t dimension;
  Metric metric;
  const char* reason;
  const char* component;  // "" where none is at fault
};

TEST(ConvertVector, Faults) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  v1::Vector odd_q16, odd_float32, odd_float64;
  odd_q16.set_q16("12345");
  odd_float32.set_float32("1234567");
  odd_float64.set_float64("123456789012");
  const Fault faults[] = {
      {"no form", {}, 2, Metric::kL2, "VECTOR_MISSING", ""},
      {"odd q16", odd_q16, 1, Metric::kL2, "VECTOR_BYTES", ""},
      {"odd float32", odd_float32, 1, Metric::kL2, "VECTOR_BYTES", ""},
      {"odd float64", odd_float64, 1, Metric::kL2, "VECTOR_BYTES", ""},
      {"short", Float32({1}), 2, Metric::kL2, "DIMENSION_MISMATCH", ""},
      {"long", Floats({1, 2, 3}), 2, Metric::kDot, "DIMENSION_MISMATCH", ""},
      {"empty", Q16({}), 2, Metric::kL2, "DIMENSION_MISMATCH", ""},
      {"float64 read as two", Float64({1}), 2, Metric::kL2, "DIMENSION_MISMATCH", ""},
      {"NaN", Float32({0, nan, nan}), 3, Metric::kL2, "COMPONENT_NOT_FINITE", "1"},
      {"infinite", Floats({0, 0, -inf}), 3, Metric::kDot, "COMPONENT_NOT_FINITE", "2"},
      {"NaN, cosine", Float64({1, 2, NAN}), 3, Metric::kCosine, "COMPONENT_NOT_FINITE", "2"},
      {"too large", Float32({1, 16384}), 2, Metric::kL2, "COMPONENT_OUT_OF_RANGE", "1"},
      {"too small", Float64({-16384, 1}), 2, Metric::kL2, "COMPONENT_OUT_OF_RANGE", "0"},
      {"raw too large", Q16({1, 1 << 30}), 2, Metric::kL2, "COMPONENT_OUT_OF_RANGE", "1"},
      {"raw, cosine", Q16({1, -(1 << 30)}), 2, Metric::kCosine, "COMPONENT_OUT_OF_RANGE", "1"},
      {"norm", Float32({16000, 16000}), 2, Metric::kDot, "NORM_OUT_OF_RANGE", ""},
      {"becomes zero", Float32({1e-9f, -1e-9f}), 2, Metric::kL2, "VECTOR_BECOMES_ZERO", ""},
      {"zero", Float32({0, -0.0f}), 2, Metric::kCosine, "ZERO_VECTOR", ""},
      {"raw zero", Q16({0, 0}), 2, Metric::kCosine, "ZERO_VECTOR", ""},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.name);
    const auto result =
        ConvertVector(fault.vector, fault.dimension, fault.metric, "operations[3].upsert.vector");
    const Details details = DetailsOf(result.status());
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(details.reason, fault.reason);
    EXPECT_EQ(details.field, "operations[3].upsert.vector");
    const auto component = details.metadata.find("component");
    EXPECT_EQ(component == details.metadata.end() ? "" : component->second, fault.component);
  }
}

TEST(ConvertVector, ZeroIsFineWithoutCosine) {
  EXPECT_EQ(Convert(Float32({0, 0}), 2, Metric::kL2), (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(Convert(Q16({0, 0}), 2, Metric::kDot), (std::vector<int32_t>{0, 0}));
}

TEST(ScoreOf, NearestToTheExactValue) {
  EXPECT_EQ(ScoreOf(Metric::kL2, int64_t{3} << 31), 1.5);
  EXPECT_EQ(ScoreOf(Metric::kDot, int64_t{3} << 31), -1.5);
  EXPECT_EQ(ScoreOf(Metric::kDot, -(int64_t{3} << 31)), 1.5);
  EXPECT_FALSE(std::signbit(ScoreOf(Metric::kDot, 0)));
  EXPECT_EQ(ScoreOf(Metric::kCosine, 0), 1.0);
  EXPECT_EQ(ScoreOf(Metric::kCosine, int64_t{1} << 33), 0.0);
  EXPECT_EQ(ScoreOf(Metric::kCosine, int64_t{1} << 34), -1.0);
  // One unit, which 1 - raw * 2^-33 keeps as well.
  EXPECT_EQ(ScoreOf(Metric::kCosine, 1), 1.0 - 0x1p-33);
  // 2^61 + 2^8 + 1 lies above the middle between two doubles.
  EXPECT_EQ(ScoreOf(Metric::kL2, (int64_t{1} << 61) + 257), 0x1p29 + 0x1p-23);
}

// The exact score times 2^33, which long double holds: it has 64 bits.
long double ScaledScore(Metric metric, int64_t raw) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  const auto exact = static_cast<long double>(raw);
  if (metric == Metric::kL2) return 2 * exact;
  if (metric == Metric::kDot) return -2 * exact;
  return static_cast<long double>((int64_t{1} << 33) - raw);
}

bool Satisfies(Metric metric, int64_t raw, double score) {
  const long double scaled = std::ldexp(static_cast<long double>(score), 33);
  return metric == Metric::kL2 ? ScaledScore(metric, raw) <= scaled
                               : ScaledScore(metric, raw) >= scaled;
}

TEST(RawBoundOf, IsTheLargestDistanceThatSatisfies) {
  std::mt19937_64 random(7);
  for (const Metric metric : {Metric::kL2, Metric::kDot, Metric::kCosine}) {
    for (int i = 0; i < 200'000; ++i) {
      // Any magnitude in which neighbours of the bound can be told apart.
      const int exponent = static_cast<int>(random() % 60) - 45;
      double score = std::ldexp(static_cast<double>(random() >> 11), exponent - 53);
      if (random() % 2 == 0) score = -score;
      if (random() % 8 == 0) score = std::nearbyint(score * 256) / 256;
      const int64_t bound = RawBoundOf(metric, score).value();
      ASSERT_TRUE(Satisfies(metric, bound, score)) << score << " " << bound;
      ASSERT_FALSE(Satisfies(metric, bound + 1, score)) << score << " " << bound;
    }
  }
}

TEST(RawBoundOf, Edges) {
  EXPECT_EQ(RawBoundOf(Metric::kL2, 0.0), 0);
  EXPECT_EQ(RawBoundOf(Metric::kL2, -0.0), 0);
  EXPECT_EQ(RawBoundOf(Metric::kL2, 1.5), int64_t{3} << 31);
  EXPECT_EQ(RawBoundOf(Metric::kL2, 5e-324), 0);
  EXPECT_EQ(RawBoundOf(Metric::kL2, -5e-324), -1);
  EXPECT_EQ(RawBoundOf(Metric::kDot, 1.5), -(int64_t{3} << 31));
  EXPECT_EQ(RawBoundOf(Metric::kDot, 5e-324), -1);
  EXPECT_EQ(RawBoundOf(Metric::kDot, -5e-324), 0);
  EXPECT_EQ(RawBoundOf(Metric::kCosine, 1.0), 0);
  EXPECT_EQ(RawBoundOf(Metric::kCosine, -1.0), int64_t{1} << 34);
  EXPECT_EQ(RawBoundOf(Metric::kCosine, std::nextafter(1.0, 2.0)), -1);
  EXPECT_EQ(RawBoundOf(Metric::kCosine, 5e-324), (int64_t{1} << 33) - 1);
  // Beyond int64: everything passes, or nothing does.
  EXPECT_EQ(RawBoundOf(Metric::kL2, 0x1p31), kMax);
  EXPECT_EQ(RawBoundOf(Metric::kL2, std::nextafter(0x1p31, 0)), kMax - 1023);
  EXPECT_EQ(RawBoundOf(Metric::kL2, -0x1p31), kMin);
  EXPECT_EQ(RawBoundOf(Metric::kDot, -0x1p31), kMax);
  EXPECT_EQ(RawBoundOf(Metric::kCosine, -0x1p30), kMax);
  for (const Metric metric : {Metric::kL2, Metric::kDot, Metric::kCosine}) {
    const double none = metric == Metric::kL2 ? -1 : 1;
    for (const double size : {0x1p32, 1e300, std::numeric_limits<double>::max(), kInfinity}) {
      EXPECT_EQ(RawBoundOf(metric, -none * size), kMax) << size;
      EXPECT_LT(RawBoundOf(metric, none * size).value(), -(int64_t{1} << 62)) << size;
    }
    EXPECT_FALSE(RawBoundOf(metric, std::numeric_limits<double>::quiet_NaN()).has_value());
  }
}

TEST(ConvertThreshold, Kinds) {
  v1::Threshold threshold;
  EXPECT_EQ(DetailsOf(ConvertThreshold(threshold, Metric::kL2, "t").status()).reason,
            "THRESHOLD_EMPTY");
  threshold.set_score(NAN);
  const Details details = DetailsOf(ConvertThreshold(threshold, Metric::kL2, "t").status());
  EXPECT_EQ(details.reason, "THRESHOLD_NAN");
  EXPECT_EQ(details.field, "t.score");
  threshold.set_score(0.5);
  EXPECT_EQ(*ConvertThreshold(threshold, Metric::kCosine, "t"), int64_t{1} << 32);
  threshold.set_distance_raw_max(-17);
  EXPECT_EQ(*ConvertThreshold(threshold, Metric::kDot, "t"), -17);
}

}  // namespace
}  // namespace stele::server
