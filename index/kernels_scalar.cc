// The specification of every kernel: plain loops over exact int64 sums.
#include "index/kernels.h"

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

constexpr Kernels kKernels = {KernelKind::kScalar, "scalar",  Rows<SquaredL2>,
                              Rows<Dot>,           SquaredL2, Dot};

}  // namespace

const Kernels& ScalarKernels() { return kKernels; }

}  // namespace stele::index
