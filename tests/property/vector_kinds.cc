#include "tests/property/vector_kinds.h"

#include <algorithm>
#include <cstdlib>

#include "index/planes.h"
#include "index/quantize.h"

namespace stele::property {
namespace {

using Vector = std::vector<int32_t>;

}  // namespace

VectorSource::VectorSource(uint32_t dimension, index::Metric metric, index::TestRandom* random)
    : dimension_(dimension), metric_(metric), random_(*random), signs_(dimension) {
  for (int32_t& sign : signs_) sign = random_.Below(2) == 0 ? 1 : -1;
  magnitude_ = 1 + static_cast<int32_t>(random_.Below(uint64_t{1} << (1 + random_.Below(24))));
  const int32_t most = index::AdmittedBound(dimension);
  magnitude_ = std::min(magnitude_, most);
  far_ = index::RandomVector(random_, dimension, magnitude_);
  static constexpr int32_t kLongest[] = {3, 60, 126, 2000, 127 * 260, index::kComponentLimit - 1};
  line_most_ = std::min(most, kLongest[random_.Below(std::size(kLongest))]);
}

int32_t VectorSource::EdgeValue(int32_t most) {
  static constexpr int32_t kEdges[] = {1,         127,           128,          127 * 2,
                                       127 * 253, 127 * 254,     127 * 40'000, 127 * 40'001,
                                       1 << 20,   (1 << 26) - 1, 1 << 26,      1 << 29};
  int64_t value = kEdges[random_.Below(std::size(kEdges))] + random_.Within(2);
  if (random_.Below(2) == 0) {
    value = static_cast<int64_t>(random_.Below(uint64_t{1} << (1 + random_.Below(28))));
  }
  value = std::min<int64_t>(value, most);
  return static_cast<int32_t>(random_.Below(2) == 0 ? value : -value);
}

// Most of the norm in one component, the rest as far as squares go in the others.
Vector VectorSource::WithNorm(int64_t squared_norm) {
  Vector vector(dimension_);
  size_t at = random_.Below(dimension_);
  if (random_.Below(2) == 0) {
    // As even as can be.
    const auto each =
        static_cast<int32_t>(index::FloorSqrt(static_cast<uint64_t>(squared_norm) / dimension_));
    for (uint32_t i = 0; i < dimension_; ++i) vector[i] = each * signs_[i];
    squared_norm -= int64_t{each} * each * dimension_;
    squared_norm += int64_t{each} * each;
  }
  for (uint32_t left = std::min(dimension_, 5u); left > 0; --left) {
    const auto value = static_cast<int32_t>(
        std::min<uint64_t>(index::FloorSqrt(static_cast<uint64_t>(squared_norm)), (1u << 30) - 1));
    vector[at] = value;
    squared_norm -= int64_t{value} * value;
    at = (at + 1) % dimension_;
    if (vector[at] != 0) break;
  }
  return vector;
}

Vector VectorSource::Raw(VectorKind kind) {
  const int32_t most = index::AdmittedBound(dimension_);
  const int32_t component_most = std::min(most, index::kComponentLimit - 1);
  Vector vector(dimension_);
  switch (kind) {
    case VectorKind::kSmall:
      return index::RandomVector(random_, dimension_, std::min(3, most));
    case VectorKind::kLine: {
      const int32_t value = EdgeValue(line_most_);
      for (uint32_t i = 0; i < dimension_; ++i) vector[i] = value * signs_[i];
      return vector;
    }
    case VectorKind::kConstant:
      return Vector(dimension_, EdgeValue(component_most));
    case VectorKind::kIsotropic:
      return index::RandomVector(random_, dimension_, magnitude_);
    case VectorKind::kHeavyTailed: {
      const auto bound = std::min<int64_t>(component_most, int64_t{1} << random_.Below(31));
      return index::RandomVector(random_, dimension_, static_cast<int32_t>(bound));
    }
    case VectorKind::kOneHuge:
      vector = index::RandomVector(random_, dimension_, std::max(1, magnitude_ / 1000));
      vector[random_.Below(dimension_)] = EdgeValue(component_most);
      return vector;
    case VectorKind::kAlternating:
      for (uint32_t i = 0; i < dimension_; ++i) {
        vector[i] = i % 2 == 0 ? component_most : -component_most;
      }
      if (random_.Below(2) == 0) vector[random_.Below(dimension_)] /= 2;
      return vector;
    case VectorKind::kZero:
      return vector;
    case VectorKind::kCodedEdge:
      return WithNorm(index::kCodedSquaredNormLimit + random_.Within(3));
    case VectorKind::kLimit:
      return WithNorm(index::kSquaredNormLimit - 1 - static_cast<int64_t>(random_.Below(3)));
    case VectorKind::kOffset:
      vector = index::RandomVector(random_, dimension_, std::max(1, magnitude_ / 64));
      for (uint32_t i = 0; i < dimension_; ++i) vector[i] += far_[i];
      return vector;
  }
  std::abort();
}

Vector VectorSource::Fit(Vector vector) {
  for (int32_t& x : vector) {
    x = std::clamp(x, -index::kComponentLimit + 1, index::kComponentLimit - 1);
  }
  while (!index::CheckAdmitted(vector).ok()) {
    for (int32_t& x : vector) x = static_cast<int32_t>(int64_t{x} * 7 / 8);
  }
  if (metric_ != index::Metric::kCosine) return vector;
  Vector unit(dimension_);
  if (index::NormalizeQ16(vector, unit).ok()) return unit;
  vector.assign(dimension_, 0);
  vector[0] = 1 << 16;
  return vector;
}

Vector VectorSource::Make(VectorKind kind) { return Fit(Raw(kind)); }

Vector VectorSource::Along() {
  const int32_t value =
      EdgeValue(std::min(index::AdmittedBound(dimension_), index::kComponentLimit - 1));
  Vector vector(dimension_);
  for (uint32_t i = 0; i < dimension_; ++i) vector[i] = value * signs_[i];
  return Fit(std::move(vector));
}

Vector VectorSource::Near(const Vector& vector) {
  Vector near = vector;
  int32_t& x = near[random_.Below(dimension_)];
  x += x > 0 ? -static_cast<int32_t>(1 + random_.Below(2)) : random_.Within(2);
  return Fit(near);
}

}  // namespace stele::property
