// If these fail, a stored vector is not given back exactly, a kernel reads planes otherwise than
// the scalar one, or a bound rules out a row that may be in the answer.
#include "index/planes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "index/kernels.h"
#include "index/search_bounds.h"
#include "tests/index/arithmetic_data.h"
#include "tests/index/available_kernels.h"

namespace stele::index {
namespace {

using Vector = std::vector<int32_t>;

std::vector<uint32_t> Dimensions() {
  std::vector<uint32_t> dimensions;
  for (uint32_t dimension = 1; dimension <= 67; ++dimension) dimensions.push_back(dimension);
  for (const uint32_t dimension : {96u, 100u, 127u, 128u, 129u, 384u, 768u, 1000u, 1536u}) {
    dimensions.push_back(dimension);
  }
  return dimensions;
}

// A row in planes of exactly its size, so that a sanitizer sees any access beyond.
struct Coded {
  Coded(const Vector& vector, const Vector& mean, const Kernels& kernels)
      : dimension(static_cast<uint32_t>(vector.size())),
        z(size_t{GroupCount(dimension)} * kGroupDimensions) {
    const RowExtent extent =
        kernels.center(vector.data(), mean.empty() ? nullptr : mean.data(), dimension, z.data());
    scale = ScaleOf(extent);
    high.resize(z.size() / 2);
    low.resize(z.size() / 2);
    residual.resize((dimension * BytesOf(scale.width) + 3) / 4);
    code = kernels.encode(z.data(), dimension, extent, scale,
                          {high.data(), low.data(), residual.data()});
  }
  Vector Decoded(const Kernels& kernels) const {
    Vector out(dimension);
    kernels.decode({high.data(), low.data(), residual.data()}, scale, dimension, out.data());
    return out;
  }

