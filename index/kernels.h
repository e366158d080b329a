// The loops of a search: exact distances over raw Q16.16 vectors, and the coarse products and
// bounds over planes (planes.h) that rule out most rows before.
//
// There is one scalar implementation, which is the specification, and variants for vector units.
// All are exact in int64 over the whole admitted range (arithmetic.h), so all return the same
// integers and the choice among them is only a matter of speed: it may differ between machines.
//
// It does not check admission, know metrics or order hits, and does not start threads.
//
// Thread safety: the tables are constant, the functions are pure.
//
// Invariants:
//   1. For admitted vectors every function returns exactly what the scalar one returns.
//   2. No function reads beyond the components that it is given; neither alignment nor a multiple
//      of any width is required. Rows at multiples of 64 bytes are fastest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "index/planes.h"

namespace stele::index {

enum class KernelKind : uint8_t {
  kScalar = 0,
  kAvx2 = 1,
  kAvx512 = 2,
  kNeon = 3,
  kAvx512Vnni = 4,
  kNeonDot = 5,
  kAvx512Amx = 6,
};
inline constexpr KernelKind kKernelKinds[] = {
    KernelKind::kScalar,     KernelKind::kAvx2,    KernelKind::kAvx512,   KernelKind::kNeon,
    KernelKind::kAvx512Vnni, KernelKind::kNeonDot, KernelKind::kAvx512Amx};

// For `row_count` rows of `dimension` components, row r starting at rows + r * stride (stride in
// components), writes one result for each row and `query` (`dimension` components) to out[r].
// REQUIRES: all vectors admitted; stride >= dimension where row_count > 1; `out` overlaps nothing.
using RowsFunction = void (*)(const int32_t* query, const int32_t* rows, size_t stride,
                              uint32_t row_count, uint32_t dimension, int64_t* out);

// One result for two admitted vectors of `dimension` components.
using PairFunction = int64_t (*)(const int32_t* a, const int32_t* b, uint32_t dimension);

// Products of a query's codes with one nibble plane of `row_count` rows, which stand one after the
// other. `query` holds kGroupBytes * groups codes for the low four bits of the plane's bytes, then
// as many for the high four bits; they are within +-127. out[r] = sum of code * nibble.
// What stands behind the rows may be prefetched, and is not used otherwise.
using NibbleDotsFunction = void (*)(const int8_t* query, const uint8_t* rows, uint32_t groups,
                                    uint32_t row_count, int32_t* out);

// The same for many queries: a nibble plane of 64 rows is laid out for the processor once, as a
// tile of TileBytes(groups) bytes that begin as zeros, and multiplied with all of them. Rows
// outside `rows_mask` are not read, and give 0. The queries' codes stand one after the other, each
// filled up with zeros to TileCodeBytes(groups). out[64 q + r] is for query q and row r.
// REQUIRES: `codes` and `out` have room for kTileSlack queries more, which may be read and written.
constexpr size_t TileCodeBytes(uint32_t groups) {
  return (size_t{2} * kGroupBytes * groups + 63) / 64 * 64;
}
constexpr size_t TileBytes(uint32_t groups) { return 64 * TileCodeBytes(groups); }
inline constexpr size_t kTileSlack = 15;
using FillTileFunction = void (*)(const uint8_t* rows, uint32_t groups, uint64_t rows_mask,
                                  uint8_t* tile);
using TileDotsFunction = void (*)(const uint8_t* tile, const int8_t* codes, uint32_t query_count,
                                  uint32_t groups, int32_t* out);

// The least distance a row can have, of all that its codes allow for:
//     squared_norm + base - scale * step * (16 * dot - offset) - reach * residual
// (squared_norm counts where `with_norms`). search_bounds.h tells where the terms come from.
struct BoundTerms {
  int64_t base = 0;
  int32_t scale = 0;
  int32_t offset = 0;
  uint32_t reach = 0;
  bool with_norms = false;
  int64_t limit = 0;
};

// Which of 64 rows may be as near as the limit: bit r is set iff the value above is <= limit.
using KeepRowsFunction = uint64_t (*)(const BoundTerms& terms, const int64_t* squared_norms,
                                      const uint32_t* steps, const uint32_t* residuals,
                                      const int32_t* dots);

// z = vector - mean; plane_loops.h has these three.
using CenterFunction = RowExtent (*)(const int32_t* vector, const int32_t* mean, uint32_t dimension,
                                     int32_t* z);
using EncodeFunction = RowCode (*)(const int32_t* z, uint32_t dimension, const RowExtent& extent,
                                   const RowScale& scale, const RowPlanes& row);
using DecodeFunction = void (*)(const ConstRowPlanes& row, const RowScale& scale,
                                uint32_t dimension, int32_t* z);

struct Kernels {
  KernelKind kind;
  const char* name;  // "scalar", "avx2", "avx512", "avx512vnni", "avx512amx", "neon", "neondot"

  RowsFunction squared_l2_rows;  // sum of (query_i - row_i)^2, in [0, 2^62)
  RowsFunction dot_rows;         // sum of query_i row_i, within +-2^60; not negated
  PairFunction squared_l2;
  PairFunction dot;

  NibbleDotsFunction nibble_dots;
  FillTileFunction fill_tile;  // null, as tile_dots: nibble_dots is as fast
  TileDotsFunction tile_dots;
  KeepRowsFunction keep_rows;
  CenterFunction center;
  EncodeFunction encode;
  DecodeFunction decode;
};

// The specification; every machine has it.
const Kernels& ScalarKernels();

// Null where this processor cannot run the kind (or the build is for another architecture). Before
// the functions of kAvx512Amx are called, the process must have been given the tile registers.
const Kernels* KernelsOfKind(KernelKind kind);

// By `name`. Null for an unknown name and where this processor cannot.
const Kernels* KernelsByName(std::string_view name);

// The fastest that this processor can run without asking the system for anything.
const Kernels& BestKernels();

// One for each file with a variant; null as for KernelsOfKind.
namespace internal {
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();
const Kernels* Avx512VnniKernels();
const Kernels* Avx512AmxKernels();
const Kernels* NeonKernels();
const Kernels* NeonDotKernels();

// How far ahead scans of planes prefetch: into the first cache, and before that into the second,
// which holds more requests at a time.
inline constexpr size_t kPrefetchNear = 1536;
inline constexpr size_t kPrefetchFar = 9216;
// AVX2, for AVX-512 without VNNI too.
void NibbleDotsAvx2(const int8_t* query, const uint8_t* rows, uint32_t groups, uint32_t row_count,
                    int32_t* out);
// AMX; the rest of its table is VNNI's.
void TileDotsAmx(const uint8_t* tile, const int8_t* codes, uint32_t query_count, uint32_t groups,
                 int32_t* out);
bool HasTileUnit();
}  // namespace internal

}  // namespace stele::index
