// `diff`, `diff search`, `counterfactual`.
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/context.h"
#include "client/cli/read_options.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

using Hits = google::protobuf::RepeatedPtrField<v1::Hit>;
using HitDiffs = google::protobuf::RepeatedPtrField<v1::HitDiff>;

std::string KindWord(v1::DiffKind kind) { return Word(v1::DiffKind_Name(kind), 10); }

struct DiffArguments {
  std::optional<uint64_t> from;
  std::optional<uint64_t> to;
  std::string collection;
};

Json CollectionToJson(const v1::CollectionDiff& collection) {
  return {{"name", collection.name()},
          {"kind", KindWord(collection.kind())},
          {"added_count", collection.added_count()},
          {"removed_count", collection.removed_count()},
          {"changed_count", collection.changed_count()}};
}

Json RecordToJson(const v1::RecordDiff& record) {
  Json json = {{"id", record.id()}, {"kind", KindWord(record.kind())}, {"key", Hex(record.key())}};
  json["before_version"] = record.before_version();
  json["after_version"] = record.after_version();
  json["before_commitment"] = Hex(record.before_commitment());
  json["after_commitment"] = Hex(record.after_commitment());
  return json;
}

absl::Status RunDiff(Context& context, const DiffArguments& arguments) {
  if (!arguments.from.has_value() || !arguments.to.has_value()) {
    return UsageError("diff takes FROM and TO, two log indices, and perhaps a collection");
  }
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(60));
  if (!client.ok()) return client.status();
  const auto response = client->DiffStates(*arguments.from, *arguments.to, arguments.collection);
  if (!response.ok()) return response.status();
  Json json;
  json["collections"] = Json::array();
  Table collections({"COLLECTION", "CHANGE", ">ADDED", ">REMOVED", ">CHANGED"});
  for (const v1::CollectionDiff& collection : response->collections()) {
    json["collections"].push_back(CollectionToJson(collection));
    collections.AddRow({Printable(collection.name(), 60), KindWord(collection.kind()),
                        absl::StrCat(collection.added_count()),
                        absl::StrCat(collection.removed_count()),
                        absl::StrCat(collection.changed_count())});
  }
  json["records"] = Json::array();
  Table records({"ID", "CHANGE", ">BEFORE", ">AFTER"});
  for (const v1::RecordDiff& record : response->records()) {
    json["records"].push_back(RecordToJson(record));
    const auto version = [](uint64_t number) { return number == 0 ? "" : absl::StrCat(number); };
    records.AddRow({record.id().empty() ? absl::StrCat("(erased) ", Hex(record.key()))
                                        : Printable(record.id(), 60),
                    KindWord(record.kind()), version(record.before_version()),
                    version(record.after_version())});
  }
  json["entries_read"] = response->entries_read();
  json["position"] = PositionToJson(response->position());
  std::string text = response->collections().empty() ? "no difference\n" : collections.Format();
  if (!response->records().empty()) absl::StrAppend(&text, "\n", records.Format());
  context.Print(json, text);
  return absl::OkStatus();
}

struct QueryArguments {
  ReadArguments read;
  std::string vector;
  uint32_t k = 10;
  std::optional<double> threshold;
  uint64_t from = 0;
  uint64_t to = 0;
  Client::Without without;
  std::string entries;
};

absl::StatusOr<Query> QueryOf(const QueryArguments& arguments) {
  const absl::StatusOr<Json> json = ParseJson(arguments.vector, "--vector");
  if (!json.ok()) return AsUsageError(json.status());
  absl::StatusOr<v1::Vector> vector = VectorFromJson(*json, "--vector");
  if (!vector.ok()) return AsUsageError(vector.status());
  absl::StatusOr<std::optional<Filter>> filter = FilterArgument(arguments.read.filter);
  if (!filter.ok()) return filter.status();
  Query query;
  query.vector = Vector(*std::move(vector));
  query.k = arguments.k;
  query.filter = *std::move(filter);
  query.score_threshold = arguments.threshold;
  return query;
}

Json HitsToJson(const Hits& hits) {
  Json json = Json::array();
  for (const v1::Hit& hit : hits) {
    json.push_back({{"id", hit.record().id()},
                    {"version", hit.record().version()},
                    {"score", hit.score()},
                    {"distance_raw", hit.distance_raw()}});
  }
  return json;
}

Json DifferencesToJson(const HitDiffs& differences) {
  Json json = Json::array();
  for (const v1::HitDiff& hit : differences) {
    Json item = {{"id", hit.id()},
                 {"change", Word(v1::HitChange_Name(hit.change()), 11)},
                 {"reason", Word(v1::HitReason_Name(hit.reason()), 11)}};
    item["before_rank"] = hit.before_rank();
    item["after_rank"] = hit.after_rank();
    item["before_distance_raw"] =
        hit.has_before_distance_raw() ? Json(hit.before_distance_raw()) : Json();
    item["after_distance_raw"] =
        hit.has_after_distance_raw() ? Json(hit.after_distance_raw()) : Json();
    item["by_ids"] = Json::array();
    for (const std::string& id : hit.by_ids()) item["by_ids"].push_back(id);
    json.push_back(std::move(item));
  }
  return json;
}

std::string DifferencesToText(const HitDiffs& differences) {
  if (differences.empty()) return "the same answer\n";
  Table table({"ID", "CHANGE", ">WAS", ">IS", "WHY"});
  for (const v1::HitDiff& hit : differences) {
    const auto rank = [](uint32_t number) { return number == 0 ? "" : absl::StrCat("#", number); };
    std::string why = Word(v1::HitReason_Name(hit.reason()), 11);
    if (!hit.by_ids().empty()) {
      absl::StrAppend(&why, " by ", Printable(absl::StrJoin(hit.by_ids(), ", "), 80));
    }
    table.AddRow({Printable(hit.id(), 60), Word(v1::HitChange_Name(hit.change()), 11),
                  rank(hit.before_rank()), rank(hit.after_rank()), why});
  }
  return table.Format();
}