  uint32_t dimension;
  Vector z;
  RowScale scale;
  std::vector<uint8_t> high, low;
  std::vector<int32_t> residual;
  RowCode code;
};

// Vectors that stand at the edges of the steps, of the widths and of admission.
std::vector<Vector> Rows(TestRandom& random, uint32_t dimension) {
  std::vector<Vector> rows = {Vector(dimension, 0)};
  const int32_t most = AdmittedBound(dimension);
  for (const int32_t bound :
       {1, 126, 127, 128, 3000, 127 * 253, 127 * 253 + 1, 127 * 40'000, 127 * 40'000 + 1, most}) {
    if (bound > most) continue;
    rows.push_back(RandomVector(random, dimension, bound));
    rows.push_back(Vector(dimension, bound));
    Vector alternating(dimension, bound);
    for (size_t i = 0; i < dimension; i += 2) alternating[i] = -bound;
    rows.push_back(alternating);
    Vector one(dimension, 0);
    one[random.Below(dimension)] = -bound;
    rows.push_back(one);
    Vector outlier = RandomVector(random, dimension, std::max(1, bound / 100));
    outlier[random.Below(dimension)] = bound;
    rows.push_back(outlier);
  }
  std::erase_if(rows, [](const Vector& row) { return !CheckAdmitted(row).ok(); });
  return rows;
}

TEST(PlanesTest, GiveBackWhatTheyHold) {
  TestRandom random(1);
  std::vector<unsigned> seen(kResidualWidths);
  for (const uint32_t dimension : Dimensions()) {
    for (const Vector& row : Rows(random, dimension)) {
      for (const bool centered : {false, true}) {
        const Vector mean =
            centered ? RandomVector(random, dimension, std::min(999, AdmittedBound(dimension)))
                     : Vector();
        const Coded specified(row, mean, ScalarKernels());
        ++seen[static_cast<unsigned>(specified.scale.width)];
        Vector expected = row;
        for (size_t i = 0; i < mean.size(); ++i) expected[i] -= mean[i];
        for (const Kernels* kernels : AvailableKernels()) {
          SCOPED_TRACE(std::string(kernels->name) + " " + std::to_string(dimension));
          const Coded coded(row, mean, *kernels);
          ASSERT_EQ(coded.Decoded(*kernels), expected);
          ASSERT_EQ(coded.high, specified.high);
          ASSERT_EQ(coded.low, specified.low);
          ASSERT_EQ(coded.residual, specified.residual);
          ASSERT_EQ(coded.code.squared_norm, specified.code.squared_norm);
          ASSERT_EQ(coded.code.residual4, specified.code.residual4);
          ASSERT_EQ(coded.code.residual8, specified.code.residual8);
          ASSERT_EQ(coded.code.norm, specified.code.norm);
        }
      }
    }
  }
  for (const unsigned count : seen) EXPECT_GT(count, 100u);
}

// The distances that the planes state are those of the readings that they define.
TEST(PlanesTest, StateHowFarTheirReadingsAre) {
  TestRandom random(2);
  for (const uint32_t dimension : {1u, 5u, 33u, 384u}) {
    for (const Vector& row : Rows(random, dimension)) {
      const Coded coded(row, {}, ScalarKernels());
      if (coded.scale.step == 0) continue;
      uint64_t squares[2] = {};
      for (uint32_t i = 0; i < dimension; ++i) {
        const uint32_t at = i / 32 * 16 + i % 16;
        const int shift = i % 32 < 16 ? 0 : 4;
        const int64_t h = (coded.high[at] >> shift) & 15;
        const int64_t l = (coded.low[at] >> shift) & 15;
        const int64_t off4 = row[i] - int64_t{coded.scale.step} * (16 * h - 120);
        const int64_t off8 = row[i] - int64_t{coded.scale.step} * (16 * h - 128 + l);
        squares[0] += static_cast<uint64_t>(off4 * off4);
        squares[1] += static_cast<uint64_t>(off8 * off8);
      }
      EXPECT_GE(uint64_t{coded.code.residual4} * coded.code.residual4, squares[0]);
      EXPECT_EQ(coded.code.residual8, CeilSqrt(squares[1]));
      EXPECT_EQ(coded.code.norm, CeilSqrt(static_cast<uint64_t>(SquaredNorm(row))));
    }
  }
}

TEST(PlanesTest, NibbleDotsAreTheScalarOnes) {
  TestRandom random(3);
  for (const uint32_t dimension : Dimensions()) {
    const uint32_t groups = GroupCount(dimension);
    for (const uint32_t rows : {1u, 7u, 8u, 9u, 64u}) {
      std::vector<uint8_t> plane(size_t{rows} * groups * kGroupBytes);
      std::vector<int8_t> query(size_t{groups} * kGroupDimensions);
      const bool extreme = random.Below(3) == 0;
      for (uint8_t& byte : plane) byte = extreme ? 0xff : static_cast<uint8_t>(random.Next());
      for (int8_t& code : query) {
        code = static_cast<int8_t>(extreme ? (rows == 8 ? -127 : 127) : random.Within(127));
      }
      std::vector<int32_t> expected(rows);
      for (uint32_t row = 0; row < rows; ++row) {
        for (uint32_t i = 0; i < groups * kGroupBytes; ++i) {
          const uint8_t byte = plane[size_t{row} * groups * kGroupBytes + i];
          expected[row] += (byte & 15) * query[i] + (byte >> 4) * query[groups * kGroupBytes + i];
        }
      }
      for (const Kernels* kernels : AvailableKernels()) {
        std::vector<int32_t> dots(rows, 7);
        kernels->nibble_dots(query.data(), plane.data(), groups, rows, dots.data());
        ASSERT_EQ(dots, expected) << kernels->name << " " << dimension;
      }
    }
  }
}

TEST(PlanesTest, TileDotsAreTheScalarOnes) {
  TestRandom random(6);
  for (const uint32_t dimension : Dimensions()) {
    const uint32_t groups = GroupCount(dimension);
    std::vector<uint8_t> plane(size_t{64} * groups * kGroupBytes);
    for (uint8_t& byte : plane) byte = static_cast<uint8_t>(random.Next());
    const uint32_t count = 1 + static_cast<uint32_t>(random.Below(40));
    const size_t code_bytes = TileCodeBytes(groups);
    std::vector<int8_t> codes((count + kTileSlack) * code_bytes);
    for (size_t q = 0; q < count; ++q) {
      for (size_t i = 0; i < groups * kGroupDimensions; ++i) {
        codes[q * code_bytes + i] = static_cast<int8_t>(random.Within(127));
      }
    }
    const uint64_t mask = random.Below(2) == 0 ? ~uint64_t{0} : random.Next();
    std::vector<int32_t> expected(size_t{count} * 64);
    for (uint32_t q = 0; q < count; ++q) {
      ScalarKernels().nibble_dots(&codes[q * code_bytes], plane.data(), groups, 64,
                                  &expected[q * 64]);
      for (uint32_t row = 0; row < 64; ++row) {
        if ((mask >> row & 1) == 0) expected[q * 64 + row] = 0;
      }
    }
    for (const Kernels* kernels : AvailableKernels()) {
      if (kernels->fill_tile == nullptr) continue;
      std::vector<uint8_t> tile(TileBytes(groups));
      std::vector<int32_t> dots(expected.size() + kTileSlack * 64);
      kernels->fill_tile(plane.data(), groups, mask, tile.data());
      kernels->tile_dots(tile.data(), codes.data(), count, groups, dots.data());
      dots.resize(expected.size());
      ASSERT_EQ(dots, expected) << kernels->name << " " << dimension;
    }
  }
}

TEST(PlanesTest, KeepRowsComparesExactly) {
  TestRandom random(4);
  for (int round = 0; round < 500; ++round) {
    int64_t norms[64];
    uint32_t steps[64];
    uint32_t residuals[64];
    int32_t dots[64];
    BoundTerms terms;
    terms.base = static_cast<int64_t>(random.Below(uint64_t{1} << 58)) - (int64_t{1} << 57);
    terms.scale = static_cast<int32_t>(random.Below(1u << 20));
    terms.offset = random.Within(1 << 28);
    terms.reach = static_cast<uint32_t>(random.Below(1u << 28));
    terms.with_norms = random.Below(2) == 0;
    int64_t bounds[64];
    for (size_t row = 0; row < 64; ++row) {
      norms[row] = static_cast<int64_t>(random.Below(uint64_t{1} << 62));
      steps[row] = static_cast<uint32_t>(random.Below(1u << (1 + random.Below(10))));
      residuals[row] = static_cast<uint32_t>(random.Next() >> 33);
      dots[row] = random.Within(62'000'000);
      bounds[row] = (terms.with_norms ? norms[row] : 0) + terms.base -
                    int64_t{terms.scale} * (int64_t{steps[row]} * (16 * dots[row] - terms.offset)) -
                    int64_t{terms.reach} * residuals[row];
    }
    terms.limit = bounds[random.Below(64)] - static_cast<int64_t>(random.Below(2));
    uint64_t expected = 0;
    for (size_t row = 0; row < 64; ++row) {
      expected |= uint64_t{bounds[row] <= terms.limit} << row;
    }
    for (const Kernels* kernels : AvailableKernels()) {
      ASSERT_EQ(kernels->keep_rows(terms, norms, steps, residuals, dots), expected)
          << kernels->name;
    }
  }
}

// For every row, metric and mean: with the row's own distance as the limit it is kept, at both
// levels.
class BoundsTest : public testing::TestWithParam<Metric> {
 protected:
  // Whether the row is kept at both levels with the limit.
  std::pair<bool, bool> Kept(const Coded& row, const CodedQuery& query, int64_t limit) {
    const Kernels& kernels = ScalarKernels();
    const uint32_t groups = GroupCount(row.dimension);
    int32_t high_dot[64] = {};
    int32_t low_dot = 0;
    kernels.nibble_dots(query.codes().data(), row.high.data(), groups, 1, high_dot);
    kernels.nibble_dots(query.codes().data(), row.low.data(), groups, 1, &low_dot);
    int64_t norms[64] = {row.code.squared_norm};
    uint32_t steps[64] = {row.scale.step};
    uint32_t residuals[64] = {row.code.residual4};
    const uint64_t kept =
        kernels.keep_rows(query.Terms4(row.code.norm, limit), norms, steps, residuals, high_dot);
    return {(kept & 1) != 0, query.LeastDistance8(row.code, high_dot[0], low_dot) <= limit};
  }
};

TEST_P(BoundsTest, KeepEveryRowAtItsOwnDistance) {
  TestRandom random(5);
  uint64_t ruled_out[2] = {};
  uint64_t tried = 0;
  for (const uint32_t dimension : {1u, 2u, 31u, 33u, 100u, 384u}) {
    const std::vector<Vector> rows = Rows(random, dimension);
    for (int round = 0; round < 12; ++round) {
      const Vector mean = round % 3 == 0 ? Vector() : rows[random.Below(rows.size())];
      Vector query = rows[random.Below(rows.size())];
      if (round % 2 == 0) query = RandomVector(random, dimension, 4000);
      const CodedQuery coded(query, mean.empty() ? nullptr : mean.data(), GetParam(),
                             ScalarKernels());
      for (const Vector& vector : rows) {
        const Coded row(vector, mean, ScalarKernels());
        const int64_t distance =
            GetParam() == Metric::kDot
                ? -ScalarKernels().dot(query.data(), vector.data(), dimension)
                : ScalarKernels().squared_l2(query.data(), vector.data(), dimension);
        ASSERT_EQ(coded.Distance(row.z.data()), distance);
        if (!coded.coded()) continue;
        const auto [kept4, kept8] = Kept(row, coded, distance);
        ASSERT_TRUE(kept4) << dimension;
        ASSERT_TRUE(kept8) << dimension;
        ++tried;
        const int64_t nearer = distance - std::abs(distance) / 4 - 1;
        const auto [near4, near8] = Kept(row, coded, nearer);
        ruled_out[0] += near4 ? 0u : 1u;
        ruled_out[1] += near8 ? 0u : 1u;
      }
    }
  }
  // And they do rule out.
  EXPECT_GT(ruled_out[0], tried / 20);
  EXPECT_GT(ruled_out[1], tried / 4);
}

// In one dimension Cauchy-Schwarz is an equality, so an error of one in a bound shows.
TEST_P(BoundsTest, AreTightInOneDimension) {
  uint64_t exact = 0;
  for (int32_t y = -600; y <= 600; y += y < -130 || y >= 130 ? 47 : 1) {
    const CodedQuery query(Vector{y}, nullptr, GetParam(), ScalarKernels());
    for (int32_t z = -600; z <= 600; z += z < -130 || z >= 130 ? 31 : 1) {
      const Coded row(Vector{z}, {}, ScalarKernels());
      const int64_t distance =
          GetParam() == Metric::kDot ? -int64_t{y} * z : int64_t{y - z} * (y - z);
      const auto [kept4, kept8] = Kept(row, query, distance);
      ASSERT_TRUE(kept4 && kept8) << y << " " << z;
      const auto [near4, near8] = Kept(row, query, distance - 1);
      exact += near4 ? 0u : 1u;
      exact += near8 ? 0u : 1u;
    }
  }
  EXPECT_GT(exact, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Metrics, BoundsTest,
                         testing::Values(Metric::kL2, Metric::kDot, Metric::kCosine));

}  // namespace
}  // namespace stele::index
