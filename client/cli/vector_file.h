// Files of vectors: NumPy's npy (format versions 1 to 3) and fvecs.
//
// Reads two-dimensional arrays in C order of float16, float32, float64 or int32, of either byte
// order; does not read pickles, Fortran order or structured types. int32 means values, unless the
// caller says that it holds raw Q16.16. Not thread-safe.
//
// Invariants:
//  1. Input is hostile: every size is checked against the file before anything is allocated.
//  2. Values are passed on exactly: float16 is widened, int32 becomes float64.
//
// Formats: numpy/lib/format.py (npy); corpus-texmex.irisa.fr (fvecs: int32 d, then d float32,
// little-endian, for each row).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/files.h"
#include "stele/v1/types.pb.h"

namespace stele::client::cli {

enum class VectorFileFormat { kNpy, kFvecs };
enum class ComponentType { kFloat16, kFloat32, kFloat64, kInt32 };

class VectorFileReader {
 public:
  // `raw_q16`: int32 components are raw Q16.16; any other type is refused then.
  static absl::StatusOr<VectorFileReader> Open(const std::string& path, VectorFileFormat format,
                                               bool raw_q16);

  uint64_t row_count() const { return row_count_; }
  uint64_t dimension() const { return dimension_; }

  // The next row. REQUIRES: fewer than row_count() rows were read or skipped.
  absl::StatusOr<v1::Vector> Next();
  absl::Status Skip(uint64_t rows);

 private:
  VectorFileReader() = default;
  absl::Status OpenNpy(uint64_t file_bytes);
  absl::Status OpenFvecs(uint64_t file_bytes);
  absl::Status ReadExactly(char* data, size_t size);

  std::string path_;
  FileHandle file_;
  ComponentType type_ = ComponentType::kFloat32;
  bool big_endian_ = false;
  bool raw_q16_ = false;
  // fvecs repeats the dimension before each row.
  bool has_row_header_ = false;
  uint64_t row_count_ = 0;
  uint64_t dimension_ = 0;
  uint64_t rows_done_ = 0;
};

// What the text header of an npy file says.
struct NpyHeader {
  ComponentType type = ComponentType::kFloat32;
  bool big_endian = false;
  uint64_t row_count = 0;
  uint64_t dimension = 0;
};

// Parses the dictionary, e.g. "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view text);

// Magic, version and header of a little-endian array, always 128 bytes, so that it can be rewritten
// when the number of rows is known. REQUIRES: type is kFloat64, kFloat32 or kInt32.
std::string NpyPreamble(ComponentType type, uint64_t row_count, uint64_t dimension);

}  // namespace stele::client::cli