absl::Status RunDiffSearch(Context& context, const QueryArguments& arguments) {
  const absl::StatusOr<Query> query = QueryOf(arguments);
  if (!query.ok()) return query.status();
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(60));
  if (!client.ok()) return client.status();
  const auto response = client->DiffSearch(arguments.read.collection, *query, arguments.from,
                                           arguments.to, arguments.read.read());
  if (!response.ok()) return response.status();
  Json json;
  json["before"] = HitsToJson(response->before());
  json["after"] = HitsToJson(response->after());
  json["differences"] = DifferencesToJson(response->differences());
  json["before_position"] = PositionToJson(response->before_position());
  json["position"] = PositionToJson(response->position());
  context.Print(json, DifferencesToText(response->differences()));
  return absl::OkStatus();
}

// "12-40" as a range.
std::optional<v1::LogRange> ParseRange(const std::string& text) {
  const size_t dash = text.find('-');
  uint64_t first = 0;
  uint64_t last = 0;
  if (dash == std::string::npos || !absl::SimpleAtoi(text.substr(0, dash), &first) ||
      !absl::SimpleAtoi(text.substr(dash + 1), &last)) {
    return std::nullopt;
  }
  v1::LogRange range;
  range.set_first_index(first);
  range.set_last_index(last);
  return range;
}

absl::Status RunCounterfactual(Context& context, const QueryArguments& arguments) {
  const absl::StatusOr<Query> query = QueryOf(arguments);
  if (!query.ok()) return query.status();
  Client::Without without = arguments.without;
  if (!arguments.entries.empty()) {
    without.entries = ParseRange(arguments.entries);
    if (!without.entries.has_value()) {
      return UsageError("--without-entries takes a range of log indices like 12-40");
    }
  }
  if ((without.ids.empty() ? 0 : 1) + (without.actor.has_value() ? 1 : 0) +
          (without.entries.has_value() ? 1 : 0) !=
      1) {
    return UsageError("give one of --without-id, --without-actor and --without-entries");
  }
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(300));
  if (!client.ok()) return client.status();
  const auto response =
      client->SearchWithout(arguments.read.collection, *query, without, arguments.read.read());
  if (!response.ok()) return response.status();
  Json json;
  json["actual"] = HitsToJson(response->actual());
  json["counterfactual"] = HitsToJson(response->counterfactual());
  json["differences"] = DifferencesToJson(response->differences());
  std::string text = DifferencesToText(response->differences());
  if (response->entries_applied() > 0) {
    json["state_root"] = Hex(response->state_root());
    json["entries_left_out"] = response->entries_left_out();
    json["entries_applied"] = response->entries_applied();
    json["outcomes_changed"] = response->outcomes_changed();
    absl::StrAppend(&text, "left out ", response->entries_left_out(), " of ",
                    response->entries_applied(), " entries; ", response->outcomes_changed(),
                    " others came out differently\n");
  }
  json["position"] = PositionToJson(response->position());
  context.Print(json, text);
  return absl::OkStatus();
}

void AddQueryOptions(CLI::App* command, const std::shared_ptr<QueryArguments>& arguments) {
  AddCollectionOption(command, &arguments->read);
  command
      ->add_option("--vector", arguments->vector, "JSON list of numbers, or {\"q16\": [integers]}")
      ->required();
  command->add_option("-k,--k", arguments->k, "Hits at most")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  AddFilterOption(command, &arguments->read);
  command->add_option("--threshold", arguments->threshold,
                      "l2: score at most this; cosine, dot: at least this");
  command->add_option("--min-index", arguments->read.min_index, "Wait for this log index");
}

}  // namespace

void AddCompareCommands(CLI::App* app, Context* context) {
  auto diff = std::make_shared<DiffArguments>();
  CLI::App* command =
      AddCommand(app, "diff", "What changed between the states after two log indices");
  command->add_option("FROM", diff->from, "Earlier log index");
  command->add_option("TO", diff->to, "Later log index");
  command->add_option("COLLECTION", diff->collection, "Show this collection's records");
  command->callback([command, context, diff] {
    if (!command->get_subcommands().empty()) return;
    context->run = [context, diff] { return RunDiff(*context, *diff); };
  });

  auto search = std::make_shared<QueryArguments>();
  CLI::App* sub = AddCommand(command, "search", "One search on both states, and why it differs");
  AddQueryOptions(sub, search);
  sub->add_option("FROM", search->from, "Earlier log index")->required();
  sub->add_option("TO", search->to, "Later log index")->required();
  SetRun(sub, context, [search](Context& c) { return RunDiffSearch(c, *search); });

  auto other = std::make_shared<QueryArguments>();
  command = AddCommand(app, "counterfactual",
                       "What a search would have answered without records, an actor or entries");
  AddQueryOptions(command, other);
  command->add_option("--without-id", other->without.ids, "Leave this record out; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--without-actor", other->without.actor, "Leave all entries of it out");
  command->add_option("--without-entries", other->entries, "Leave this range of the log out: A-B");
  command->add_option("--at-index", other->read.at_index, "Ask the state after this log index");
  SetRun(command, context, [other](Context& c) { return RunCounterfactual(c, *other); });
}

}  // namespace stele::client::cli
