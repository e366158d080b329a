// AVX-512F: sixteen components at a time. vpmuldq multiplies the even 32-bit lanes into 64-bit
// products; the odd lanes are moved down for a second multiplication. Rows are taken four at a
// time: independent sums hide the latencies, and the query is loaded once for four rows. Meanwhile
// the next four rows are prefetched, column by column: the processor's own prefetching stops at
// page boundaries and alone reaches only two thirds of the memory bandwidth on rows of 384. The
// last components of a row come by masked loads, which touch no byte outside it.
#include "index/kernels.h"
#include "index/plane_loops.h"

#if defined(__x86_64__) || defined(__i386__)

// g++ 12 takes the deliberately undefined operands inside its own intrinsics for mistakes of ours
// (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#define STELE_AVX512 __attribute__((target("avx512f")))
// Every processor with VNNI has the others, too.
#define STELE_VNNI_UNITS "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define STELE_VNNI __attribute__((target(STELE_VNNI_UNITS)))

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

STELE_PLANE_LOOPS(Loops, "avx512f");
STELE_PLANE_LOOPS(VnniLoops, STELE_VNNI_UNITS);

STELE_VNNI inline __m512i Widened(const uint32_t* from) {
  return _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

STELE_VNNI uint64_t KeepRowsVnni(const BoundTerms& terms, const int64_t* squared_norms,
                                 const uint32_t* steps, const uint32_t* residuals,
                                 const int32_t* dots) {
  const __m512i base = _mm512_set1_epi64(terms.base);
  const __m512i limit = _mm512_set1_epi64(terms.limit);
  const __m512i scale = _mm512_set1_epi64(terms.scale);
  const __m512i reach = _mm512_set1_epi64(terms.reach);
  const __m512i offset = _mm512_set1_epi64(terms.offset);
  uint64_t keep = 0;
  for (unsigned row = 0; row < 64; row += 8) {
    const __m512i dot =
        _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(dots + row)));
    const __m512i code = _mm512_sub_epi64(_mm512_slli_epi64(dot, 4), offset);
    const __m512i product = _mm512_mul_epi32(Widened(steps + row), code);
    __m512i bound = base;
    if (terms.with_norms) {
      bound = _mm512_add_epi64(bound, _mm512_loadu_si512(squared_norms + row));
    }
    bound = _mm512_sub_epi64(bound, _mm512_mullo_epi64(product, scale));
    bound = _mm512_sub_epi64(bound, _mm512_mul_epu32(Widened(residuals + row), reach));
    keep |= uint64_t{_mm512_cmple_epi64_mask(bound, limit)} << row;
  }
  return keep;
}

// vpdpbusd multiplies unsigned by signed bytes and adds four products to each 32-bit lane; nibbles
// are the unsigned ones.
STELE_VNNI inline __m512i NibbleStep(__m512i sum, __m512i nibbles, __m512i low, __m512i high) {
  const __m512i mask = _mm512_set1_epi8(15);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(nibbles, mask), low);
  return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(nibbles, 4), mask), high);
}

// Four sums of 16 lanes each.
STELE_VNNI inline __m128i TransposedTotals(const __m512i* sums) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]),
                                      _mm512_unpackhi_epi32(sums[0], sums[1]));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]),
                                      _mm512_unpackhi_epi32(sums[2], sums[3]));
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

template <int kRows>
STELE_VNNI inline void NibbleRows(const int8_t* query, const uint8_t* rows, size_t bytes,
                                  __m512i* sums) {
  for (int r = 0; r < kRows; ++r) sums[r] = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    const __m512i low = _mm512_loadu_si512(query + i);
    const __m512i high = _mm512_loadu_si512(query + bytes + i);
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows + static_cast<size_t>(r) * bytes + i;
      if (kRows > 1) {
        _mm_prefetch(reinterpret_cast<const char*>(from + internal::kPrefetchNear), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(from + internal::kPrefetchFar), _MM_HINT_T1);
      }
      sums[r] = NibbleStep(sums[r], _mm512_loadu_si512(from), low, high);
    }
  }
  if (i < bytes) {
    const __mmask64 mask = (uint64_t{1} << (bytes - i)) - 1;
    const __m512i low = _mm512_maskz_loadu_epi8(mask, query + i);
    const __m512i high = _mm512_maskz_loadu_epi8(mask, query + bytes + i);
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* from = rows + static_cast<size_t>(r) * bytes + i;
      sums[r] = NibbleStep(sums[r], _mm512_maskz_loadu_epi8(mask, from), low, high);
    }
  }
}

