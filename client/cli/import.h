// Imports one file into one collection, resumably.
//
// Rows become batches (batch_builder.h), each one log entry with a request id derived from the
// file's content, the collection and the rows. A batch that is sent again, by this run or a later
// one, is recognised by the server and takes effect once. A progress file says which rows need not
// be sent at all. Does not create collections. Not thread-safe.
//
// Invariants:
//  1. Killed at any instant, the next run of the same command completes the import, each row once.
//  2. A changed file, collection or server never continues another one's progress.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/progress.h"
#include "client/cli/record_source.h"
#include "client/client.h"

namespace stele::client::cli {

struct ImportOptions {
  std::string collection;
  SourceOptions source;
  BatchLimits batch;
  size_t window = 8;
  // FILE.stele-progress if empty.
  std::string resume_path;
  // Ignore a progress file and begin with the first row.
  bool restart = false;
  // Make new request ids, so that rows which an earlier import wrote are written again.
  bool again = false;
  // Told of every step; may be empty.
  std::function<void(const std::string& stage, const ProgressState& state)> on_progress;
};

struct ImportResult {
  uint64_t row_count = 0;
  // Rows that an interrupted run had written and that were not sent again.
  uint64_t resumed_rows = 0;
  // Rows in entries that the server had executed before, so that they were not applied again.
  uint64_t duplicate_rows = 0;
  uint64_t entry_count = 0;
  uint64_t inserted_count = 0;
  uint64_t updated_count = 0;
  // Of the newest entry.
  v1::Position position;
};

absl::StatusOr<ImportResult> ImportFile(Client* client, const ImportOptions& options);

}  // namespace stele::client::cli
