// Text for people: tables and safe printing of what a server sends.
//
// Pure; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::client::cli {

// The text with control characters as \xNN and cut to `width_max` characters, so that an id or a
// document cannot move the cursor of a terminal.
std::string Printable(absl::string_view text, size_t width_max);

// The name of a value of the wire's enums for people: "CHANGE_KIND_CREATED" as "created", given the
// size of the prefix; what has no name is "unknown".
std::string Word(const std::string& name, size_t prefix_size);

class Table {
 public:
  // A header that begins with '>' is right-aligned (the mark is not printed).
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  // REQUIRES: as many cells as headers.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Columns two blanks apart, without blanks at the end of a line.
  std::string Format() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace stele::client::cli
