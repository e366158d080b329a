// NEON (every AArch64 processor has it): eight components at a time, widening multiply-accumulate.
#include "index/kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>

namespace stele::index {
namespace {

// Running sums of the low and the high half of each vector of four.
struct Sums {
  int64x2_t low;
  int64x2_t high;
};

struct SquaredL2 {
  static inline void Step(int32x4_t a, int32x4_t b, Sums* sums) {
    const int32x4_t difference = vsubq_s32(a, b);
    const int32x2_t low = vget_low_s32(difference);
    sums->low = vmlal_s32(sums->low, low, low);
    sums->high = vmlal_high_s32(sums->high, difference, difference);
  }
  static inline int64_t One(int32_t a, int32_t b) { return int64_t{a - b} * (a - b); }
};

struct Dot {
  static inline void Step(int32x4_t a, int32x4_t b, Sums* sums) {
    sums->low = vmlal_s32(sums->low, vget_low_s32(a), vget_low_s32(b));
    sums->high = vmlal_high_s32(sums->high, a, b);
  }
  static inline int64_t One(int32_t a, int32_t b) { return int64_t{a} * b; }
};

template <typename Metric>
int64_t Pair(const int32_t* a, const int32_t* b, uint32_t dimension) {
  const int64x2_t zero = vdupq_n_s64(0);
  Sums first = {zero, zero};
  Sums second = {zero, zero};
  uint32_t i = 0;
  for (; i + 8 <= dimension; i += 8) {
    Metric::Step(vld1q_s32(a + i), vld1q_s32(b + i), &first);
    Metric::Step(vld1q_s32(a + i + 4), vld1q_s32(b + i + 4), &second);
  }
  int64_t sum =
      vaddvq_s64(vaddq_s64(vaddq_s64(first.low, first.high), vaddq_s64(second.low, second.high)));
  for (; i < dimension; ++i) sum += Metric::One(a[i], b[i]);
  return sum;
}

template <typename Metric>
void Rows(const int32_t* query, const int32_t* rows, size_t stride, uint32_t row_count,
          uint32_t dimension, int64_t* out) {
  for (uint32_t r = 0; r < row_count; ++r) {
    out[r] = Pair<Metric>(query, rows + r * stride, dimension);
  }
}

constexpr Kernels kKernels = {KernelKind::kNeon, "neon",          Rows<SquaredL2>,
                              Rows<Dot>,         Pair<SquaredL2>, Pair<Dot>};

}  // namespace

const Kernels* internal::NeonKernels() { return &kKernels; }

}  // namespace stele::index

#else

const stele::index::Kernels* stele::index::internal::NeonKernels() { return nullptr; }

#endif
