#include "client/cli/read_options.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/filter_json.h"

namespace stele::client::cli {
namespace {

constexpr size_t kFilterFileBytesMax = size_t{4} << 20;
constexpr size_t kComponentsShown = 4;

std::string VectorCell(const std::string& q16) {
  const absl::StatusOr<std::vector<double>> values = DecodeDoubles(q16);
  if (!values.ok()) return "(malformed)";
  std::string cell = "[";
  for (size_t i = 0; i < values->size() && i < kComponentsShown; ++i) {
    absl::StrAppendFormat(&cell, "%s%.5g", i == 0 ? "" : ", ", (*values)[i]);
  }
  return cell + (values->size() > kComponentsShown ? ", …]" : "]");
}

}  // namespace

std::optional<absl::Time> ParseTime(const std::string& text) {
  absl::Time time;
  std::string error;
  // With a zone; "now" and "infinite-future" are words of the parser that are no RFC 3339.
  if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text.front())) ||
      !absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return std::nullopt;
  }
  return time;
}

ReadOptions ReadArguments::read() const {
  ReadOptions options;
  options.min_index = min_index;
  options.at_index = at_index;
  options.at_time = at_time;
  return options;
}

void AddCollectionOption(CLI::App* command, ReadArguments* arguments) {
  command->add_option("COLLECTION", arguments->collection, "Collection")->required();
}

void AddSelectOptions(CLI::App* command, ReadArguments* arguments) {
  command->add_flag("--with-vector", arguments->with_vector, "Show the vector");
  command->add_flag("--with-attributes", arguments->with_attributes, "Show the attributes");
  command->add_flag("--with-document", arguments->with_document, "Show the document");
}

void AddFilterOption(CLI::App* command, ReadArguments* arguments) {
  command->add_option("--filter", arguments->filter,
                      "JSON filter, or @FILE; e.g. {\"attribute\": \"year\", \"equals\": 2020}");
}

void AddIndexOptions(CLI::App* command, ReadArguments* arguments) {
  command->add_option("--min-index", arguments->min_index, "Wait for this log index");
  CLI::Option* index =
      command->add_option("--at-index", arguments->at_index, "Read the state after this log index");
  command
      ->add_option_function<std::string>(
          "--at-time",
          [arguments](const std::string& text) {
            const std::optional<absl::Time> time = ParseTime(text);
            if (!time.has_value()) {
              throw CLI::ValidationError(
                  "--at-time", "'" + text + "' is not a time like 2026-11-24T10:00:00Z (RFC 3339)");
            }
            arguments->at_time = *time;
          },
          "Read the state at this time, RFC 3339, e.g. 2026-11-24T10:00:00Z")
      ->excludes(index);
}

absl::StatusOr<std::optional<Filter>> FilterArgument(const std::string& argument) {
  if (argument.empty()) return std::nullopt;
  std::string text = argument;
  if (absl::StartsWith(argument, "@")) {
    absl::StatusOr<std::string> content = ReadFile(argument.substr(1), kFilterFileBytesMax);
    if (!content.ok()) return content.status();
    text = *std::move(content);
  }
  absl::StatusOr<Filter> filter = ParseFilter(text, "--filter");
  if (!filter.ok()) return AsUsageError(filter.status());
  return std::optional<Filter>(*std::move(filter));
}

void AppendRecordHeaders(const Select& select, std::vector<std::string>* headers) {
  if (select.vector) headers->push_back("VECTOR");
  if (select.attributes) headers->push_back("ATTRIBUTES");
  if (select.document) headers->push_back("DOCUMENT");
}

void AppendRecordCells(const v1::Record& record, const Select& select,
                       std::vector<std::string>* cells) {
  if (select.vector) cells->push_back(VectorCell(record.vector_q16()));
  if (select.attributes) {
    cells->push_back(Printable(
        AttributesToJson(record.attributes()).dump(-1, ' ', false, Json::error_handler_t::replace),
        80));
  }
  if (select.document) cells->push_back(Printable(record.document(), 80));
}

}  // namespace stele::client::cli
