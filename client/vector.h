// Vectors as the client sends and receives them.
//
// Does not convert floats to Q16.16: that happens once, on the server, by the rule in
// docs/determinism.md. Sending float, double or raw Q16.16 is the caller's choice of type.
//
// Thread-compatible: const use from many threads is safe.
//
// Invariants:
//  1. Components travel little-endian whatever the host's byte order is.
//  2. Nothing is rounded, clamped or normalised here.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "stele/v1/types.pb.h"

namespace stele::client {

// Raw Q16.16: each component is the real value times 2^16. Its own type, so that an array of
// integers is never taken for raw components by accident.
struct Q16 {
  std::span<const int32_t> raw;
};

class Vector {
 public:
  Vector() = default;
  Vector(std::span<const float> values);   // NOLINT(google-explicit-constructor)
  Vector(std::span<const double> values);  // NOLINT(google-explicit-constructor)
  Vector(Q16 values);                      // NOLINT(google-explicit-constructor)
  Vector(std::initializer_list<double> values)
      : Vector(std::span<const double>(values.begin(), values.size())) {}

  // std::vector, std::array and other contiguous ranges of float or double.
  template <typename Range>
  requires std::ranges::contiguous_range<Range> &&
      (std::is_same_v<std::ranges::range_value_t<Range>, float> ||
       std::is_same_v<std::ranges::range_value_t<Range>, double>)
          Vector(const Range& values)  // NOLINT(google-explicit-constructor)
      : Vector(std::span<const std::ranges::range_value_t<Range>>(std::ranges::data(values),
                                                                  std::ranges::size(values))) {}

  explicit Vector(v1::Vector proto) : proto_(std::move(proto)) {}

  const v1::Vector& proto() const { return proto_; }
  v1::Vector&& Release() { return std::move(proto_); }

 private:
  v1::Vector proto_;
};

// Decodes Record::vector_q16. Errors: INVALID_ARGUMENT if the length is no multiple of 4.
absl::StatusOr<std::vector<int32_t>> DecodeQ16(absl::string_view bytes);

// The same as real values; exact, since every Q16.16 number is a double.
absl::StatusOr<std::vector<double>> DecodeDoubles(absl::string_view bytes);

}  // namespace stele::client
