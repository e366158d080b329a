// If these fail, a kernel's distances depend on the processor: two machines would give two answers.
#include "index/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "tests/index/arithmetic_data.h"
#include "tests/index/available_kernels.h"

namespace stele::index {
namespace {

using Vector = std::vector<int32_t>;

// The definitions, with every operation checked for overflow: for admitted vectors none happens.
int64_t ReferenceDot(std::span<const int32_t> a, std::span<const int32_t> b) {
  int64_t sum = 0;
  for (size_t i = a.size(); i-- > 0;) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a[i], b[i], &product)) std::abort();
    if (__builtin_add_overflow(sum, product, &sum)) std::abort();
  }
  return sum;
}

int64_t ReferenceSquaredL2(std::span<const int32_t> a, std::span<const int32_t> b) {
  int64_t sum = 0;
  for (size_t i = a.size(); i-- > 0;) {
    int32_t difference = 0;
    int64_t square = 0;
    if (__builtin_sub_overflow(a[i], b[i], &difference)) std::abort();
    if (__builtin_mul_overflow(difference, difference, &square)) std::abort();
    if (__builtin_add_overflow(sum, square, &sum)) std::abort();
  }
  return sum;
}

// Rows laid out as a kernel reads them. The buffer ends with the last component of the last row, so
// that a sanitizer sees any read past it, and the gaps hold values that would show in a result.
class Table {
 public:
  Table(const std::vector<Vector>& rows, size_t gap, size_t misalignment)
      : stride_(rows[0].size() + gap), misalignment_(misalignment) {
    values_.assign(misalignment + stride_ * (rows.size() - 1) + rows[0].size(), 0x3fffffff);
    for (size_t r = 0; r < rows.size(); ++r) {
      std::copy(rows[r].begin(), rows[r].end(),
                values_.begin() + static_cast<ptrdiff_t>(misalignment + r * stride_));
    }
  }

  const int32_t* rows() const { return values_.data() + misalignment_; }
  size_t stride() const { return stride_; }

 private:
  size_t stride_;
  size_t misalignment_;
  Vector values_;
};

void ExpectExact(const Vector& query, const std::vector<Vector>& rows, size_t gap,
                 size_t misalignment) {
  const auto dimension = static_cast<uint32_t>(query.size());
  const auto row_count = static_cast<uint32_t>(rows.size());
  std::vector<int64_t> squared_l2;
  std::vector<int64_t> dot;
  for (const Vector& row : rows) {
    squared_l2.push_back(ReferenceSquaredL2(query, row));
    dot.push_back(ReferenceDot(query, row));
  }
  const Table table(rows, gap, misalignment);
  for (const Kernels* kernels : AvailableKernels()) {
    SCOPED_TRACE(std::string(kernels->name) + ", dimension " + std::to_string(dimension) +
                 ", rows " + std::to_string(row_count) + ", gap " + std::to_string(gap));
    // One more than is written, to see that no more is written.
    constexpr int64_t kUntouched = -77;
    std::vector<int64_t> out(row_count + 1, kUntouched);
    kernels->squared_l2_rows(query.data(), table.rows(), table.stride(), row_count, dimension,
                             out.data());
    ASSERT_TRUE(std::equal(squared_l2.begin(), squared_l2.end(), out.begin()));
    ASSERT_EQ(out.back(), kUntouched);
    kernels->dot_rows(query.data(), table.rows(), table.stride(), row_count, dimension, out.data());
    ASSERT_TRUE(std::equal(dot.begin(), dot.end(), out.begin()));
    ASSERT_EQ(out.back(), kUntouched);
    for (uint32_t r = 0; r < row_count; ++r) {
      const int32_t* row = table.rows() + r * table.stride();
      ASSERT_EQ(kernels->squared_l2(query.data(), row, dimension), squared_l2[r]);
      ASSERT_EQ(kernels->dot(row, query.data(), dimension), dot[r]);
    }
  }
}

std::vector<uint32_t> Dimensions() {
  std::vector<uint32_t> dimensions;
  for (uint32_t d = 1; d <= 67; ++d) dimensions.push_back(d);
  for (const uint32_t d : {127u, 128u, 384u, 768u, 1023u, 1536u, 4096u, 32768u}) {
    dimensions.push_back(d);
  }
  return dimensions;
}

uint32_t RowCount(TestRandom& random, uint32_t dimension) {
  const uint32_t most = dimension > 4000 ? 5 : 19;
  return 1 + static_cast<uint32_t>(random.Below(most));
}

