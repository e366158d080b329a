// If these fail, the admission rule lets a vector in whose distances wrap, or refuses one that it
// promises to take, or the integer helpers under normalisation and pruning are wrong.
#include "index/arithmetic.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

constexpr uint64_t kMax64 = std::numeric_limits<uint64_t>::max();

using Vector = std::vector<int32_t>;

TEST(Admission, ComponentsAreNamedBeforeTheNorm) {
  EXPECT_TRUE(CheckAdmitted(Vector{0, 0, 0}).ok());
  EXPECT_TRUE(CheckAdmitted(Vector{kComponentLimit - 1}).ok());
  EXPECT_TRUE(CheckAdmitted(Vector{1 - kComponentLimit}).ok());
  const Vector bad = {kComponentLimit - 1, kComponentLimit - 1, -kComponentLimit, kComponentLimit};
  EXPECT_EQ(CheckAdmitted(bad), (VectorCheck{VectorFault::kComponentRange, 2}));
  const Vector minimum = {0, std::numeric_limits<int32_t>::min()};
  EXPECT_EQ(CheckAdmitted(minimum), (VectorCheck{VectorFault::kComponentRange, 1}));
}

TEST(Admission, TheNormIsStrictlyBelowTheLimit) {
  // Four squares of 2^29 are 2^60.
  EXPECT_EQ(CheckAdmitted(Vector(4, kComponentLimit / 2)),
            (VectorCheck{VectorFault::kNormRange, 0}));
  const Vector below = {kComponentLimit / 2, -kComponentLimit / 2, kComponentLimit / 2,
                        kComponentLimit / 2 - 1};
  EXPECT_TRUE(CheckAdmitted(below).ok());
  EXPECT_EQ(SquaredNorm(below), kSquaredNormLimit - kComponentLimit + 1);
}

// A check that went on adding would wrap: 16 squares near 2^60 are 2^64, that is 0.
TEST(Admission, NeverWraps) {
  for (uint32_t dimension = 2; dimension <= kDimensionMax; dimension *= 2) {
    for (const int32_t value : {kComponentLimit - 1, 1 - kComponentLimit, kComponentLimit / 2}) {
      const bool admitted = value == kComponentLimit / 2 && dimension == 2;
      EXPECT_EQ(CheckAdmitted(Vector(dimension, value)).ok(), admitted) << dimension;
    }
  }
}

TEST(Admission, BoundPerDimensionIsSharp) {
  for (uint32_t dimension = 2; dimension <= kDimensionMax; dimension *= 2) {
    const int32_t bound = AdmittedBound(dimension);
    EXPECT_TRUE(CheckAdmitted(Vector(dimension, -bound)).ok()) << dimension;
    EXPECT_FALSE(CheckAdmitted(Vector(dimension, bound + 1)).ok()) << dimension;
  }
}

// A number of 32-bit digits, lowest first: long multiplication as done by hand.
std::vector<uint32_t> LongMultiply(std::vector<uint32_t> a, std::vector<uint32_t> b) {
  std::vector<uint32_t> product(a.size() + b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      carry += product[i + j] + uint64_t{a[i]} * b[j];
      product[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    product[i + b.size()] = static_cast<uint32_t>(carry);
  }
  return product;
}

std::vector<uint32_t> Digits(Uint128 value) {
  return {static_cast<uint32_t>(value.low), static_cast<uint32_t>(value.low >> 32),
          static_cast<uint32_t>(value.high), static_cast<uint32_t>(value.high >> 32)};
}

std::vector<uint32_t> Digits(uint64_t value) {
  return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
}

uint64_t RandomOfAnyWidth(TestRandom& random) { return random.Next() >> random.Below(64); }

TEST(Uint128, OrdersByValue) {
  EXPECT_LT((Uint128{0, kMax64}), (Uint128{1, 0}));
  EXPECT_LT((Uint128{1, 5}), (Uint128{1, 6}));
  EXPECT_GT((Uint128{2, 0}), (Uint128{1, kMax64}));
  EXPECT_EQ((Uint128{3, 4}), (Uint128{3, 4}));
}

TEST(Uint128, Adds) {
  EXPECT_EQ(Add({0, kMax64}, {0, 1}), (Uint128{1, 0}));
  EXPECT_EQ(Add({1, kMax64}, {2, kMax64}), (Uint128{4, kMax64 - 1}));
  EXPECT_EQ(Add({kMax64, kMax64}, {0, 1}), (Uint128{0, 0}));
  EXPECT_EQ(Add({7, 8}, {0, 0}), (Uint128{7, 8}));
}

TEST(Uint128, Multiplies) {
  EXPECT_EQ(Multiply(kMax64, kMax64), (Uint128{kMax64 - 1, 1}));
  EXPECT_EQ(Multiply(kMax64, uint64_t{0}), Uint128{});
  TestRandom random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t a = RandomOfAnyWidth(random);
    const uint64_t b = RandomOfAnyWidth(random);
    const Uint128 product = Multiply(a, b);
    ASSERT_EQ(Digits(product), LongMultiply(Digits(a), Digits(b))) << a << " * " << b;

    const uint64_t c = RandomOfAnyWidth(random);
    std::vector<uint32_t> expected = LongMultiply(Digits(product), Digits(c));
    expected.resize(4);
    ASSERT_EQ(Digits(Multiply(product, c)), expected) << a << " * " << b << " * " << c;
  }
}

void ExpectRoots(Uint128 value) {
  const uint64_t floor = FloorSqrt(value);
  EXPECT_LE(Multiply(floor, floor), value);
  if (floor != kMax64) {
    EXPECT_GT(Multiply(floor + 1, floor + 1), value);
  }
  if (value > Multiply(kMax64, kMax64)) return;
  const uint64_t ceiling = CeilSqrt(value);
  EXPECT_GE(Multiply(ceiling, ceiling), value);
  if (ceiling != 0) {
    EXPECT_LT(Multiply(ceiling - 1, ceiling - 1), value);
  }
  if (value.high == 0) {
    EXPECT_EQ(FloorSqrt(value.low), floor);
    EXPECT_EQ(CeilSqrt(value.low), ceiling);
  }
}

TEST(SquareRoot, OfSmallNumbers) {
  for (uint64_t value = 0; value < 70000; ++value) ExpectRoots({0, value});
  EXPECT_EQ(FloorSqrt(uint64_t{99}), 9u);
  EXPECT_EQ(CeilSqrt(uint64_t{99}), 10u);
  EXPECT_EQ(CeilSqrt(uint64_t{100}), 10u);
}

TEST(SquareRoot, AroundSquaresAndAtTheEnds) {
  TestRandom random(2);
  for (int i = 0; i < 5000; ++i) {
    const uint64_t root = RandomOfAnyWidth(random) | 2;
    const Uint128 square = Multiply(root, root);
    ExpectRoots(square);
    ExpectRoots(Add(square, {0, 1}));
    ExpectRoots(Add(square, {kMax64, kMax64}));  // minus one
    ExpectRoots({random.Next() >> random.Below(64), random.Next()});
  }
  ExpectRoots({0, kMax64});
  ExpectRoots({kMax64, kMax64});
  EXPECT_EQ(FloorSqrt(Uint128{kMax64, kMax64}), kMax64);
  EXPECT_EQ(FloorSqrt(kMax64), 0xffffffffu);
  EXPECT_EQ(CeilSqrt(kMax64), uint64_t{1} << 32);
}

}  // namespace
}  // namespace stele::index