STELE_VNNI void NibbleDotsVnni(const int8_t* query, const uint8_t* rows, uint32_t groups,
                               uint32_t row_count, int32_t* out) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  __m512i sums[4];
  uint32_t r = 0;
  for (; r + 4 <= row_count; r += 4) {
    NibbleRows<4>(query, rows + r * bytes, bytes, sums);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + r), TransposedTotals(sums));
  }
  for (; r < row_count; ++r) {
    NibbleRows<1>(query, rows + r * bytes, bytes, sums);
    out[r] = _mm512_reduce_add_epi32(sums[0]);
  }
}

// 16 rows of 16 words become 16 columns of 16 words.
STELE_VNNI inline void Transpose(__m512i* words) {
  __m512i pairs[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(words[i], words[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(words[i], words[i + 1]);
  }
  __m512i fours[16];
  for (int i = 0; i < 16; i += 4) {
    fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  // Now lane l of fours[4 g + c] holds column 4 l + c of rows 4 g .. 4 g + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512i low = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0x44);
    const __m512i high = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0xee);
    const __m512i low2 = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0x44);
    const __m512i high2 = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0xee);
    words[c] = _mm512_shuffle_i32x4(low, low2, 0x88);
    words[4 + c] = _mm512_shuffle_i32x4(low, low2, 0xdd);
    words[8 + c] = _mm512_shuffle_i32x4(high, high2, 0x88);
    words[12 + c] = _mm512_shuffle_i32x4(high, high2, 0xdd);
  }
}

// For each word of a row's bytes the tile holds its low nibbles of all 64 rows, 256 bytes; then the
// high nibbles in the same way.
STELE_VNNI void FillTileVnni(const uint8_t* rows, uint32_t groups, uint64_t rows_mask,
                             uint8_t* tile) {
  const size_t bytes = size_t{groups} * kGroupBytes;
  const __m512i mask = _mm512_set1_epi8(15);
  uint8_t* high_tile = tile + 64 * bytes;
  for (size_t first = 0; first < 64; first += 16) {
    for (size_t i = 0; i < bytes; i += 64) {
      const size_t there = bytes - i < 64 ? bytes - i : 64;
      const __mmask64 loaded = there == 64 ? ~uint64_t{0} : (uint64_t{1} << there) - 1;
      __m512i words[16];
      for (size_t r = 0; r < 16; ++r) {
        const bool visible = (rows_mask >> (first + r) & 1) != 0;
        words[r] = visible ? _mm512_maskz_loadu_epi8(loaded, rows + (first + r) * bytes + i)
                           : _mm512_setzero_si512();
      }
      Transpose(words);
      for (size_t column = 0; column < there / 4; ++column) {
        const size_t at = (i / 4 + column) * 256 + first * 4;
        _mm512_storeu_si512(tile + at, _mm512_and_si512(words[column], mask));
        _mm512_storeu_si512(high_tile + at,
                            _mm512_and_si512(_mm512_srli_epi16(words[column], 4), mask));
      }
    }
  }
}

// Every query's word stands in all lanes, and every row has a lane, so no sum goes across. The sums
// of six queries and 64 rows are named one by one: g++ 12 keeps an array of them in memory.
constexpr uint32_t kTileQueries = 6;

STELE_VNNI inline __m512i Word(const int8_t* codes) {
  int32_t word;
  std::memcpy(&word, codes, sizeof(word));
  return _mm512_set1_epi32(word);
}

#define STELE_EACH_QUERY(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define STELE_TILE_SUMS(q) \
  __m512i sum##q##a = zero, sum##q##b = zero, sum##q##c = zero, sum##q##d = zero;
#define STELE_TILE_STEP(q)                                   \
  {                                                          \
    const __m512i all = Word(codes + q * length + word * 4); \
    sum##q##a = _mm512_dpbusd_epi32(sum##q##a, row0, all);   \
    sum##q##b = _mm512_dpbusd_epi32(sum##q##b, row1, all);   \
    sum##q##c = _mm512_dpbusd_epi32(sum##q##c, row2, all);   \
    sum##q##d = _mm512_dpbusd_epi32(sum##q##d, row3, all);   \
  }
