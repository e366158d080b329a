// Options that all reading commands share, and how records are printed.
//
// Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/json_values.h"
#include "client/cli/table.h"
#include "client/client.h"

namespace stele::client::cli {

struct ReadArguments {
  std::string collection;
  std::string filter;
  bool with_vector = false;
  bool with_attributes = false;
  bool with_document = false;
  uint64_t min_index = 0;
  std::optional<uint64_t> at_index;
  std::optional<absl::Time> at_time;

  Select select() const { return {with_vector, with_attributes, with_document}; }
  ReadOptions read() const;
};

void AddCollectionOption(CLI::App* command, ReadArguments* arguments);
void AddSelectOptions(CLI::App* command, ReadArguments* arguments);
// --filter, as JSON or @FILE.
void AddFilterOption(CLI::App* command, ReadArguments* arguments);
// --min-index, --at-index and --at-time.
void AddIndexOptions(CLI::App* command, ReadArguments* arguments);

// A time of RFC 3339, with a zone. Nothing for other text.
std::optional<absl::Time> ParseTime(const std::string& text);

// Nothing where --filter was not given. Errors are usage errors.
absl::StatusOr<std::optional<Filter>> FilterArgument(const std::string& argument);

// Headers and cells of the selected parts of a record.
void AppendRecordHeaders(const Select& select, std::vector<std::string>* headers);
void AppendRecordCells(const v1::Record& record, const Select& select,
                       std::vector<std::string>* cells);

}  // namespace stele::client::cli
