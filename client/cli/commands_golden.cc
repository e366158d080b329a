// `golden record|check`.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/filter_json.h"
#include "client/cli/golden.h"
#include "client/cli/golden_source.h"
#include "client/cli/record_source.h"
#include "client/cli/table.h"
#include "client/cli/vector_file.h"

namespace stele::client::cli {
namespace {

constexpr size_t kGoldenBytesMax = size_t{1} << 30;
constexpr size_t kRowsMax = 20;

struct GoldenOptions {
  std::string snapshot;  // empty: a server
  std::string queries;
  std::string collection;
  uint32_t k = 10;
  std::string out;
  std::string file;
  std::optional<uint64_t> at_index;
  bool any_state = false;
};
using OptionsPointer = std::shared_ptr<GoldenOptions>;

absl::Status BadQuery(const std::string& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// One line: a vector as `search --file` takes it, with "collection", "k", "filter", "threshold" or
// "distance_raw_max" of its own.
absl::StatusOr<GoldenQuery> QueryFromLine(const Json& json, const std::string& where,
                                          const GoldenOptions& options) {
  GoldenQuery query;
  query.name = where;
  query.collection = options.collection;
  query.query.set_k(options.k);
  absl::StatusOr<v1::Vector> vector = BadQuery(where, "it has no vector");
  if (!json.is_object()) vector = VectorFromJson(json, where);
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) {
      const std::string place = absl::StrCat(where, ": ", Printable(name, 100));
      if (name == "vector") {
        vector = VectorFromJson(value, place);
      } else if (name == "vector_q16") {
        vector = VectorFromQ16Json(value, place);
      } else if ((name == "id" || name == "name") && value.is_string()) {
        query.name = value.get<std::string>();
      } else if (name == "collection" && value.is_string()) {
        query.collection = value.get<std::string>();
      } else if (name == "k" && value.is_number_integer() && value.get<int64_t>() >= 0 &&
                 value.get<int64_t>() <= UINT32_MAX) {
        query.query.set_k(value.get<uint32_t>());
      } else if (name == "filter") {
        const auto filter = FilterFromJson(value, place);
        if (!filter.ok()) return filter.status();
        query.filter = value;
        *query.query.mutable_filter() = filter->proto();
      } else if (name == "threshold" && value.is_number()) {
        query.query.mutable_threshold()->set_score(value.get<double>());
      } else if (name == "distance_raw_max" && value.is_number_integer()) {
        query.query.mutable_threshold()->set_distance_raw_max(value.get<int64_t>());
      } else {
        return BadQuery(place, "it is unknown, or of another type");
      }
    }
  }
  if (!vector.ok()) return vector.status();
  *query.query.mutable_vector() = *std::move(vector);
  return query;
}

absl::StatusOr<std::vector<GoldenQuery>> QueriesFromLines(const GoldenOptions& options) {
  absl::StatusOr<LineReader> lines = LineReader::Open(options.queries);
  if (!lines.ok()) return lines.status();
  std::vector<GoldenQuery> queries;
  std::string line;
  for (;;) {
    const absl::StatusOr<bool> found = lines->Next(&line);
    if (!found.ok()) return found.status();
    if (!*found) return queries;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const std::string where = absl::StrCat("line ", lines->line_number());
    const absl::StatusOr<Json> json = ParseJson(line, where);
    if (!json.ok()) return json.status();
    auto query = QueryFromLine(*json, where, options);
    if (!query.ok()) return query.status();
    queries.push_back(*std::move(query));
  }
}

absl::StatusOr<std::vector<GoldenQuery>> QueriesFromVectors(const GoldenOptions& options,
                                                            VectorFileFormat format) {
  absl::StatusOr<VectorFileReader> reader = VectorFileReader::Open(options.queries, format, false);
  if (!reader.ok()) return reader.status();
  std::vector<GoldenQuery> queries;
  for (uint64_t row = 0; row < reader->row_count(); ++row) {
    absl::StatusOr<v1::Vector> vector = reader->Next();
    if (!vector.ok()) return vector.status();
    GoldenQuery& query = queries.emplace_back();
    query.name = absl::StrCat("row ", row);
    query.collection = options.collection;
    query.query.set_k(options.k);
    *query.query.mutable_vector() = *std::move(vector);
  }
  return queries;
}

absl::StatusOr<std::vector<GoldenQuery>> ReadQueries(const GoldenOptions& options) {
  const absl::StatusOr<std::string> format = FormatOf(options.queries, "");
  if (!format.ok()) return AsUsageError(format.status());
  auto queries = *format == "jsonl"
                     ? QueriesFromLines(options)
                     : QueriesFromVectors(options, *format == "npy" ? VectorFileFormat::kNpy
                                                                    : VectorFileFormat::kFvecs);
  if (!queries.ok()) {
    return absl::Status(queries.status().code(),
                        absl::StrCat(options.queries, ": ", queries.status().message()));
  }
  if (queries->empty()) return UsageError(absl::StrCat(options.queries, ": it holds no query"));
  std::vector<std::string> names;
  for (const GoldenQuery& query : *queries) {
    if (query.collection.empty()) {
      return UsageError(absl::StrCat(options.queries, ": the query ", Printable(query.name, 100),
                                     " names no collection: give --collection"));
    }
    names.push_back(query.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return UsageError(
        absl::StrCat(options.queries, ": two queries are called ", Printable(*twice, 100)));
  }
  return queries;
}

absl::Status RunRecord(Context& context, const GoldenOptions& options) {
  auto queries = ReadQueries(options);
  if (!queries.ok()) return queries.status();
  absl::StatusOr<Client> client = absl::UnknownError("");
  absl::StatusOr<GoldenSource> source = absl::UnknownError("");
  if (options.snapshot.empty()) {
    client = context.Connect(absl::Seconds(60));
    if (!client.ok()) return client.status();
    source = OpenServerSource(&*client, options.at_index);
  } else {
    source = OpenSnapshotSource(options.snapshot);
  }
  if (!source.ok()) return source.status();
  Golden golden;
  golden.state = source->state;
  for (GoldenQuery& query : *queries) {
    const auto receipt = source->ask(query.collection, query.query);
    if (!receipt.ok()) {
      return absl::Status(receipt.status().code(), absl::StrCat(Printable(query.name, 100), ": ",
                                                                receipt.status().message()));
    }
    query.query = QueryOf(*receipt, query.query);
    query.hits = HitsOf(*receipt);
    golden.state = StateOf(*receipt);
    golden.state.snapshot_hash = source->state.snapshot_hash;
    golden.queries.push_back(std::move(query));
  }
  const absl::Status status = WriteFile(options.out, GoldenToText(golden));
  if (!status.ok()) return status;
  Json json;
  json["queries"] = golden.queries.size();
  json["log_index"] = golden.state.log_index;
  json["state_root"] = golden.state.state_root;
  context.Print(
      json, absl::StrCat("recorded ", golden.queries.size(), " queries, log index ",
                         golden.state.log_index, ", state root ", golden.state.state_root, "\n"));
  return absl::OkStatus();
}

// What a check found, for programs and for people.
struct Report {
  Json json;
  std::string text;
  size_t failed = 0;
  bool state_differs = false;
};

// The pinned state must be the one that is asked.
void CheckState(const GoldenState& expected, const GoldenState& got, const GoldenOptions& options,
                Report* report) {
  const bool hashes = !expected.snapshot_hash.empty() && !got.snapshot_hash.empty();
  report->state_differs = expected.state_root != got.state_root ||
                          (hashes && expected.snapshot_hash != got.snapshot_hash);
  report->json["state"] = {{"expected_root", expected.state_root},
                           {"root", got.state_root},
                           {"log_index", got.log_index},
                           {"same", !report->state_differs}};
  if (hashes) report->json["state"]["expected_snapshot_hash"] = expected.snapshot_hash;
  if (hashes) report->json["state"]["snapshot_hash"] = got.snapshot_hash;
  if (!report->state_differs) return;
  absl::StrAppend(&report->text, options.any_state ? "note" : "FAILED",
                  ": the memory is not the one that was recorded\n");
  if (expected.state_root != got.state_root) {
    absl::StrAppend(&report->text, "  state root expected ", expected.state_root,
                    "\n             got ", got.state_root, " (log index ", got.log_index, ")\n");
  } else {
    absl::StrAppend(&report->text, "  snapshot expected ", expected.snapshot_hash,
                    "\n           got ", got.snapshot_hash, ", with the same content\n");
  }
}

// Asks one query and adds what came of it.
absl::Status CheckQuery(const GoldenQuery& query, const GoldenSource& source, GoldenState* state,
                        Report* report) {
  const auto receipt = source.ask(query.collection, query.query);
  Json json = {{"name", query.name}, {"collection", query.collection}};
  GoldenDifference difference;
  if (receipt.ok()) {
    *state = StateOf(*receipt);
    difference = Compare(query.hits, HitsOf(*receipt));
  } else if (absl::IsNotFound(receipt.status())) {
    difference = Compare(query.hits, {});
    json["error"] = std::string(receipt.status().message());
  } else {
    return absl::Status(receipt.status().code(),
                        absl::StrCat(Printable(query.name, 100), ": ", receipt.status().message()));
  }
  const bool passed = receipt.ok() && difference.ranks.empty();
  json["passed"] = passed;
  json.update(DifferenceToJson(difference));
  report->json["queries"].push_back(std::move(json));
  if (passed) return absl::OkStatus();
  ++report->failed;
  absl::StrAppend(&report->text, "FAILED: ", Printable(query.name, 100), " in ",
                  Printable(query.collection, 128), ": ");
  if (receipt.ok()) {
    absl::StrAppend(&report->text, difference.ranks.size(), " of ", query.hits.size(),
                    " expected ranks differ\n", DifferenceToText(difference, kRowsMax));
  } else {
    absl::StrAppend(&report->text, Printable(receipt.status().message(), 300), "\n");
  }
  return absl::OkStatus();
}

// Where the memory has moved on, the recorded state is asked for, if this is its log.
std::optional<uint64_t> IndexToAsk(const GoldenState& expected,
                                   const v1::GetServerInfoResponse& info,
                                   const GoldenOptions& options) {
  if (options.at_index.has_value()) return options.at_index;
  const bool moved_on = Hex(info.position().state_root()) != expected.state_root;
  if (options.any_state || !moved_on || info.checkpoint_key().name() != expected.log ||
      info.position().log_index() < expected.log_index) {
    return std::nullopt;
  }
  return expected.log_index;
}

absl::Status RunCheck(Context& context, const GoldenOptions& options) {
  const auto text = ReadFile(options.file, kGoldenBytesMax);
  if (!text.ok()) return text.status();
  const auto golden = GoldenFromJson(*text, options.file);
  if (!golden.ok()) return AsUsageError(golden.status());
  absl::StatusOr<Client> client = absl::UnknownError("");
  absl::StatusOr<GoldenSource> source = absl::UnknownError("");
  if (options.snapshot.empty()) {
    client = context.Connect(absl::Seconds(60));
    if (!client.ok()) return client.status();
    const auto info = client->ServerInfo();
    if (!info.ok()) return info.status();
    source = OpenServerSource(&*client, IndexToAsk(golden->state, *info, options));
  } else {
    source = OpenSnapshotSource(options.snapshot);
  }
  if (!source.ok()) return source.status();
  Report report;
  report.json["passed"] = false;
  report.json["state"] = nullptr;
  report.json["queries"] = Json::array();
  GoldenState state = source->state;
  Report answers = report;
  for (const GoldenQuery& query : golden->queries) {
    const absl::Status status = CheckQuery(query, *source, &state, &answers);
    if (!status.ok()) return status;
  }
  state.snapshot_hash = source->state.snapshot_hash;
  CheckState(golden->state, state, options, &report);
  report.json["queries"] = answers.json["queries"];
  const bool passed = answers.failed == 0 && (options.any_state || !report.state_differs);
  report.json["passed"] = passed;
  const size_t count = golden->queries.size();
  const std::string summary = absl::StrCat(count - answers.failed, " of ", count,
                                           " queries find exactly what was recorded");
  context.Print(report.json, absl::StrCat(report.text, answers.text, passed ? "ok: " : "",
                                          passed ? summary + "\n" : ""));
  if (passed) return absl::OkStatus();
  return DifferenceError(answers.failed == 0 ? absl::StrCat(summary, ", in another memory")
                                             : summary);
}

void AddSource(CLI::App* command, const OptionsPointer& options) {
  CLI::Option* const snapshot =
      command
          ->add_option("--snapshot", options->snapshot,
                       "Snapshot file to ask, without a server (default: the server of --address)")
          ->check(CLI::ExistingFile);
  command->add_option("--at-index", options->at_index, "Ask the server's state after this entry")
      ->excludes(snapshot);
}

}  // namespace

void AddGoldenCommands(CLI::App* app, Context* context) {
  CLI::App* golden =
      AddCommand(app, "golden", "Golden retrieval tests: what some queries must find, exactly");
  golden->require_subcommand(1);
  const auto options = std::make_shared<GoldenOptions>();

  CLI::App* record = AddCommand(golden, "record", "Record what queries find");
  record->add_option("--queries", options->queries, "Queries: jsonl, npy or fvecs")
      ->required()
      ->check(CLI::ExistingFile);
  record->add_option("--collection", options->collection,
                     "Collection of the queries that name none themselves");
  record->add_option("-k,--k", options->k, "Hits at most, for queries without a k of their own")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  record->add_option("-o,--out", options->out, "File to write")->required();
  AddSource(record, options);
  SetRun(record, context, [options](Context& c) { return RunRecord(c, *options); });

  CLI::App* check =
      AddCommand(golden, "check", "Ask again and compare; exit code 9 where anything differs");
  check->add_option("FILE", options->file, "What `golden record` wrote")
      ->required()
      ->check(CLI::ExistingFile);
  check->add_flag("--any-state", options->any_state,
                  "The memory may be another one; only the answers must be the same");
  AddSource(check, options);
  SetRun(check, context, [options](Context& c) { return RunCheck(c, *options); });
}

}  // namespace stele::client::cli
