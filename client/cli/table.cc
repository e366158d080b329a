#include "client/cli/table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace stele::client::cli {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Code points, which is close enough for the widths of a table.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

}  // namespace

std::string Word(const std::string& name, size_t prefix_size) {
  std::string word = name.size() > prefix_size ? name.substr(prefix_size) : "unknown";
  for (char& c : word) c = c == '_' ? ' ' : absl::ascii_tolower(static_cast<unsigned char>(c));
  return word;
}

std::string Printable(absl::string_view text, size_t width_max) {
  std::string result;
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (!IsContinuation(text[i]) && ++width > width_max) return result + "…";
    // C0, DEL, and the C1 controls (U+0080..U+009F) that some terminals obey.
    const bool is_c1 =
        byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f) {
      result += absl::StrFormat("\\x%02x", byte);
    } else if (is_c1) {
      result += absl::StrFormat("\\x%02x", static_cast<unsigned char>(text[++i]));
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

std::string Table::Format() const {
  std::vector<std::string> titles;
  std::vector<bool> right;
  std::vector<size_t> widths;
  for (const std::string& header : headers_) {
    right.push_back(!header.empty() && header.front() == '>');
    titles.push_back(right.back() ? header.substr(1) : header);
    widths.push_back(Width(titles.back()));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  const auto add_row = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string padding(widths[i] - Width(cells[i]), ' ');
      line += right[i] ? padding + cells[i] : cells[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_row(titles);
  for (const auto& row : rows_) add_row(row);
  return text;
}

}  // namespace stele::client::cli
