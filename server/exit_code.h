// Exit codes of stele-server: part of its interface; docs/operations.md has the same table.
// Thread safety: pure functions.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace stele::server {

enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,
  kDataLoss = 6,
  kDataDirectory = 7,
};

// For a status that ends the process.
ExitCode ExitCodeOf(const absl::Status& status);

// The table, one line for each code.
std::string ExitCodeText();

}  // namespace stele::server
