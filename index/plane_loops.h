// The loops over planes, written once in plain C++. Each kernels_*.cc compiles them for its vector
// unit; the scalar build of them is the specification. Integers only, so every build agrees.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "index/kernels.h"
#include "index/planes.h"

#define STELE_INLINE static inline __attribute__((always_inline))

namespace stele::index::loops {

// z = vector - mean (mean may be null), padded with zeros to whole groups.
// REQUIRES: vector and mean admitted, so that differences fit.
STELE_INLINE RowExtent Center(const int32_t* vector, const int32_t* mean, uint32_t dimension,
                              int32_t* z) {
  if (mean == nullptr) {
    std::memcpy(z, vector, dimension * sizeof(int32_t));
  } else {
    for (uint32_t i = 0; i < dimension; ++i) z[i] = vector[i] - mean[i];
  }
  for (uint32_t i = dimension; i < GroupCount(dimension) * kGroupDimensions; ++i) z[i] = 0;
  int32_t least = 0;
  int32_t most = 0;
  int64_t squares = 0;
  for (uint32_t i = 0; i < dimension; ++i) {
    least = std::min(least, z[i]);
    most = std::max(most, z[i]);
  }
  for (uint32_t i = 0; i < dimension; ++i) squares += int64_t{z[i]} * z[i];
  return {std::max(static_cast<uint32_t>(most), static_cast<uint32_t>(-least)), squares};
}

// Writes `count` (at most 32) components from z on, which stand in one group.
template <typename Residual>
STELE_INLINE void EncodeGroup(const int32_t* z, uint32_t count, int32_t step, int32_t inverse,
                              uint8_t* high, uint8_t* low, Residual* residual, uint64_t* sum4,
                              uint64_t* sum8) {
  uint8_t codes[kGroupDimensions];  // c + 128
  int32_t rest[kGroupDimensions];
  uint64_t squares4 = 0;
  uint64_t squares8 = 0;
  for (uint32_t i = 0; i < kGroupDimensions; ++i) {
    // Rounding to nearest, but for the error of `inverse`; the residual makes up for any.
    const int32_t c = std::clamp((z[i] * inverse + (1 << 22)) >> 23, -127, 127);
    codes[i] = static_cast<uint8_t>(c + 128);
    rest[i] = z[i] - step * c;
  }
  for (uint32_t i = 0; i < kGroupDimensions; ++i) {
    const int32_t from_middle = rest[i] + step * ((codes[i] & 15) - 8);
    squares8 += static_cast<uint64_t>(int64_t{rest[i]} * rest[i]);
    squares4 += static_cast<uint64_t>(int64_t{from_middle} * from_middle);
  }
  for (uint32_t i = 0; i < kGroupBytes; ++i) {
    const uint8_t first = codes[i];
    const uint8_t second = codes[i + kGroupBytes];
    high[i] = static_cast<uint8_t>((first >> 4) | (second & 0xf0));
    low[i] = static_cast<uint8_t>((first & 15) | (second << 4));
  }
  for (uint32_t i = 0; i < count; ++i) residual[i] = static_cast<Residual>(rest[i]);
  *sum4 += squares4;
  *sum8 += squares8;
}

template <typename Residual>
STELE_INLINE RowCode EncodeAs(const int32_t* z, uint32_t dimension, const RowExtent& extent,
                              uint32_t step, const RowPlanes& row) {
  auto* residual = static_cast<Residual*>(row.residual);
  // Nearest to 2^23 / step, so z * inverse stays below 127 * 2^23 + 64 * step < 2^31.
  const auto inverse =
      step == 0 ? 0 : static_cast<int32_t>(((uint32_t{1} << 23) + step / 2) / step);
  RowCode code;
  uint64_t sum4 = 0;
  uint64_t sum8 = 0;
  for (uint32_t group = 0; group < GroupCount(dimension); ++group) {
    const uint32_t first = group * kGroupDimensions;
    uint8_t* high = row.high + size_t{group} * kGroupBytes;
    uint8_t* low = row.low + size_t{group} * kGroupBytes;
    if (dimension - first >= kGroupDimensions) {
      EncodeGroup(z + first, kGroupDimensions, static_cast<int32_t>(step), inverse, high, low,
                  residual + first, &sum4, &sum8);
    } else {
      EncodeGroup(z + first, dimension - first, static_cast<int32_t>(step), inverse, high, low,
                  residual + first, &sum4, &sum8);
    }
  }
  const auto squared_norm = static_cast<uint64_t>(extent.squared_norm);
  code.squared_norm = extent.squared_norm;
  code.step = step;
  code.norm = static_cast<uint32_t>(CeilSqrt(squared_norm));
  code.residual4 = static_cast<uint32_t>(CeilSqrt(step == 0 ? squared_norm : sum4));
  code.residual8 = static_cast<uint32_t>(CeilSqrt(step == 0 ? squared_norm : sum8));
  return code;
}

STELE_INLINE RowCode Encode(const int32_t* z, uint32_t dimension, const RowExtent& extent,
                            const RowScale& scale, const RowPlanes& row) {
  switch (scale.width) {
    case ResidualWidth::k1:
      return EncodeAs<int8_t>(z, dimension, extent, scale.step, row);
    case ResidualWidth::k2:
      return EncodeAs<int16_t>(z, dimension, extent, scale.step, row);
    case ResidualWidth::k4:
      break;
  }
  return EncodeAs<int32_t>(z, dimension, extent, scale.step, row);
}

template <typename Residual>
STELE_INLINE void DecodeAs(const ConstRowPlanes& row, uint32_t step, uint32_t dimension,
                           int32_t* z) {
  const auto* residual = static_cast<const Residual*>(row.residual);
  const auto scale = static_cast<int32_t>(step);
  uint32_t first = 0;
  const uint8_t* high = row.high;
  const uint8_t* low = row.low;
  for (; first + kGroupDimensions <= dimension; first += kGroupDimensions) {
    for (uint32_t i = 0; i < kGroupBytes; ++i) {
      const int32_t c = ((high[i] & 15) << 4 | (low[i] & 15)) - 128;
      z[first + i] = scale * c + residual[first + i];
    }
    for (uint32_t i = 0; i < kGroupBytes; ++i) {
      const int32_t c = ((high[i] & 0xf0) | (low[i] >> 4)) - 128;
      z[first + kGroupBytes + i] = scale * c + residual[first + kGroupBytes + i];
    }
    high += kGroupBytes;
    low += kGroupBytes;
  }
  for (uint32_t i = 0; first + i < dimension; ++i) {
    const uint32_t shift = i < kGroupBytes ? 0 : 4;
    const uint32_t h = (high[i % kGroupBytes] >> shift) & 15u;
    const uint32_t l = (low[i % kGroupBytes] >> shift) & 15u;
    z[first + i] = scale * (static_cast<int32_t>(h << 4 | l) - 128) + residual[first + i];
  }
}

// The components of a row, the mean not added.
STELE_INLINE void Decode(const ConstRowPlanes& row, const RowScale& scale, uint32_t dimension,
                         int32_t* z) {
  switch (scale.width) {
    case ResidualWidth::k1:
      return DecodeAs<int8_t>(row, scale.step, dimension, z);
    case ResidualWidth::k2:
      return DecodeAs<int16_t>(row, scale.step, dimension, z);
    case ResidualWidth::k4:
      return DecodeAs<int32_t>(row, scale.step, dimension, z);
  }
}

STELE_INLINE uint64_t KeepRows(const BoundTerms& terms, const int64_t* squared_norms,
                               const uint32_t* steps, const uint32_t* residuals,
                               const int32_t* dots) {
  uint64_t keep = 0;
  for (uint32_t row = 0; row < 64; ++row) {
    const int64_t product = int64_t{steps[row]} * (16 * dots[row] - terms.offset);
    const int64_t norm = terms.with_norms ? squared_norms[row] : 0;
    const int64_t bound = norm + terms.base - product * terms.scale -
                          static_cast<int64_t>(uint64_t{terms.reach} * residuals[row]);
    keep |= uint64_t{bound <= terms.limit} << row;
  }
  return keep;
}

}  // namespace stele::index::loops

