// Exact distances over raw Q16.16 vectors: one query against many rows.
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

namespace stele::index {

enum class KernelKind : uint8_t { kScalar = 0, kAvx2 = 1, kAvx512 = 2, kNeon = 3 };

// For `row_count` rows of `dimension` components, row r starting at rows + r * stride (stride in
// components), writes one result for each row and `query` (`dimension` components) to out[r].
// REQUIRES: all vectors admitted; stride >= dimension where row_count > 1; `out` overlaps nothing.
using RowsFunction = void (*)(const int32_t* query, const int32_t* rows, size_t stride,
                              uint32_t row_count, uint32_t dimension, int64_t* out);

// One result for two admitted vectors of `dimension` components.
using PairFunction = int64_t (*)(const int32_t* a, const int32_t* b, uint32_t dimension);

struct Kernels {
  KernelKind kind;
  const char* name;  // "scalar", "avx2", "avx512", "neon"

  RowsFunction squared_l2_rows;  // sum of (query_i - row_i)^2, in [0, 2^62)
  RowsFunction dot_rows;         // sum of query_i row_i, within +-2^60; not negated
  PairFunction squared_l2;
  PairFunction dot;
};

// The specification; every machine has it.
const Kernels& ScalarKernels();

// Null where this processor cannot run the kind (or the build is for another architecture).
const Kernels* KernelsOfKind(KernelKind kind);

// By `name`. Null for an unknown name and where this processor cannot.
const Kernels* KernelsByName(std::string_view name);

// The fastest that this processor can run.
const Kernels& BestKernels();

// One for each file with a variant; null as for KernelsOfKind.
namespace internal {
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();
const Kernels* NeonKernels();
}  // namespace internal

}  // namespace stele::index
