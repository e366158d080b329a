// AVX2: eight components at a time. vpmuldq multiplies the even 32-bit lanes into 64-bit products;
// the odd lanes are moved down for a second multiplication. Rows are taken four at a time while the
// next four are prefetched, as in kernels_avx512.cc.
#include "index/kernels.h"
#include "index/plane_loops.h"

#if defined(__x86_64__) || defined(__i386__)

#include <immintrin.h>

#define STELE_AVX2 __attribute__((target("avx2")))

namespace stele::index {
namespace {

constexpr uint32_t kLanes = 8;

STELE_AVX2 inline __m256i Load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// All ones in the first `count` lanes, for `count` below kLanes.
STELE_AVX2 inline __m256i TailMask(uint32_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}

STELE_AVX2 inline int64_t Sum(__m256i sums) {
  alignas(32) int64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Running sums of the even and the odd lanes.
struct Sums {
  __m256i even;
  __m256i odd;
};

struct SquaredL2 {
  STELE_AVX2 static inline void Step(__m256i a, __m256i b, Sums* sums) {
    const __m256i even = _mm256_sub_epi32(a, b);
    const __m256i odd = _mm256_srli_epi64(even, 32);
    sums->even = _mm256_add_epi64(sums->even, _mm256_mul_epi32(even, even));
    sums->odd = _mm256_add_epi64(sums->odd, _mm256_mul_epi32(odd, odd));
  }
};

struct Dot {
  STELE_AVX2 static inline void Step(__m256i a, __m256i b, Sums* sums) {
    const __m256i a_odd = _mm256_shuffle_epi32(a, 0xf5);
    const __m256i b_odd = _mm256_srli_epi64(b, 32);
    sums->even = _mm256_add_epi64(sums->even, _mm256_mul_epi32(a, b));
    sums->odd = _mm256_add_epi64(sums->odd, _mm256_mul_epi32(a_odd, b_odd));
  }
};

template <typename Metric>
STELE_AVX2 int64_t Pair(const int32_t* a, const int32_t* b, uint32_t dimension) {
  const __m256i zero = _mm256_setzero_si256();
  Sums first = {zero, zero};
  Sums second = {zero, zero};
  uint32_t i = 0;
  for (; i + 2 * kLanes <= dimension; i += 2 * kLanes) {
    Metric::Step(Load(a + i), Load(b + i), &first);
    Metric::Step(Load(a + i + kLanes), Load(b + i + kLanes), &second);
  }
  if (i + kLanes <= dimension) {
    Metric::Step(Load(a + i), Load(b + i), &first);
    i += kLanes;
  }
  if (i < dimension) {
    const __m256i mask = TailMask(dimension - i);
    Metric::Step(_mm256_maskload_epi32(a + i, mask), _mm256_maskload_epi32(b + i, mask), &second);
  }
  return Sum(_mm256_add_epi64(_mm256_add_epi64(first.even, first.odd),
                              _mm256_add_epi64(second.even, second.odd)));
}

// `ahead` components beyond each row is what comes next and is prefetched.
template <typename Metric>
STELE_AVX2 void FourRows(const int32_t* query, const int32_t* rows, size_t stride,
                         uint32_t dimension, size_t ahead, int64_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  const int32_t* row[4] = {rows, rows + stride, rows + 2 * stride, rows + 3 * stride};
  Sums sums[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
  uint32_t i = 0;
  for (; i + kLanes <= dimension; i += kLanes) {
    const __m256i q = Load(query + i);
    for (int r = 0; r < 4; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(row[r] + ahead + i), _MM_HINT_T0);
      Metric::Step(q, Load(row[r] + i), &sums[r]);
    }
  }
  if (i < dimension) {
    const __m256i mask = TailMask(dimension - i);
    const __m256i q = _mm256_maskload_epi32(query + i, mask);
    for (int r = 0; r < 4; ++r) {
      Metric::Step(q, _mm256_maskload_epi32(row[r] + i, mask), &sums[r]);
    }
  }
  for (int r = 0; r < 4; ++r) out[r] = Sum(_mm256_add_epi64(sums[r].even, sums[r].odd));
}

template <typename Metric>
STELE_AVX2 void Rows(const int32_t* query, const int32_t* rows, size_t stride, uint32_t row_count,
                     uint32_t dimension, int64_t* out) {
  uint32_t r = 0;
  for (; r + 4 <= row_count; r += 4) {
    const size_t ahead = row_count - r >= 8 ? 4 * stride : 0;
    FourRows<Metric>(query, rows + r * stride, stride, dimension, ahead, out + r);
  }
  for (; r < row_count; ++r) out[r] = Pair<Metric>(query, rows + r * stride, dimension);
}

STELE_PLANE_LOOPS(Loops, "avx2");

// Sums of pairs of products, of 32 bytes of a nibble plane with two codes a byte. vpmaddubsw adds
// two products into 16 bits: at most 2 * 15 * 127, so eight of them still fit.
STELE_AVX2 inline __m256i NibblePairs(__m256i nibbles, const int8_t* low, const int8_t* high) {
  const __m256i mask = _mm256_set1_epi8(15);
  const __m256i q_low = Load(low);
  const __m256i q_high = Load(high);
  return _mm256_add_epi16(
      _mm256_maddubs_epi16(_mm256_and_si256(nibbles, mask), q_low),
      _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(nibbles, 4), mask), q_high));
}

STELE_AVX2 int32_t NibbleDot(const int8_t* query, const uint8_t* row, uint32_t groups) {
  const uint32_t bytes = groups * kGroupBytes;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums = _mm256_setzero_si256();
  uint32_t i = 0;
  while (i + 32 <= bytes) {
    __m256i pairs = _mm256_setzero_si256();
    for (int step = 0; step < 4 && i + 32 <= bytes; ++step, i += 32) {
      const __m256i nibbles = Load(row + i);
      pairs = _mm256_add_epi16(pairs, NibblePairs(nibbles, query + i, query + bytes + i));
    }
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
  }
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  if (i < bytes) {
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i nibbles = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
    const __m128i q_low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(query + i));
    const __m128i q_high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(query + bytes + i));
    const __m128i pairs =
        _mm_add_epi16(_mm_maddubs_epi16(_mm_and_si128(nibbles, mask), q_low),
                      _mm_maddubs_epi16(_mm_and_si128(_mm_srli_epi16(nibbles, 4), mask), q_high));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
  }
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}

