// A query made ready for the planes of one block (planes.h), and the bounds that rule rows out.
//
// With y = query - mean (the query itself under DOT, where <mean, query> is a constant), and y
// written as unit * g_i + e_i with codes g_i within +-127:
//     |<z, y> - <z', unit g>| <= |z| |e| + |z - z'| |unit g|
// for a coarse reading z' of a row z. |unit g| is at most |y| + |e|. So a row's distance is at
// least
//     L2, COSINE:  |z|^2 + |y|^2 - 2 (<z', unit g> + that)
//     DOT:         -<mean, query> - (<z', unit g> + that)
// and a row whose least distance is above the k-th best cannot be in the answer. Norms are rounded
// up and everything else is exact, so nothing is ruled out wrongly; a tie is never ruled out.
//
// Thread safety: immutable once made.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/kernels.h"
#include "index/types.h"

namespace stele::index {

class CodedQuery {
 public:
  // REQUIRES: `query` admitted; `mean` null or admitted, of the same dimension.
  CodedQuery(std::span<const int32_t> query, const int32_t* mean, Metric metric,
             const Kernels& kernels);

  // Whether its bounds can rule out anything; if not, every row must be computed.
  bool coded() const { return coded_; }
  std::span<const int8_t> codes() const { return codes_; }

  // Bounds from the 4-bit reading, for rows of norm at most `norm_max`; `dot` is the product of the
  // codes with the HIGH plane.
  BoundTerms Terms4(uint32_t norm_max, int64_t limit) const {
    BoundTerms terms = Terms(norm_max, limit);
    terms.offset = 120 * code_sum_;
    return terms;
  }
  // The least distance by the 8-bit reading, from the products with both planes. The row's 4-bit
  // residual is not used.
  int64_t LeastDistance8(const RowCode& row, int32_t high_dot, int32_t low_dot) const;

  // The exact distance of a row z of the block.
  int64_t Distance(const int32_t* z) const {
    if (metric_ == Metric::kDot) return base_ - kernels_.dot(y_.data(), z, dimension_);
    return kernels_.squared_l2(y_.data(), z, dimension_);
  }

 private:
  BoundTerms Terms(uint32_t norm_max, int64_t limit) const {
    // |y - 2 z| has twice what an inner product has.
    const int32_t factor = metric_ == Metric::kDot ? 1 : 2;
    BoundTerms terms;
    terms.base = base_ - int64_t{factor} * static_cast<int64_t>(uint64_t{norm_max} * error_);
    terms.scale = factor * unit_;
    terms.reach = static_cast<uint32_t>(factor) * reach_;
    terms.with_norms = metric_ != Metric::kDot;
    terms.limit = limit;
    return terms;
  }

  // What every block needs stands first, in one cache line.
  int64_t base_ = 0;  // |y|^2, or -<mean, query>
  int32_t unit_ = 0;
  int32_t code_sum_ = 0;
  uint32_t error_ = 0;  // |e|, rounded up
  uint32_t reach_ = 0;  // |unit g|, rounded up
  bool coded_ = false;
  const Metric metric_;
  const uint32_t dimension_;
  const Kernels& kernels_;
  std::vector<int32_t> y_;
  std::vector<int8_t> codes_;  // low four bits' codes, then high four bits'
};

}  // namespace stele::index
