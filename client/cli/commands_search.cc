// `search`.
#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/context.h"
#include "client/cli/explanation.h"
#include "client/cli/files.h"
#include "client/cli/read_options.h"
#include "client/cli/record_source.h"
#include "client/cli/vector_file.h"

namespace stele::client::cli {
namespace {

struct SearchArguments {
  ReadArguments read;
  std::string vector;
  std::string file;
  std::optional<uint64_t> row;
  uint32_t k = 10;
  std::optional<double> threshold;
  std::optional<int64_t> distance_raw_max;
  bool explain = false;
  std::string receipt_file;
};

// A vector to ask about, and what to call it.
struct NamedVector {
  std::string name;
  v1::Vector vector;
};

// One line: a list of numbers, or an object with "vector" or "vector_q16" and perhaps an "id".
absl::StatusOr<NamedVector> QueryFromJson(const Json& json, const std::string& where) {
  absl::StatusOr<v1::Vector> vector = v1::Vector();
  std::string name = where;
  if (json.is_object() && json.contains("vector")) {
    vector = VectorFromJson(json["vector"], where);
  } else if (json.is_object() && json.contains("vector_q16")) {
    vector = VectorFromQ16Json(json["vector_q16"], where);
  } else {
    vector = VectorFromJson(json, where);
  }
  if (!vector.ok()) return vector.status();
  if (json.is_object() && json.contains("id") && json["id"].is_string()) {
    name = json["id"].get<std::string>();
  }
  return NamedVector{std::move(name), *std::move(vector)};
}

absl::StatusOr<std::vector<NamedVector>> QueriesFromJsonl(const std::string& path,
                                                          std::optional<uint64_t> row) {
  absl::StatusOr<LineReader> lines = LineReader::Open(path);
  if (!lines.ok()) return lines.status();
  std::vector<NamedVector> queries;
  std::string line;
  for (uint64_t index = 0;;) {
    const absl::StatusOr<bool> found = lines->Next(&line);
    if (!found.ok()) return found.status();
    if (!*found) return queries;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (row.has_value() && index++ != *row) continue;
    const std::string where = absl::StrCat(path, ":", lines->line_number());
    const absl::StatusOr<Json> json = ParseJson(line, where);
    if (!json.ok()) return json.status();
    absl::StatusOr<NamedVector> query = QueryFromJson(*json, where);
    if (!query.ok()) return query.status();
    queries.push_back(*std::move(query));
  }
}

absl::StatusOr<std::vector<NamedVector>> QueriesFromVectorFile(const std::string& path,
                                                               VectorFileFormat format,
                                                               std::optional<uint64_t> row) {
  absl::StatusOr<VectorFileReader> reader = VectorFileReader::Open(path, format, false);
  if (!reader.ok()) return reader.status();
  const uint64_t first = std::min(row.value_or(0), reader->row_count());
  const uint64_t end =
      row.has_value() ? std::min(first + 1, reader->row_count()) : reader->row_count();
  if (absl::Status status = reader->Skip(first); !status.ok()) return status;
  std::vector<NamedVector> queries;
  for (uint64_t index = first; index < end; ++index) {
    absl::StatusOr<v1::Vector> vector = reader->Next();
    if (!vector.ok()) return vector.status();
    queries.push_back({absl::StrCat(path, ", row ", index), *std::move(vector)});
  }
  return queries;
}

absl::StatusOr<std::vector<NamedVector>> ReadQueries(const SearchArguments& arguments) {
  if (arguments.vector.empty() == arguments.file.empty()) {
    return UsageError("give either --vector or --file");
  }
  if (!arguments.vector.empty()) {
    if (arguments.row.has_value()) return UsageError("--row belongs to --file");
    const absl::StatusOr<Json> json = ParseJson(arguments.vector, "--vector");
    if (!json.ok()) return AsUsageError(json.status());
    absl::StatusOr<v1::Vector> vector = VectorFromJson(*json, "--vector");
    if (!vector.ok()) return AsUsageError(vector.status());
    return std::vector<NamedVector>{{"", *std::move(vector)}};
  }
  const absl::StatusOr<std::string> format = FormatOf(arguments.file, "");
  if (!format.ok()) return AsUsageError(format.status());
  absl::StatusOr<std::vector<NamedVector>> queries =
      *format == "jsonl" ? QueriesFromJsonl(arguments.file, arguments.row)
                         : QueriesFromVectorFile(
                               arguments.file,
                               *format == "npy" ? VectorFileFormat::kNpy : VectorFileFormat::kFvecs,
                               arguments.row);
  if (queries.ok() && queries->empty()) {
    return UsageError(absl::StrCat(arguments.file, ": holds no such query"));
  }
  return queries;
}

Json HitsToJson(const google::protobuf::RepeatedPtrField<v1::Hit>& hits) {
  Json json = Json::array();
  for (const v1::Hit& hit : hits) {
    Json item = RecordToJson(hit.record(), true);
    item["score"] = hit.score();
    item["distance_raw"] = hit.distance_raw();
    json.push_back(std::move(item));
  }
  return json;
}

std::string HitsToText(const google::protobuf::RepeatedPtrField<v1::Hit>& hits,
                       const Select& select) {
  if (hits.empty()) return "no hits\n";
  std::vector<std::string> headers = {">#", "ID", ">SCORE", ">DISTANCE RAW"};
  AppendRecordHeaders(select, &headers);
  Table table(headers);
  for (int i = 0; i < hits.size(); ++i) {
    std::vector<std::string> cells = {absl::StrCat(i + 1), Printable(hits[i].record().id(), 60),
                                      absl::StrFormat("%.6f", hits[i].score()),
                                      absl::StrCat(hits[i].distance_raw())};
    AppendRecordCells(hits[i].record(), select, &cells);
    table.AddRow(std::move(cells));
  }
  return table.Format();
}

// Asks in batches that the server accepts, all on the state of the first one.
absl::StatusOr<std::vector<v1::BatchSearchResponse>> Ask(Client* client,
                                                         const SearchArguments& arguments,
                                                         const std::vector<Query>& queries) {
  size_t batch_max = 100;
  if (const auto info = client->ServerInfo(); info.ok() && info->limits().max_batch_queries() > 0) {
    batch_max = std::min<size_t>(batch_max, info->limits().max_batch_queries());
  }
  std::vector<v1::BatchSearchResponse> responses;
  ReadOptions read = arguments.read.read();
  read.explain = arguments.explain;
  read.receipt = !arguments.receipt_file.empty();
  for (size_t begin = 0; begin < queries.size(); begin += batch_max) {
    const size_t count = std::min(batch_max, queries.size() - begin);
    auto response =
        client->BatchSearch(arguments.read.collection, std::span(queries).subspan(begin, count),
                            arguments.read.select(), read);
    if (!response.ok()) return response.status();
    if (static_cast<size_t>(response->results_size()) != count) {
      return absl::InternalError("the server answered another number of queries than were asked");
    }
    read.at_index = response->position().log_index();
    responses.push_back(*std::move(response));
  }
  return responses;
}

// FILE, or FILE.1, FILE.2 ... where there are several.
absl::Status WriteReceipt(const SearchArguments& arguments, size_t count, size_t index,
                          const std::string& receipt) {
  const std::string path =
      count == 1 ? arguments.receipt_file : absl::StrCat(arguments.receipt_file, ".", index + 1);
  if (receipt.empty()) {
    return absl::UnimplementedError("the server gave no receipt: it is too old to make them");
  }
  return WriteFile(path, receipt);
}

absl::Status RunSearch(Context& context, const SearchArguments& arguments) {
  if (arguments.threshold.has_value() && arguments.distance_raw_max.has_value()) {
    return UsageError("give either --threshold or --distance-raw-max");
  }
  absl::StatusOr<std::optional<Filter>> filter = FilterArgument(arguments.read.filter);
  if (!filter.ok()) return filter.status();
  absl::StatusOr<std::vector<NamedVector>> vectors = ReadQueries(arguments);
  if (!vectors.ok()) return vectors.status();
  std::vector<Query> queries;
  for (NamedVector& named : *vectors) {
    Query query;
    query.vector = Vector(std::move(named.vector));
    query.k = arguments.k;
    query.filter = *filter;
    query.score_threshold = arguments.threshold;
    query.distance_raw_max = arguments.distance_raw_max;
    queries.push_back(std::move(query));
  }
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(60));
  if (!client.ok()) return client.status();
  const auto responses = Ask(&*client, arguments, queries);
  if (!responses.ok()) return responses.status();

