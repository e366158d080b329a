// Vectors of every kind that a bound could be wrong for.
#pragma once

#include <cstdint>
#include <vector>

#include "index/types.h"
#include "tests/index/arithmetic_data.h"

namespace stele::property {

enum class VectorKind : uint8_t {
  kSmall,        // few values, so that distances tie
  kLine,         // multiples of one vector of ones and minus ones: Cauchy-Schwarz is an equality
  kConstant,     // all components the same
  kIsotropic,    // of any magnitude
  kHeavyTailed,  // norms from one to the limit
  kOneHuge,      // one component far above the others
  kAlternating,  // the largest admitted values, in turn positive and negative
  kZero,
  kCodedEdge,  // squared norms about the one at which coding stops
  kLimit,      // squared norms just below the one that is admitted
  kOffset,     // small differences from one far point
};
inline constexpr uint64_t kVectorKinds = 11;

// Gives vectors of one dimension, fit for one metric.
class VectorSource {
 public:
  VectorSource(uint32_t dimension, index::Metric metric, index::TestRandom* random);

  // Admitted; normalised under COSINE (then never zero).
  std::vector<int32_t> Make(VectorKind kind);
  // A multiple of the vector that kLine takes multiples of, maybe far longer than those.
  std::vector<int32_t> Along();
  // The same but for one component, which is off by one or two.
  std::vector<int32_t> Near(const std::vector<int32_t>& vector);

 private:
  std::vector<int32_t> Raw(VectorKind kind);
  std::vector<int32_t> WithNorm(int64_t squared_norm);
  // About a step, a width of residuals or a power of two.
  int32_t EdgeValue(int32_t most);
  std::vector<int32_t> Fit(std::vector<int32_t> vector);

  const uint32_t dimension_;
  const index::Metric metric_;
  index::TestRandom& random_;
  std::vector<int32_t> signs_;
  std::vector<int32_t> far_;
  int32_t magnitude_;
  int32_t line_most_;
};

}  // namespace stele::property
