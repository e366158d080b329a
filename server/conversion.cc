#include "server/conversion.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "index/arithmetic.h"
#include "index/quantize.h"
#include "server/errors.h"
#include "server/quote.h"

namespace stele::server {
namespace {

using index::Metric;
using index::VectorCheck;
using index::VectorFault;

constexpr int64_t kRawMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kRawMax = std::numeric_limits<int64_t>::max();

// Little-endian words of a byte string whose size is a multiple of theirs.
template <typename Word>
std::vector<Word> WordsOf(const std::string& bytes) {
  std::vector<Word> words(bytes.size() / sizeof(Word));
  if constexpr (std::endian::native == std::endian::little) {
    if (!words.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
    return words;
  }
  for (size_t i = 0; i < words.size(); ++i) {
    for (size_t byte = sizeof(Word); byte-- > 0;) {
      words[i] = static_cast<Word>(words[i] << 8) |
                 static_cast<Word>(static_cast<uint8_t>(bytes[i * sizeof(Word) + byte]));
    }
  }
  return words;
}

std::vector<uint32_t> BitsOf(const v1::FloatList& list) {
  std::vector<uint32_t> bits;
  bits.reserve(static_cast<size_t>(list.values_size()));
  for (const float value : list.values()) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

struct Shape {
  size_t count = 0;           // components
  size_t component_size = 0;  // bytes of one, 0 for a list
  size_t byte_count = 0;
};

Shape ShapeOf(const v1::Vector& vector) {
  switch (vector.form_case()) {
    case v1::Vector::kQ16:
      return {vector.q16().size() / 4, 4, vector.q16().size()};
    case v1::Vector::kFloat32:
      return {vector.float32().size() / 4, 4, vector.float32().size()};
    case v1::Vector::kFloat64:
      return {vector.float64().size() / 8, 8, vector.float64().size()};
    case v1::Vector::kFloats:
      return {static_cast<size_t>(vector.floats().values_size()), 0, 0};
    case v1::Vector::FORM_NOT_SET:
      break;
  }
  return {};
}

VectorCheck Convert(const v1::Vector& vector, Metric metric, std::span<int32_t> out) {
  const bool cosine = metric == Metric::kCosine;
  switch (vector.form_case()) {
    case v1::Vector::kQ16: {
      const std::vector<uint32_t> words = WordsOf<uint32_t>(vector.q16());
      for (size_t i = 0; i < words.size(); ++i) out[i] = static_cast<int32_t>(words[i]);
      return cosine ? index::NormalizeQ16(out, out) : index::CheckAdmitted(out);
    }
    case v1::Vector::kFloat64: {
      const std::vector<uint64_t> bits = WordsOf<uint64_t>(vector.float64());
      return cosine ? index::NormalizeFloat64(bits, out) : index::QuantizeFloat64(bits, out);
    }
    default: {
      const std::vector<uint32_t> bits =
          vector.has_floats() ? BitsOf(vector.floats()) : WordsOf<uint32_t>(vector.float32());
      return cosine ? index::NormalizeFloat32(bits, out) : index::QuantizeFloat32(bits, out);
    }
  }
}

absl::Status Explain(VectorCheck check, std::string_view field) {
  const std::string component = absl::StrCat(check.component);
  switch (check.fault) {
    case VectorFault::kNotFinite:
      return BadField("COMPONENT_NOT_FINITE", field,
                      absl::StrCat("component ", component, " is NaN or infinite"),
                      {{"component", component}});
    case VectorFault::kComponentRange:
      return BadField("COMPONENT_OUT_OF_RANGE", field,
                      absl::StrCat("component ", component,
                                   " is not strictly between -16384.0 and 16384.0; scale the data"),
                      {{"component", component}, {"limit", "16384"}});
    case VectorFault::kNormRange:
      return BadField("NORM_OUT_OF_RANGE", field,
                      "the Euclidean norm is not below 16384.0; scale the data",
                      {{"limit", "16384"}});
    case VectorFault::kBecomesZero:
      return BadField("VECTOR_BECOMES_ZERO", field,
                      "every component rounds to zero (the step is 2^-16); scale the data");
    case VectorFault::kZeroVector:
      return BadField("ZERO_VECTOR", field,
                      "the zero vector has no direction, so METRIC_COSINE cannot use it");
    case VectorFault::kNone:
      break;
  }
  return absl::OkStatus();
}

// An integral double as int64, kept within its range.
int64_t Saturate(double value) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  if (value >= kTwoTo63) return kRawMax;
  if (value < -kTwoTo63) return kRawMin;
  return static_cast<int64_t>(value);
}

// a - b, kept within range.
int64_t SaturatingSubtract(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b > 0 ? kRawMin : kRawMax;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> ConvertVector(const v1::Vector& vector, uint32_t dimension,
                                                   Metric metric, std::string_view field) {
  if (vector.form_case() == v1::Vector::FORM_NOT_SET) {
    return BadField("VECTOR_MISSING", field,
                    "set one of its forms: q16, float32, floats or float64");
  }
  const Shape shape = ShapeOf(vector);
  if (shape.component_size != 0 && shape.byte_count % shape.component_size != 0) {
    return BadField("VECTOR_BYTES", field,
                    absl::StrCat(shape.byte_count, " bytes are not a multiple of the ",
                                 shape.component_size, " bytes of a component"),
                    {{"bytes", absl::StrCat(shape.byte_count)}});
  }
  if (shape.count != dimension) {
    return BadField("DIMENSION_MISMATCH", field,
                    absl::StrCat("it has ", shape.count,
                                 " components, the collection's dimension is ", dimension),
                    {{"dimension", absl::StrCat(dimension)}, {"got", absl::StrCat(shape.count)}});
  }
  std::vector<int32_t> raw(dimension);
  const VectorCheck check = Convert(vector, metric, raw);
  if (!check.ok()) return Explain(check, field);
  return raw;
}

double ScoreOf(Metric metric, int64_t distance_raw) {
  // The integers are exact, their conversion rounds once to nearest, and scaling is exact.
  switch (metric) {
    case Metric::kL2:
      return std::ldexp(static_cast<double>(distance_raw), -32);
    case Metric::kDot:
      return std::ldexp(static_cast<double>(-distance_raw), -32);
    case Metric::kCosine:
      return std::ldexp(static_cast<double>((int64_t{1} << 33) - distance_raw), -33);
  }
  return 0;
}

std::optional<int64_t> RawBoundOf(Metric metric, double score) {
  if (std::isnan(score)) return std::nullopt;
  // Scaling up by a power of two is exact, or overflows to infinity, which saturates.
  switch (metric) {
    case Metric::kL2:
      return Saturate(std::floor(std::ldexp(score, 32)));
    case Metric::kDot:
      return SaturatingSubtract(0, Saturate(std::ceil(std::ldexp(score, 32))));
    case Metric::kCosine:
      return SaturatingSubtract(int64_t{1} << 33, Saturate(std::ceil(std::ldexp(score, 33))));
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> ConvertThreshold(const v1::Threshold& threshold, Metric metric,
                                         std::string_view field) {
  switch (threshold.kind_case()) {
    case v1::Threshold::kDistanceRawMax:
      return threshold.distance_raw_max();
    case v1::Threshold::kScore: {
      const std::optional<int64_t> bound = RawBoundOf(metric, threshold.score());
      if (bound.has_value()) return *bound;
      return BadField("THRESHOLD_NAN", absl::StrCat(View(field), ".score"),
                      "a score threshold must be a number, or an infinity for no bound");
    }
    case v1::Threshold::KIND_NOT_SET:
      break;
  }
  return BadField("THRESHOLD_EMPTY", field, "set distance_raw_max or score, or leave it out");
}

uint64_t DoubleBitsOf(const v1::Value& value) {
  return std::bit_cast<uint64_t>(value.double_value());
}

void SetDoubleBits(uint64_t bits, v1::Value* value) {
  value->set_double_value(std::bit_cast<double>(bits));
}

}  // namespace stele::server