#define STELE_TILE_STORE(q)                          \
  _mm512_storeu_si512(out + q * 64, sum##q##a);      \
  _mm512_storeu_si512(out + q * 64 + 16, sum##q##b); \
  _mm512_storeu_si512(out + q * 64 + 32, sum##q##c); \
  _mm512_storeu_si512(out + q * 64 + 48, sum##q##d);

STELE_VNNI void SixQueries(const uint8_t* tile, const int8_t* codes, size_t length, int32_t* out) {
  const __m512i zero = _mm512_setzero_si512();
  STELE_EACH_QUERY(STELE_TILE_SUMS)
  for (size_t word = 0; word < length / 4; ++word) {
    const __m512i row0 = _mm512_loadu_si512(tile + word * 256);
    const __m512i row1 = _mm512_loadu_si512(tile + word * 256 + 64);
    const __m512i row2 = _mm512_loadu_si512(tile + word * 256 + 128);
    const __m512i row3 = _mm512_loadu_si512(tile + word * 256 + 192);
    STELE_EACH_QUERY(STELE_TILE_STEP)
  }
  STELE_EACH_QUERY(STELE_TILE_STORE)
}

#undef STELE_TILE_STORE
#undef STELE_TILE_STEP
#undef STELE_TILE_SUMS
#undef STELE_EACH_QUERY

STELE_VNNI void TileDotsVnni(const uint8_t* tile, const int8_t* codes, uint32_t query_count,
                             uint32_t groups, int32_t* out) {
  static_assert(kTileQueries - 1 <= kTileSlack);
  const size_t length = TileCodeBytes(groups);
  for (uint32_t q = 0; q < query_count; q += kTileQueries) {
    SixQueries(tile, codes + q * length, length, out + q * 64);
  }
}

constexpr Kernels kKernels = {
    .kind = KernelKind::kAvx512,
    .name = "avx512",
    .squared_l2_rows = Rows<SquaredL2>,
    .dot_rows = Rows<Dot>,
    .squared_l2 = Pair<SquaredL2>,
    .dot = Pair<Dot>,
    .nibble_dots = internal::NibbleDotsAvx2,
    .fill_tile = nullptr,
    .tile_dots = nullptr,
    .keep_rows = Loops::KeepRows,
    .center = Loops::Center,
    .encode = Loops::Encode,
    .decode = Loops::Decode,
};

constexpr Kernels kVnniKernels = {
    .kind = KernelKind::kAvx512Vnni,
    .name = "avx512vnni",
    .squared_l2_rows = Rows<SquaredL2>,
    .dot_rows = Rows<Dot>,
    .squared_l2 = Pair<SquaredL2>,
    .dot = Pair<Dot>,
    .nibble_dots = NibbleDotsVnni,
    .fill_tile = FillTileVnni,
    .tile_dots = TileDotsVnni,
    .keep_rows = KeepRowsVnni,
    .center = VnniLoops::Center,
    .encode = VnniLoops::Encode,
    .decode = VnniLoops::Decode,
};

#if defined(__x86_64__)
constexpr Kernels kAmxKernels = {
    .kind = KernelKind::kAvx512Amx,
    .name = "avx512amx",
    .squared_l2_rows = Rows<SquaredL2>,
    .dot_rows = Rows<Dot>,
    .squared_l2 = Pair<SquaredL2>,
    .dot = Pair<Dot>,
    .nibble_dots = NibbleDotsVnni,
    .fill_tile = FillTileVnni,
    .tile_dots = internal::TileDotsAmx,
    .keep_rows = KeepRowsVnni,
    .center = VnniLoops::Center,
    .encode = VnniLoops::Encode,
    .decode = VnniLoops::Decode,
};
#endif

}  // namespace

const Kernels* internal::Avx512Kernels() {
  return __builtin_cpu_supports("avx512f") ? &kKernels : nullptr;
}

const Kernels* internal::Avx512VnniKernels() {
  const bool has = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has ? &kVnniKernels : nullptr;
}

const Kernels* internal::Avx512AmxKernels() {
#if defined(__x86_64__)
  if (Avx512VnniKernels() != nullptr && HasTileUnit()) return &kAmxKernels;
#endif
  return nullptr;
}

}  // namespace stele::index

#else

const stele::index::Kernels* stele::index::internal::Avx512Kernels() { return nullptr; }
const stele::index::Kernels* stele::index::internal::Avx512VnniKernels() { return nullptr; }
const stele::index::Kernels* stele::index::internal::Avx512AmxKernels() { return nullptr; }

#endif
