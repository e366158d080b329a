// NEON (every AArch64 processor has it): eight components at a time, widening multiply-accumulate.
#include "index/kernels.h"
#include "index/plane_loops.h"

#if defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>
#include <sys/auxv.h>

#define STELE_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))

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

// Sixteen bytes of a nibble plane: the low and the high four bits.
struct Nibbles {
  int8x16_t low;
  int8x16_t high;
};

inline Nibbles LoadNibbles(const uint8_t* from) {
  const uint8x16_t bytes = vld1q_u8(from);
  return {vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))),
          vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4))};
}

void NibbleDots(const int8_t* query, const uint8_t* rows, uint32_t groups, uint32_t row_count,
                int32_t* out) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  for (uint32_t r = 0; r < row_count; ++r, rows += bytes) {
    int32x4_t sums = vdupq_n_s32(0);
    for (size_t i = 0; i < bytes; i += kGroupBytes) {
      const Nibbles nibbles = LoadNibbles(rows + i);
      const int8x16_t low = vld1q_s8(query + i);
      const int8x16_t high = vld1q_s8(query + bytes + i);
      // Four products of at most 15 * 127 fit in 16 bits.
      int16x8_t pairs = vmull_s8(vget_low_s8(nibbles.low), vget_low_s8(low));
      pairs = vmlal_high_s8(pairs, nibbles.low, low);
      pairs = vmlal_s8(pairs, vget_low_s8(nibbles.high), vget_low_s8(high));
      pairs = vmlal_high_s8(pairs, nibbles.high, high);
      sums = vpadalq_s16(sums, pairs);
    }
    out[r] = vaddvq_s32(sums);
  }
}

STELE_DOTPROD void NibbleDotsDotprod(const int8_t* query, const uint8_t* rows, uint32_t groups,
                                     uint32_t row_count, int32_t* out) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  for (uint32_t r = 0; r < row_count; ++r, rows += bytes) {
    int32x4_t low = vdupq_n_s32(0);
    int32x4_t high = vdupq_n_s32(0);
    for (size_t i = 0; i < bytes; i += kGroupBytes) {
      const uint8x16_t nibbles = vld1q_u8(rows + i);
      low = vdotq_s32(low, vreinterpretq_s8_u8(vandq_u8(nibbles, vdupq_n_u8(15))),
                      vld1q_s8(query + i));
      high =
          vdotq_s32(high, vreinterpretq_s8_u8(vshrq_n_u8(nibbles, 4)), vld1q_s8(query + bytes + i));
    }
    out[r] = vaddvq_s32(vaddq_s32(low, high));
  }
}

constexpr Kernels Table(KernelKind kind, const char* name, NibbleDotsFunction nibble_dots) {
  return {
      .kind = kind,
      .name = name,
      .squared_l2_rows = Rows<SquaredL2>,
      .dot_rows = Rows<Dot>,
      .squared_l2 = Pair<SquaredL2>,
      .dot = Pair<Dot>,
      .nibble_dots = nibble_dots,
      .fill_tile = nullptr,
      .tile_dots = nullptr,
      .keep_rows = loops::KeepRows,
      .center = loops::Center,
      .encode = loops::Encode,
      .decode = loops::Decode,
  };
}

constexpr Kernels kKernels = Table(KernelKind::kNeon, "neon", NibbleDots);
constexpr Kernels kDotprodKernels = Table(KernelKind::kNeonDot, "neondot", NibbleDotsDotprod);

}  // namespace

const Kernels* internal::NeonKernels() { return &kKernels; }

const Kernels* internal::NeonDotKernels() {
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 ? &kDotprodKernels : nullptr;
}

}  // namespace stele::index

#else

const stele::index::Kernels* stele::index::internal::NeonKernels() { return nullptr; }
const stele::index::Kernels* stele::index::internal::NeonDotKernels() { return nullptr; }

#endif
