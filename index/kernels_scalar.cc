// The specification of every kernel: plain loops over exact integers.
#include "index/kernels.h"
#include "index/plane_loops.h"

namespace stele::index {
namespace {

int64_t SquaredL2(const int32_t* a, const int32_t* b, uint32_t dimension) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < dimension; ++i) {
    const int32_t difference = a[i] - b[i];
    sum += int64_t{difference} * difference;
  }
  return sum;
}

int64_t Dot(const int32_t* a, const int32_t* b, uint32_t dimension) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < dimension; ++i) sum += int64_t{a[i]} * b[i];
  return sum;
}

template <PairFunction kPair>
void Rows(const int32_t* query, const int32_t* rows, size_t stride, uint32_t row_count,
          uint32_t dimension, int64_t* out) {
  for (uint32_t r = 0; r < row_count; ++r) out[r] = kPair(query, rows + r * stride, dimension);
}

void NibbleDots(const int8_t* query, const uint8_t* rows, uint32_t groups, uint32_t row_count,
                int32_t* out) {
  const uint32_t bytes = groups * kGroupBytes;
  for (uint32_t r = 0; r < row_count; ++r, rows += bytes) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < bytes; ++i) {
      sum += (rows[i] & 15) * query[i] + (rows[i] >> 4) * query[bytes + i];
    }
    out[r] = sum;
  }
}

constexpr Kernels kKernels = {
    .kind = KernelKind::kScalar,
    .name = "scalar",
    .squared_l2_rows = Rows<SquaredL2>,
    .dot_rows = Rows<Dot>,
    .squared_l2 = SquaredL2,
    .dot = Dot,
    .nibble_dots = NibbleDots,
    .fill_tile = nullptr,
    .tile_dots = nullptr,
    .keep_rows = loops::KeepRows,
    .center = loops::Center,
    .encode = loops::Encode,
    .decode = loops::Decode,
};

}  // namespace

const Kernels& ScalarKernels() { return kKernels; }

}  // namespace stele::index
