// Golden files: what the code made when a format was frozen. They change only when
// STELE_GOLDEN_UPDATE=1 is set for the run; a commit that changes one says why.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace stele::golden {

inline std::string Directory() { return std::string(STELE_SOURCE_DIR) + "/tests/golden/"; }

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline bool MayUpdate() {
  const char* flag = std::getenv("STELE_GOLDEN_UPDATE");
  return flag != nullptr && std::string(flag) == "1";
}

// Whether the file holds `content`; where updating is allowed, makes it so.
inline bool Holds(const std::string& path, const std::string& content) {
  if (ReadFile(path) == content) return true;
  if (!MayUpdate()) return false;
  std::ofstream(path, std::ios::binary) << content;
  return true;
}

inline std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace stele::golden