  Json json;
  json["position"] = PositionToJson(responses->front().position());
  json["algorithm"] = responses->front().algorithm();
  json["results"] = Json::array();
  std::string text;
  size_t index = 0;
  for (const v1::BatchSearchResponse& response : *responses) {
    for (const auto& result : response.results()) {
      if (!arguments.receipt_file.empty()) {
        const absl::Status kept = WriteReceipt(arguments, queries.size(), index, result.receipt());
        if (!kept.ok()) return kept;
      }
      const std::string& name = (*vectors)[index++].name;
      Json item = {{"query", name}, {"hits", HitsToJson(result.hits())}};
      if (queries.size() > 1) absl::StrAppend(&text, Printable(name, 200), "\n");
      absl::StrAppend(&text, HitsToText(result.hits(), arguments.read.select()));
      if (arguments.explain) {
        const auto* explanation = result.has_explanation() ? &result.explanation() : nullptr;
        item["explanation"] = ExplanationToJson(explanation);
        absl::StrAppend(&text, "\n", ExplanationToText(explanation), "\n");
      }
      json["results"].push_back(std::move(item));
    }
  }
  absl::StrAppend(&text, Printable(responses->front().algorithm(), 40), " search, ",
                  PositionToText(responses->front().position()), "\n");
  context.Print(json, text);
  return absl::OkStatus();
}

}  // namespace

void AddSearchCommand(CLI::App* app, Context* context) {
  auto search = std::make_shared<SearchArguments>();
  CLI::App* command = AddCommand(app, "search", "The exact k nearest records");
  AddCollectionOption(command, &search->read);
  command->add_option("--vector", search->vector, "JSON list of numbers, or {\"q16\": [integers]}");
  command->add_option("--file", search->file, "Queries: jsonl, npy or fvecs")
      ->check(CLI::ExistingFile);
  command->add_option("--row", search->row, "Only this query of the file, from 0");
  command->add_option("-k,--k", search->k, "Hits at most")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  AddFilterOption(command, &search->read);
  command->add_option("--threshold", search->threshold,
                      "l2: score at most this; cosine, dot: at least this");
  command->add_option("--distance-raw-max", search->distance_raw_max,
                      "Exact bound on the raw distance");
  command->add_flag("--explain", search->explain, "Show how each answer was found");
  command->add_option("--receipt", search->receipt_file,
                      "Write the server's signed receipt to this file (several: FILE.1, ...)");
  AddSelectOptions(command, &search->read);
  AddIndexOptions(command, &search->read);
  SetRun(command, context, [search](Context& c) { return RunSearch(c, *search); });
}

}  // namespace stele::client::cli
