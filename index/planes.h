// How a vector lies in memory: sliced into planes, so that most rows of a search are ruled out by
// reading half a byte a dimension, and the exact components are still there to the last bit.
//
// A row z (a stored vector minus its block's mean) is written as
//     z_i = step * c_i + r_i,     c_i = 16 (h_i - 8) + l_i  in [-128, 127],  h_i, l_i in [0, 15]
// with one integer step for each row. The HIGH plane holds the h_i, the LOW plane the l_i, two to a
// byte, and the RESIDUAL plane the r_i in 1, 2 or 4 bytes. Together they are the row.
//
// Two coarser readings of a row, and how far each is from it:
//     4 bits: step * (16 h_i - 120), at distance at most residual4
//     8 bits: step * c_i,            at distance at most residual8
// (Euclidean distances, raw, rounded up). For any vectors, with y' near y,
//     |<z, y> - <z', y'>| <= |z| |y - y'| + |z - z'| |y'|
// so a search can rule out rows without ever being wrong (search_bounds.h).
//
// Planes are plan data: they are in no hash and no file, and another version may lay rows out
// otherwise.
//
// Thread safety: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "index/arithmetic.h"

namespace stele::index {

// Nibble planes hold dimensions in groups of 32, the last one padded: byte j of group g holds
// dimension 32 g + j in its low and 32 g + 16 + j in its high four bits.
inline constexpr uint32_t kGroupDimensions = 32;
inline constexpr uint32_t kGroupBytes = 16;

constexpr uint32_t GroupCount(uint32_t dimension) {
  return (dimension + kGroupDimensions - 1) / kGroupDimensions;
}

// Of a row in each of the two nibble planes.
constexpr size_t NibbleBytes(uint32_t dimension) {
  return size_t{GroupCount(dimension)} * kGroupBytes;
}

// Vectors of this squared norm and more (a Euclidean norm of 1024.0) have step 0: their codes say
// nothing, and the residual plane holds them whole. Below it, no bound can leave int64_t.
inline constexpr int64_t kCodedSquaredNormLimit = int64_t{1} << 52;

// What bounds need to know of a row.
struct RowCode {
  int64_t squared_norm = 0;  // of z
  uint32_t step = 0;
  uint32_t residual4 = 0;
  uint32_t residual8 = 0;
  uint32_t norm = 0;  // |z|, rounded up
};

// Bytes of a component in the residual plane.
enum class ResidualWidth : uint8_t { k1 = 0, k2 = 1, k4 = 2 };
inline constexpr unsigned kResidualWidths = 3;

constexpr size_t BytesOf(ResidualWidth width) { return size_t{1} << static_cast<unsigned>(width); }

// What coding a row needs to know of it first.
struct RowExtent {
  uint32_t magnitude = 0;    // max |z_i|
  int64_t squared_norm = 0;  // of z
};

// The step, and the narrowest residual that holds what it leaves.
struct RowScale {
  uint32_t step = 0;
  ResidualWidth width = ResidualWidth::k4;
};
RowScale ScaleOf(const RowExtent& extent);

// Where one row lies.
struct RowPlanes {
  uint8_t* high;   // NibbleBytes(dimension)
  uint8_t* low;    // as many
  void* residual;  // dimension * BytesOf(width), aligned to BytesOf(width)
};
struct ConstRowPlanes {
  const uint8_t* high;
  const uint8_t* low;
  const void* residual;
};

}  // namespace stele::index
