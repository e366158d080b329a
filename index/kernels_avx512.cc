// AVX-512F: sixteen components at a time. vpmuldq multiplies the even 32-bit lanes into 64-bit
// products; the odd lanes are moved down for a second multiplication. Rows are taken four at a
// time: independent sums hide the latencies, and the query is loaded once for four rows. Meanwhile
// the next four rows are prefetched, column by column: the processor's own prefetching stops at
// page boundaries and alone reaches only two thirds of the memory bandwidth on rows of 384. The
// last components of a row come by masked loads, which touch no byte outside it.
#include "index/kernels.h"

#if defined(__x86_64__) || defined(__i386__)

// g++ 12 takes the deliberately undefined operands inside its own intrinsics for mistakes of ours
// (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#define STELE_AVX512 __attribute__((target("avx512f")))

namespace stele::index {
namespace {

constexpr uint32_t kLanes = 16;

// Running sums of the even and the odd lanes.
struct Sums {
  __m512i even;
  __m512i odd;
};

STELE_AVX512 inline Sums Zero() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }

STELE_AVX512 inline int64_t Total(const Sums& sums) {
  return _mm512_reduce_add_epi64(_mm512_add_epi64(sums.even, sums.odd));
}

struct SquaredL2 {
  STELE_AVX512 static inline void Step(__m512i a, __m512i b, Sums* sums) {
    const __m512i even = _mm512_sub_epi32(a, b);
    const __m512i odd = _mm512_srli_epi64(even, 32);
    sums->even = _mm512_add_epi64(sums->even, _mm512_mul_epi32(even, even));
    sums->odd = _mm512_add_epi64(sums->odd, _mm512_mul_epi32(odd, odd));
  }
};

struct Dot {
  STELE_AVX512 static inline void Step(__m512i a, __m512i b, Sums* sums) {
    const __m512i a_odd = _mm512_srli_epi64(a, 32);
    const __m512i b_odd = _mm512_srli_epi64(b, 32);
    sums->even = _mm512_add_epi64(sums->even, _mm512_mul_epi32(a, b));
    sums->odd = _mm512_add_epi64(sums->odd, _mm512_mul_epi32(a_odd, b_odd));
  }
};

STELE_AVX512 inline __mmask16 TailMask(uint32_t count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

template <typename Metric>
STELE_AVX512 int64_t Pair(const int32_t* a, const int32_t* b, uint32_t dimension) {
  Sums first = Zero();
  Sums second = Zero();
  uint32_t i = 0;
  for (; i + 2 * kLanes <= dimension; i += 2 * kLanes) {
    Metric::Step(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), &first);
    Metric::Step(_mm512_loadu_si512(a + i + kLanes), _mm512_loadu_si512(b + i + kLanes), &second);
  }
  if (i + kLanes <= dimension) {
    Metric::Step(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i), &first);
    i += kLanes;
  }
  if (i < dimension) {
    const __mmask16 mask = TailMask(dimension - i);
    Metric::Step(_mm512_maskz_loadu_epi32(mask, a + i), _mm512_maskz_loadu_epi32(mask, b + i),
                 &second);
  }
  return Total(first) + Total(second);
}

// `ahead` components beyond each row is what comes next and is prefetched.
template <typename Metric>
STELE_AVX512 void FourRows(const int32_t* query, const int32_t* rows, size_t stride,
                           uint32_t dimension, size_t ahead, int64_t* out) {
  const int32_t* row[4] = {rows, rows + stride, rows + 2 * stride, rows + 3 * stride};
  Sums sums[4] = {Zero(), Zero(), Zero(), Zero()};
  uint32_t i = 0;
  for (; i + kLanes <= dimension; i += kLanes) {
    const __m512i q = _mm512_loadu_si512(query + i);
    for (int r = 0; r < 4; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(row[r] + ahead + i), _MM_HINT_T0);
      Metric::Step(q, _mm512_loadu_si512(row[r] + i), &sums[r]);
    }
  }
  if (i < dimension) {
    const __mmask16 mask = TailMask(dimension - i);
    const __m512i q = _mm512_maskz_loadu_epi32(mask, query + i);
    for (int r = 0; r < 4; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(row[r] + ahead + i), _MM_HINT_T0);
      Metric::Step(q, _mm512_maskz_loadu_epi32(mask, row[r] + i), &sums[r]);
    }
  }
  for (int r = 0; r < 4; ++r) out[r] = Total(sums[r]);
}

template <typename Metric>
STELE_AVX512 void Rows(const int32_t* query, const int32_t* rows, size_t stride, uint32_t row_count,
                       uint32_t dimension, int64_t* out) {
  uint32_t r = 0;
  for (; r + 4 <= row_count; r += 4) {
    const size_t ahead = row_count - r >= 8 ? 4 * stride : 0;
    FourRows<Metric>(query, rows + r * stride, stride, dimension, ahead, out + r);
  }
  for (; r < row_count; ++r) out[r] = Pair<Metric>(query, rows + r * stride, dimension);
}

constexpr Kernels kKernels = {KernelKind::kAvx512, "avx512",        Rows<SquaredL2>,
                              Rows<Dot>,           Pair<SquaredL2>, Pair<Dot>};

}  // namespace

const Kernels* internal::Avx512Kernels() {
  return __builtin_cpu_supports("avx512f") ? &kKernels : nullptr;
}

}  // namespace stele::index

#else

const stele::index::Kernels* stele::index::internal::Avx512Kernels() { return nullptr; }

#endif
