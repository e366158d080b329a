#include "client/cli/vector_file.h"

#include <bit>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/vector.h"

namespace stele::client::cli {
namespace {

constexpr uint64_t kDimensionMax = 32768;
constexpr size_t kHeaderBytesMax = size_t{1} << 16;

absl::Status Malformed(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

size_t WidthOf(ComponentType type) {
  switch (type) {
    case ComponentType::kFloat16:
      return 2;
    case ComponentType::kFloat64:
      return 8;
    case ComponentType::kFloat32:
    case ComponentType::kInt32:
      break;
  }
  return 4;
}

uint64_t Word(const char* bytes, size_t width, bool big_endian) {
  uint64_t word = 0;
  for (size_t i = 0; i < width; ++i) {
    const size_t shift = 8 * (big_endian ? width - 1 - i : i);
    word |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << shift;
  }
  return word;
}

// IEEE 754 binary16 to binary32; every binary16 number is one, so nothing is rounded.
float WidenFloat16(uint32_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  uint32_t fraction = half & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (fraction << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  }
  // Subnormal: fraction * 2^-24.
  const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

}  // namespace

absl::StatusOr<VectorFileReader> VectorFileReader::Open(const std::string& path,
                                                        VectorFileFormat format, bool raw_q16) {
  VectorFileReader reader;
  reader.path_ = path;
  reader.raw_q16_ = raw_q16;
  absl::StatusOr<FileHandle> file = OpenForReading(path);
  if (!file.ok()) return file.status();
  reader.file_ = *std::move(file);
  const absl::StatusOr<uint64_t> file_bytes = FileSize(path);
  if (!file_bytes.ok()) return file_bytes.status();
  const absl::Status status = format == VectorFileFormat::kNpy ? reader.OpenNpy(*file_bytes)
                                                               : reader.OpenFvecs(*file_bytes);
  if (!status.ok()) return status;
  if (raw_q16 && reader.type_ != ComponentType::kInt32) {
    return Malformed(path, "raw Q16.16 needs elements of type int32");
  }
  return reader;
}

absl::Status VectorFileReader::OpenNpy(uint64_t file_bytes) {
  char preamble[12];
  if (file_bytes < 10 || !ReadExactly(preamble, 10).ok() ||
      std::memcmp(preamble, "\x93NUMPY", 6) != 0) {
    return Malformed(path_, "is not an npy file");
  }
  const int version = preamble[6];
  if (version < 1 || version > 3) return Malformed(path_, "has an unknown npy format version");
  uint64_t header_begin = 10;
  uint64_t header_bytes = Word(preamble + 8, 2, false);
  if (version > 1) {
    if (absl::Status status = ReadExactly(preamble + 10, 2); !status.ok()) return status;
    header_begin = 12;
    header_bytes = Word(preamble + 8, 4, false);
  }
  if (header_bytes > kHeaderBytesMax || header_begin + header_bytes > file_bytes) {
    return Malformed(path_, "the npy header is longer than the file or than 64 KiB");
  }
  std::string text(header_bytes, '\0');
  if (absl::Status status = ReadExactly(text.data(), text.size()); !status.ok()) return status;
  const absl::StatusOr<NpyHeader> header = ParseNpyHeader(text);
  if (!header.ok()) return Malformed(path_, header.status().message());
  if (header->dimension < 1 || header->dimension > kDimensionMax) {
    return Malformed(path_, absl::StrCat("rows have ", header->dimension,
                                         " components; expected 1 to ", kDimensionMax));
  }
  type_ = header->type;
  big_endian_ = header->big_endian;
  row_count_ = header->row_count;
  dimension_ = header->dimension;
  // The division avoids an overflow of row_count * row_bytes.
  const uint64_t row_bytes = dimension_ * WidthOf(type_);
  const uint64_t data_bytes = file_bytes - header_begin - header_bytes;
  if (data_bytes % row_bytes != 0 || data_bytes / row_bytes != row_count_) {
    return Malformed(path_, absl::StrCat("the header announces ", row_count_, " rows of ",
                                         row_bytes, " bytes, but ", data_bytes,
                                         " bytes follow; the file is damaged or cut short"));
  }
  return absl::OkStatus();
}

absl::Status VectorFileReader::OpenFvecs(uint64_t file_bytes) {
  has_row_header_ = true;
  if (file_bytes == 0) return absl::OkStatus();
  char first[4];
  if (file_bytes < 4 || !ReadExactly(first, 4).ok())
    return Malformed(path_, "is not an fvecs file");
  dimension_ = Word(first, 4, false);
  if (dimension_ < 1 || dimension_ > kDimensionMax) {
    return Malformed(path_, absl::StrCat("is not an fvecs file: its first row would have ",
                                         dimension_, " components"));
  }
  const uint64_t row_bytes = 4 + 4 * dimension_;
  if (file_bytes % row_bytes != 0) {
    return Malformed(path_, absl::StrCat("is no whole number of rows of ", dimension_,
                                         " components; the file is damaged or cut short"));
  }
  row_count_ = file_bytes / row_bytes;
  std::rewind(file_.get());
  return absl::OkStatus();
}

absl::Status VectorFileReader::ReadExactly(char* data, size_t size) {
  if (std::fread(data, 1, size, file_.get()) == size) return absl::OkStatus();
  return Malformed(path_, absl::StrCat("row ", rows_done_, ": cannot read ", size,
                                       " bytes; the file changed or the disk failed"));
}

absl::StatusOr<v1::Vector> VectorFileReader::Next() {
  if (has_row_header_) {
    char header[4];
    if (absl::Status status = ReadExactly(header, 4); !status.ok()) return status;
    if (Word(header, 4, false) != dimension_) {
      return Malformed(path_,
                       absl::StrCat("row ", rows_done_, " has another dimension than row 0"));
    }
  }
  const size_t width = WidthOf(type_);
  std::vector<char> bytes(dimension_ * width);
  if (absl::Status status = ReadExactly(bytes.data(), bytes.size()); !status.ok()) return status;
  ++rows_done_;
  const auto word = [&](size_t i) { return Word(bytes.data() + i * width, width, big_endian_); };
  switch (type_) {
    case ComponentType::kFloat16: {
      std::vector<float> values(dimension_);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = WidenFloat16(static_cast<uint32_t>(word(i)));
      }
      return Vector(values).proto();
    }
    case ComponentType::kFloat32: {
      std::vector<float> values(dimension_);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = std::bit_cast<float>(static_cast<uint32_t>(word(i)));
      }
      return Vector(values).proto();
    }
    case ComponentType::kFloat64: {
      std::vector<double> values(dimension_);
      for (size_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<double>(word(i));
      return Vector(values).proto();
    }
    case ComponentType::kInt32:
      break;
  }
  std::vector<int32_t> raw(dimension_);
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<int32_t>(word(i));
  if (raw_q16_) return Vector(Q16{raw}).proto();
  return Vector(std::vector<double>(raw.begin(), raw.end())).proto();
}

absl::Status VectorFileReader::Skip(uint64_t rows) {
  const uint64_t row_bytes = dimension_ * WidthOf(type_) + (has_row_header_ ? 4 : 0);
  // Both factors are bounded by the size of the file, which was checked.
  if (rows > row_count_ - rows_done_ ||
      fseeko(file_.get(), static_cast<off_t>(rows * row_bytes), SEEK_CUR) != 0) {
    return Malformed(path_, absl::StrCat("cannot skip ", rows, " rows"));
  }
  rows_done_ += rows;
  return absl::OkStatus();
}

}  // namespace stele::client::cli
