// Writes the log of a server as plain files that verify without it: docs/format.md, "Exported log".
//
// It checks nothing but what it needs to lay the files out: verifying is another's task. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace stele::client::cli {

struct LogExport {
  uint64_t base = 0;
  uint64_t size = 0;  // entries of the checkpoint: base .. size - 1 are in the files
  uint64_t bytes = 0;
};

// `directory` must not exist, or be empty. It is complete when its file `checkpoint` is there.
absl::StatusOr<LogExport> ExportLog(Client& client, const std::string& directory,
                                    absl::Duration timeout);

}  // namespace stele::client::cli
