#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/vector_file.h"

namespace stele::client::cli {
namespace {

// A reader of the one Python literal that an npy header is: a dictionary of strings, booleans and a
// tuple of integers.
class HeaderParser {
 public:
  explicit HeaderParser(absl::string_view text) : rest_(text) {}

  bool Accept(char c) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<std::string> String() {
    SkipBlanks();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return std::nullopt;
    const size_t end = rest_.find(rest_.front(), 1);
    if (end == absl::string_view::npos) return std::nullopt;
    std::string result(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return result;
  }

  std::optional<bool> Boolean() {
    SkipBlanks();
    for (const bool value : {false, true}) {
      const absl::string_view word = value ? "True" : "False";
      if (rest_.substr(0, word.size()) != word) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    return std::nullopt;
  }

  std::optional<uint64_t> Integer() {
    SkipBlanks();
    size_t end = 0;
    while (end < rest_.size() && absl::ascii_isdigit(static_cast<unsigned char>(rest_[end]))) ++end;
    uint64_t value = 0;
    if (!absl::SimpleAtoi(rest_.substr(0, end), &value)) return std::nullopt;
    rest_.remove_prefix(end);
    return value;
  }

  std::optional<std::vector<uint64_t>> Tuple() {
    if (!Accept('(')) return std::nullopt;
    std::vector<uint64_t> values;
    while (!Accept(')')) {
      const std::optional<uint64_t> value = Integer();
      if (!value.has_value() || values.size() >= 32) return std::nullopt;
      values.push_back(*value);
      if (!Accept(',') && (SkipBlanks(), rest_.empty() || rest_.front() != ')'))
        return std::nullopt;
    }
    return values;
  }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && absl::ascii_isspace(static_cast<unsigned char>(rest_.front()))) {
      rest_.remove_prefix(1);
    }
  }

  absl::string_view rest_;
};

absl::Status SetType(const std::string& descr, NpyHeader* header) {
  const std::string supported = "supported are float16, float32, float64 and int32";
  if (descr.size() != 3 || (descr[0] != '<' && descr[0] != '>' && descr[0] != '=')) {
    return absl::InvalidArgumentError(
        absl::StrCat("the element type '", descr, "' is not supported; ", supported));
  }
  // '=' is the byte order of the machine that wrote the file, which the file does not tell.
  if (descr[0] == '=') return absl::InvalidArgumentError("the byte order '=' is ambiguous");
  header->big_endian = descr[0] == '>';
  const std::string kind = descr.substr(1);
  if (kind == "f2") {
    header->type = ComponentType::kFloat16;
  } else if (kind == "f4") {
    header->type = ComponentType::kFloat32;
  } else if (kind == "f8") {
    header->type = ComponentType::kFloat64;
  } else if (kind == "i4") {
    header->type = ComponentType::kInt32;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "the element type '", descr, "' is not supported; ", supported, ": convert with astype"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError("the npy header is malformed");
  HeaderParser parser(text);
  NpyHeader header;
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
  if (!parser.Accept('{')) return malformed;
  while (!parser.Accept('}')) {
    const std::optional<std::string> key = parser.String();
    if (!key.has_value() || !parser.Accept(':')) return malformed;
    if (*key == "descr") {
      const std::optional<std::string> descr = parser.String();
      if (!descr.has_value()) {
        return absl::InvalidArgumentError("structured element types are not supported");
      }
      if (absl::Status status = SetType(*descr, &header); !status.ok()) return status;
      has_descr = true;
    } else if (*key == "fortran_order") {
      const std::optional<bool> fortran_order = parser.Boolean();
      if (!fortran_order.has_value()) return malformed;
      if (*fortran_order) {
        return absl::InvalidArgumentError(
            "the array is in Fortran order; save it with numpy.ascontiguousarray");
      }
      has_order = true;
    } else if (*key == "shape") {
      const std::optional<std::vector<uint64_t>> shape = parser.Tuple();
      if (!shape.has_value()) return malformed;
      if (shape->size() != 2) {
        return absl::InvalidArgumentError(absl::StrCat(
            "the array has ", shape->size(), " dimensions; expected 2 (rows and components)"));
      }
      header.row_count = (*shape)[0];
      header.dimension = (*shape)[1];
      has_shape = true;
    } else {
      return malformed;
    }
    (void)parser.Accept(',');
  }
  if (!has_descr || !has_order || !has_shape) return malformed;
  return header;
}

std::string NpyPreamble(ComponentType type, uint64_t row_count, uint64_t dimension) {
  constexpr size_t kPreambleBytes = 128;
  const char* descr = type == ComponentType::kInt32     ? "<i4"
                      : type == ComponentType::kFloat64 ? "<f8"
                                                        : "<f4";
  std::string header = absl::StrCat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (",
                                    row_count, ", ", dimension, "), }");
  header.resize(kPreambleBytes - 10 - 1, ' ');
  header.push_back('\n');
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble.push_back(static_cast<char>(header.size() & 0xff));
  preamble.push_back(static_cast<char>(header.size() >> 8));
  return preamble + header;
}

}  // namespace stele::client::cli
