#include "client/vector.h"

#include <bit>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace stele::client {
namespace {

static_assert(sizeof(float) == 4 && sizeof(double) == 8);

template <typename Word, typename T>
std::string LittleEndianBytes(std::span<const T> values) {
  static_assert(sizeof(Word) == sizeof(T));
  std::string bytes(values.size_bytes(), '\0');
  if constexpr (std::endian::native == std::endian::little) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size_bytes());
  } else {
    for (size_t i = 0; i < values.size(); ++i) {
      Word word = std::bit_cast<Word>(values[i]);
      for (size_t b = 0; b < sizeof(Word); ++b) {
        bytes[i * sizeof(Word) + b] = static_cast<char>(word & 0xff);
        word = static_cast<Word>(word >> 8);
      }
    }
  }
  return bytes;
}

}  // namespace

Vector::Vector(std::span<const float> values) {
  proto_.set_float32(LittleEndianBytes<uint32_t>(values));
}

Vector::Vector(std::span<const double> values) {
  proto_.set_float64(LittleEndianBytes<uint64_t>(values));
}

Vector::Vector(Q16 values) { proto_.set_q16(LittleEndianBytes<uint32_t>(values.raw)); }

absl::StatusOr<std::vector<int32_t>> DecodeQ16(absl::string_view bytes) {
  if (bytes.size() % 4 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a Q16.16 vector of ", bytes.size(), " bytes is not a whole number of int32"));
  }
  std::vector<int32_t> raw(bytes.size() / 4);
  for (size_t i = 0; i < raw.size(); ++i) {
    uint32_t word = 0;
    for (size_t b = 0; b < 4; ++b) {
      word |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i * 4 + b])) << (8 * b);
    }
    raw[i] = static_cast<int32_t>(word);
  }
  return raw;
}

absl::StatusOr<std::vector<double>> DecodeDoubles(absl::string_view bytes) {
  const absl::StatusOr<std::vector<int32_t>> raw = DecodeQ16(bytes);
  if (!raw.ok()) return raw.status();
  std::vector<double> values(raw->size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>((*raw)[i]) / 65536.0;
  return values;
}

}  // namespace stele::client