// A tile holds every row's low nibbles as bytes, then its high ones: as a query's codes stand.
STELE_AVX2 void FillTile(const uint8_t* rows, uint32_t groups, uint64_t rows_mask, uint8_t* tile) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  const __m128i mask = _mm_set1_epi8(15);
  for (size_t row = 0; row < 64; ++row, rows += bytes, tile += 2 * bytes) {
    if ((rows_mask >> row & 1) == 0) {
      std::memset(tile, 0, 2 * bytes);
      continue;
    }
    for (size_t i = 0; i < bytes; i += kGroupBytes) {
      const __m128i nibbles = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + i));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(tile + i), _mm_and_si128(nibbles, mask));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(tile + bytes + i),
                       _mm_and_si128(_mm_srli_epi16(nibbles, 4), mask));
    }
  }
}

// The totals of four sums of eight lanes.
STELE_AVX2 inline __m128i Totals(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

// Two rows with four queries, out[4 row + query]. The sums are named one by one: g++ 12 keeps an
// array of them in memory. A 16-bit sum takes eight steps of at most 2 * 15 * 127.
#define STELE_EACH_QUERY(DO) DO(0) DO(1) DO(2) DO(3)
#define STELE_TILE_SUMS(q) __m256i sum##q##a = zero, sum##q##b = zero;
#define STELE_TILE_PAIRS(q) __m256i pairs##q##a = zero, pairs##q##b = zero;
#define STELE_TILE_STEP(q)                                                      \
  {                                                                             \
    const __m256i word = Load(codes + q * stride + i);                          \
    pairs##q##a = _mm256_add_epi16(pairs##q##a, _mm256_maddubs_epi16(a, word)); \
    pairs##q##b = _mm256_add_epi16(pairs##q##b, _mm256_maddubs_epi16(b, word)); \
  }
#define STELE_TILE_FLUSH(q)                                                      \
  sum##q##a = _mm256_add_epi32(sum##q##a, _mm256_madd_epi16(pairs##q##a, ones)); \
  sum##q##b = _mm256_add_epi32(sum##q##b, _mm256_madd_epi16(pairs##q##b, ones));

STELE_AVX2 void TwoRows(const uint8_t* row_a, const uint8_t* row_b, const int8_t* codes,
                        size_t stride, size_t length, int32_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i ones = _mm256_set1_epi16(1);
  STELE_EACH_QUERY(STELE_TILE_SUMS)
  for (size_t i = 0; i < length;) {
    STELE_EACH_QUERY(STELE_TILE_PAIRS)
    for (const size_t end = std::min(i + 8 * 32, length); i < end; i += 32) {
      const __m256i a = Load(row_a + i);
      const __m256i b = Load(row_b + i);
      STELE_EACH_QUERY(STELE_TILE_STEP)
    }
    STELE_EACH_QUERY(STELE_TILE_FLUSH)
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), Totals(sum0a, sum1a, sum2a, sum3a));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4), Totals(sum0b, sum1b, sum2b, sum3b));
}

