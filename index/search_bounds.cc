#include "index/search_bounds.h"

#include <algorithm>

namespace stele::index {

CodedQuery::CodedQuery(std::span<const int32_t> query, const int32_t* mean, Metric metric,
                       const Kernels& kernels)
    : metric_(metric),
      dimension_(static_cast<uint32_t>(query.size())),
      kernels_(kernels),
      y_(size_t{GroupCount(dimension_)} * kGroupDimensions),
      codes_(y_.size()) {
  const bool dot = metric == Metric::kDot;
  const RowExtent extent =
      kernels.center(query.data(), dot ? nullptr : mean, dimension_, y_.data());
  base_ = extent.squared_norm;
  if (dot) base_ = mean == nullptr ? 0 : -kernels.dot(query.data(), mean, dimension_);
  if (extent.squared_norm >= kCodedSquaredNormLimit) return;
  coded_ = true;
  unit_ = static_cast<int32_t>(std::max(1u, (extent.magnitude + 126) / 127));
  uint64_t error = 0;
  uint64_t squared_codes = 0;
  for (uint32_t i = 0; i < dimension_; ++i) {
    const int32_t half = y_[i] < 0 ? -(unit_ / 2) : unit_ / 2;
    const int32_t g = std::clamp((y_[i] + half) / unit_, -127, 127);
    const int32_t e = y_[i] - unit_ * g;
    error += static_cast<uint64_t>(int64_t{e} * e);
    squared_codes += static_cast<uint64_t>(g * g);
    code_sum_ += g;
    const uint32_t in_group = i % kGroupDimensions;
    const uint32_t place = i / kGroupDimensions * kGroupBytes + in_group % kGroupBytes;
    codes_[place + (in_group < kGroupBytes ? 0 : codes_.size() / 2)] = static_cast<int8_t>(g);
  }
  error_ = static_cast<uint32_t>(CeilSqrt(error));
  const auto unit = static_cast<uint64_t>(unit_);
  reach_ = static_cast<uint32_t>(CeilSqrt(squared_codes * unit * unit));
}

int64_t CodedQuery::LeastDistance8(const RowCode& row, int32_t high_dot, int32_t low_dot) const {
  const BoundTerms terms = Terms(row.norm, 0);
  const int64_t code_dot = 16 * high_dot + low_dot - 128 * code_sum_;
  return (terms.with_norms ? row.squared_norm : 0) + terms.base -
         int64_t{row.step} * code_dot * terms.scale -
         static_cast<int64_t>(uint64_t{terms.reach} * row.residual8);
}

}  // namespace stele::index
