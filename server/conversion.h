// Floating point at the door: the only file of the server in which floats and doubles are handled.
// What comes in becomes raw Q16.16 by integer rules (index/quantize.h); what goes out is for
// reading only.
//
// Thread safety: pure functions.
//
// Invariant: a vector that is returned is admitted (index/arithmetic.h), has the collection's
// dimension, and is of unit norm under COSINE.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "index/types.h"
#include "stele/v1/memory_service.pb.h"
#include "stele/v1/types.pb.h"

namespace stele::server {

// `vector` as a collection of `dimension` and `metric` stores and searches it. `field` is the path
// of the vector in the request. Errors, all INVALID_ARGUMENT: VECTOR_MISSING, VECTOR_BYTES,
// DIMENSION_MISMATCH, COMPONENT_NOT_FINITE, COMPONENT_OUT_OF_RANGE, NORM_OUT_OF_RANGE,
// VECTOR_BECOMES_ZERO, ZERO_VECTOR.
absl::StatusOr<std::vector<int32_t>> ConvertVector(const v1::Vector& vector, uint32_t dimension,
                                                   index::Metric metric, std::string_view field);

// L2: raw / 2^32. DOT: -raw / 2^32. COSINE: 1 - raw / 2^33. The double nearest to the exact value.
double ScoreOf(index::Metric metric, int64_t distance_raw);

// The largest raw distance whose exact score satisfies `score` (at most it under L2, at least it
// under DOT and COSINE), kept within int64. Nothing for a NaN.
std::optional<int64_t> RawBoundOf(index::Metric metric, double score);

// `threshold` as a bound on raw distances. Errors: THRESHOLD_NAN, THRESHOLD_EMPTY.
absl::StatusOr<int64_t> ConvertThreshold(const v1::Threshold& threshold, index::Metric metric,
                                         std::string_view field);

// The IEEE 754 bits of a double attribute. REQUIRES, for the first: its kind is double_value.
uint64_t DoubleBitsOf(const v1::Value& value);
void SetDoubleBits(uint64_t bits, v1::Value* value);

}  // namespace stele::server
