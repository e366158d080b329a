#include "index/planes.h"

namespace stele::index {

RowScale ScaleOf(const RowExtent& extent) {
  if (extent.squared_norm >= kCodedSquaredNormLimit) return {0, ResidualWidth::k4};
  const uint32_t step = extent.magnitude < 127 ? 1 : (extent.magnitude + 126) / 127;
  // A residual is at most 0.5 + 127 step / 2^24 steps (plane_loops.h).
  if (step <= 253) return {step, ResidualWidth::k1};
  if (step <= 40'000) return {step, ResidualWidth::k2};
  return {step, ResidualWidth::k4};
}

}  // namespace stele::index