TEST(Kernels, ExactOnRandomVectorsOfEveryMagnitude) {
  TestRandom random(11);
  for (const uint32_t dimension : Dimensions()) {
    for (int shift = 0; shift<30; shift += dimension> 4000 ? 7 : 1) {
      const int32_t bound = std::max(AdmittedBound(dimension) >> shift, 1);
      const Vector query = RandomVector(random, dimension, bound);
      std::vector<Vector> rows(RowCount(random, dimension));
      for (Vector& row : rows) {
        row = RandomVector(random, dimension, std::max(AdmittedBound(dimension) >> (shift / 2), 1));
      }
      ExpectExact(query, rows, static_cast<size_t>(random.Below(4)),
                  static_cast<size_t>(random.Below(17)));
    }
  }
}

TEST(Kernels, ExactAtTheLimitsOfAdmission) {
  for (const uint32_t dimension : Dimensions()) {
    const int32_t bound = std::min(AdmittedBound(dimension), kComponentLimit - 1);
    Vector alternating(dimension);
    for (uint32_t i = 0; i < dimension; ++i) alternating[i] = i % 2 == 0 ? bound : -bound;
    Vector opposite = alternating;
    for (int32_t& x : opposite) x = -x;
    const Vector all(dimension, bound);
    const Vector none(dimension, 0);
    for (const Vector& v : {alternating, opposite, all}) ASSERT_TRUE(CheckAdmitted(v).ok());
    ExpectExact(alternating, {opposite, alternating, all, none, opposite}, 0, 0);
    ExpectExact(all, {opposite, alternating, all, none}, 3, 1);
  }
}

TEST(Kernels, OneExtremeComponentAtEveryPosition) {
  for (const uint32_t dimension : {1u, 15u, 16u, 17u, 67u, 128u}) {
    for (uint32_t at = 0; at < dimension; ++at) {
      Vector high(dimension, 0);
      Vector low(dimension, 0);
      high[at] = kComponentLimit - 1;
      low[at] = 1 - kComponentLimit;
      ExpectExact(high, {low, high, low}, 0, at % 5);
      const int64_t step = 2 * int64_t{kComponentLimit - 1};
      EXPECT_EQ(BestKernels().squared_l2(high.data(), low.data(), dimension), step * step);
      EXPECT_EQ(BestKernels().dot(high.data(), low.data(), dimension), -(step / 2) * (step / 2));
    }
  }
}

// Integer sums do not depend on the order: permuting the components changes nothing.
TEST(Kernels, TheOrderOfComponentsDoesNotMatter) {
  TestRandom random(12);
  for (const uint32_t dimension : {2u, 31u, 384u, 1023u}) {
    Vector a = RandomVector(random, dimension, AdmittedBound(dimension));
    Vector b = RandomVector(random, dimension, AdmittedBound(dimension));
    const int64_t squared_l2 = ReferenceSquaredL2(a, b);
    const int64_t dot = ReferenceDot(a, b);
    for (int round = 0; round < 20; ++round) {
      for (uint32_t i = dimension - 1; i > 0; --i) {
        const auto j = static_cast<size_t>(random.Below(i + 1));
        std::swap(a[i], a[j]);
        std::swap(b[i], b[j]);
      }
      for (const Kernels* kernels : AvailableKernels()) {
        ASSERT_EQ(kernels->squared_l2(a.data(), b.data(), dimension), squared_l2) << kernels->name;
        ASSERT_EQ(kernels->dot(a.data(), b.data(), dimension), dot) << kernels->name;
      }
    }
  }
}

TEST(Kernels, NoRowsWriteNothing) {
  const Vector query(8, 1);
  int64_t out = 5;
  for (const Kernels* kernels : AvailableKernels()) {
    kernels->squared_l2_rows(query.data(), query.data(), 8, 0, 8, &out);
    kernels->dot_rows(query.data(), query.data(), 8, 0, 8, &out);
    EXPECT_EQ(out, 5);
  }
}

TEST(Kernels, AreFoundByKindAndName) {
  EXPECT_EQ(KernelsOfKind(KernelKind::kScalar), &ScalarKernels());
  for (const Kernels* kernels : AvailableKernels()) {
    EXPECT_EQ(KernelsOfKind(kernels->kind), kernels);
    EXPECT_EQ(KernelsByName(kernels->name), kernels);
  }
  EXPECT_EQ(KernelsByName("sse9"), nullptr);
  EXPECT_EQ(KernelsByName(""), nullptr);
  EXPECT_EQ(KernelsOfKind(BestKernels().kind), &BestKernels());
#if defined(__x86_64__)
  EXPECT_EQ(KernelsByName("neon"), nullptr);
  EXPECT_EQ(KernelsByName("avx512") != nullptr, __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(KernelsByName("avx2") != nullptr, __builtin_cpu_supports("avx2") != 0);
  if (__builtin_cpu_supports("avx512vnni")) {
    EXPECT_STREQ(BestKernels().name, "avx512vnni");
  }
#elif defined(__aarch64__)
  EXPECT_EQ(std::string(BestKernels().name).substr(0, 4), "neon");
#endif
}

}  // namespace
}  // namespace stele::index