// The loops compiled for the vector units of a string like "avx2", for their table of kernels.
#define STELE_PLANE_LOOPS(name, units)                                                           \
  struct name {                                                                                  \
    __attribute__((target(units))) static RowExtent Center(const int32_t* vector,                \
                                                           const int32_t* mean,                  \
                                                           uint32_t dimension, int32_t* z) {     \
      return loops::Center(vector, mean, dimension, z);                                          \
    }                                                                                            \
    __attribute__((target(units))) static RowCode Encode(const int32_t* z, uint32_t dimension,   \
                                                         const RowExtent& extent,                \
                                                         const RowScale& scale,                  \
                                                         const RowPlanes& row) {                 \
      return loops::Encode(z, dimension, extent, scale, row);                                    \
    }                                                                                            \
    __attribute__((target(units))) static void Decode(const ConstRowPlanes& row,                 \
                                                      const RowScale& scale, uint32_t dimension, \
                                                      int32_t* z) {                              \
      loops::Decode(row, scale, dimension, z);                                                   \
    }                                                                                            \
    __attribute__((target(units))) static uint64_t KeepRows(const BoundTerms& terms,             \
                                                            const int64_t* squared_norms,        \
                                                            const uint32_t* steps,               \
                                                            const uint32_t* residuals,           \
                                                            const int32_t* dots) {               \
      return loops::KeepRows(terms, squared_norms, steps, residuals, dots);                      \
    }                                                                                            \
  }
