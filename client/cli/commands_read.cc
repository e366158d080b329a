// `get`, `list`, `count`.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/context.h"
#include "client/cli/progress.h"
#include "client/cli/read_options.h"

namespace stele::client::cli {
namespace {

std::string RecordsToText(const google::protobuf::RepeatedPtrField<v1::Record>& records,
                          const Select& select) {
  std::vector<std::string> headers = {"ID", ">VERSION"};
  AppendRecordHeaders(select, &headers);
  Table table(headers);
  for (const v1::Record& record : records) {
    std::vector<std::string> cells = {Printable(record.id(), 60), absl::StrCat(record.version())};
    AppendRecordCells(record, select, &cells);
    table.AddRow(std::move(cells));
  }
  return records.empty() ? "" : table.Format();
}

struct GetArguments {
  ReadArguments read;
  std::vector<std::string> ids;
};

absl::Status RunGet(Context& context, const GetArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const Select select = arguments.read.select();
  const auto response =
      client->Get(arguments.read.collection, arguments.ids, select, arguments.read.read());
  if (!response.ok()) return response.status();
  Json json;
  json["records"] = Json::array();
  for (const v1::Record& record : response->records()) {
    json["records"].push_back(RecordToJson(record, true));
  }
  json["missing_ids"] = Json::array();
  for (const std::string& id : response->missing_ids()) json["missing_ids"].push_back(id);
  json["position"] = PositionToJson(response->position());
  context.Print(json, RecordsToText(response->records(), select));
  if (response->missing_ids().empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("collection '", arguments.read.collection, "' has no ",
                                          absl::StrJoin(response->missing_ids(), ", ")));
}

struct ListArguments {
  ReadArguments read;
  uint64_t limit = 100;
};

absl::Status RunList(Context& context, const ListArguments& arguments) {
  absl::StatusOr<std::optional<Filter>> filter = FilterArgument(arguments.read.filter);
  if (!filter.ok()) return filter.status();
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  ListOptions options;
  options.filter = *std::move(filter);
  options.select = arguments.read.select();
  options.read = arguments.read.read();
  // A page no larger than the limit and one more, which tells whether there is more; the server
  // refuses pages above its own limit.
  options.page_size = static_cast<int32_t>(std::min<uint64_t>(arguments.limit + 1, 1000));
  RecordIterator records = client->List(arguments.read.collection, options);
  google::protobuf::RepeatedPtrField<v1::Record> shown;
  bool more = false;
  for (;;) {
    absl::StatusOr<std::optional<v1::Record>> record = records.Next();
    if (!record.ok()) return record.status();
    if (!record->has_value()) break;
    more = static_cast<uint64_t>(shown.size()) == arguments.limit;
    if (more) break;
    *shown.Add() = *std::move(*record);
  }
  Json json;
  json["records"] = Json::array();
  for (const v1::Record& record : shown) json["records"].push_back(RecordToJson(record, true));
  json["more"] = more;
  std::string text = shown.empty() ? "no records\n" : RecordsToText(shown, options.select);
  if (more) absl::StrAppend(&text, "… and more; raise --limit\n");
  context.Print(json, text);
  return absl::OkStatus();
}

absl::Status RunCount(Context& context, const ReadArguments& arguments) {
  absl::StatusOr<std::optional<Filter>> filter = FilterArgument(arguments.filter);
  if (!filter.ok()) return filter.status();
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->Count(arguments.collection, *filter, arguments.read());
  if (!response.ok()) return response.status();
  Json json;
  json["count"] = response->count();
  json["position"] = PositionToJson(response->position());
  context.Print(json, absl::StrCat(response->count(), "\n"));
  return absl::OkStatus();
}

}  // namespace

void AddReadCommands(CLI::App* app, Context* context) {
  auto get = std::make_shared<GetArguments>();
  CLI::App* command = AddCommand(app, "get", "Records by id; exit code 4 if one is missing");
  AddCollectionOption(command, &get->read);
  command->add_option("ID", get->ids, "Ids")->required();
  AddSelectOptions(command, &get->read);
  AddIndexOptions(command, &get->read);
  SetRun(command, context, [get](Context& c) { return RunGet(c, *get); });

  auto list = std::make_shared<ListArguments>();
  command = AddCommand(app, "list", "Records in order of id");
  AddCollectionOption(command, &list->read);
  AddFilterOption(command, &list->read);
  command->add_option("--limit", list->limit, "Records at most")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  AddSelectOptions(command, &list->read);
  AddIndexOptions(command, &list->read);
  SetRun(command, context, [list](Context& c) { return RunList(c, *list); });

  auto count = std::make_shared<ReadArguments>();
  command = AddCommand(app, "count", "Number of records");
  AddCollectionOption(command, count.get());
  AddFilterOption(command, count.get());
  AddIndexOptions(command, count.get());
  SetRun(command, context, [count](Context& c) { return RunCount(c, *count); });
}

}  // namespace stele::client::cli