#undef STELE_TILE_FLUSH
#undef STELE_TILE_STEP
#undef STELE_TILE_PAIRS
#undef STELE_TILE_SUMS
#undef STELE_EACH_QUERY

STELE_AVX2 void TileDots(const uint8_t* tile, const int8_t* codes, uint32_t query_count,
                         uint32_t groups, int32_t* out) {
  static_assert(3 <= kTileSlack);
  const size_t length = size_t{groups} * 2 * kGroupBytes;
  const size_t stride = TileCodeBytes(groups);
  for (uint32_t q = 0; q < query_count; q += 4) {
    for (uint32_t row = 0; row < 64; row += 2) {
      int32_t sums[8];
      TwoRows(tile + row * length, tile + (row + 1) * length, codes + q * stride, stride, length,
              sums);
      for (uint32_t i = 0; i < 4; ++i) {
        out[(q + i) * 64 + row] = sums[i];
        out[(q + i) * 64 + row + 1] = sums[4 + i];
      }
    }
  }
}

constexpr Kernels kKernels = {
    .kind = KernelKind::kAvx2,
    .name = "avx2",
    .squared_l2_rows = Rows<SquaredL2>,
    .dot_rows = Rows<Dot>,
    .squared_l2 = Pair<SquaredL2>,
    .dot = Pair<Dot>,
    .nibble_dots = internal::NibbleDotsAvx2,
    .fill_tile = FillTile,
    .tile_dots = TileDots,
    .keep_rows = Loops::KeepRows,
    .center = Loops::Center,
    .encode = Loops::Encode,
    .decode = Loops::Decode,
};

}  // namespace

STELE_AVX2 void internal::NibbleDotsAvx2(const int8_t* query, const uint8_t* rows, uint32_t groups,
                                         uint32_t row_count, int32_t* out) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  for (uint32_t r = 0; r < row_count; ++r, rows += bytes) {
    for (size_t i = 0; i < bytes; i += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(rows + i + kPrefetchNear), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(rows + i + kPrefetchFar), _MM_HINT_T1);
    }
    out[r] = NibbleDot(query, rows, groups);
  }
}

const Kernels* internal::Avx2Kernels() {
  return __builtin_cpu_supports("avx2") ? &kKernels : nullptr;
}

}  // namespace stele::index

#else

const stele::index::Kernels* stele::index::internal::Avx2Kernels() { return nullptr; }

#endif
