// `hold set|release|list`, `retention set`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/context.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

struct PolicyArguments {
  std::string collection;
  std::string name;
  std::string reason;
  std::vector<std::string> ids;
  uint64_t history_entries = 0;
  std::string request_id;
};

template <typename Response>
absl::Status PrintPosition(Context& context, const absl::StatusOr<Response>& response,
                           const std::string& what) {
  if (!response.ok()) return response.status();
  Json json;
  json["position"] = PositionToJson(response->position());
  context.Print(json, absl::StrCat(what, ": ", PositionToText(response->position()), "\n"));
  return absl::OkStatus();
}

WriteOptions OptionsOf(const PolicyArguments& arguments) {
  WriteOptions options;
  options.request_id = arguments.request_id;
  return options;
}

absl::Status RunSet(Context& context, const PolicyArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintPosition(context,
                       client->SetHold(arguments.collection, arguments.name, arguments.reason,
                                       arguments.ids, OptionsOf(arguments)),
                       absl::StrCat("set hold ", Printable(arguments.name, 128)));
}

absl::Status RunRelease(Context& context, const PolicyArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintPosition(
      context, client->ReleaseHold(arguments.collection, arguments.name, OptionsOf(arguments)),
      absl::StrCat("released hold ", Printable(arguments.name, 128)));
}

absl::Status RunList(Context& context, const PolicyArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->ListHolds(arguments.collection);
  if (!response.ok()) return response.status();
  Json json;
  json["holds"] = Json::array();
  Table table({"COLLECTION", "NAME", ">SET AT", "COVERS", "REASON"});
  for (const v1::Hold& hold : response->holds()) {
    Json one;
    one["collection"] = hold.collection();
    one["name"] = hold.name();
    one["set_index"] = hold.set_index();
    one["reason"] = hold.reason();
    one["ids"] = Json::array();
    for (const std::string& id : hold.ids()) one["ids"].push_back(id);
    json["holds"].push_back(std::move(one));
    table.AddRow({Printable(hold.collection(), 60), Printable(hold.name(), 60),
                  absl::StrCat(hold.set_index()),
                  hold.ids().empty() ? "everything" : absl::StrCat(hold.ids_size(), " ids"),
                  Printable(hold.reason(), 60)});
  }
  json["position"] = PositionToJson(response->position());
  context.Print(json, response->holds().empty() ? "no holds\n" : table.Format());
  return absl::OkStatus();
}

absl::Status RunRetention(Context& context, const PolicyArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintPosition(context,
                       client->SetRetention(arguments.history_entries, OptionsOf(arguments)),
                       absl::StrCat("states of the last ", arguments.history_entries,
                                    " entries can be read from now on"));
}

void AddRequestId(CLI::App* command, PolicyArguments* arguments) {
  command->add_option("--request-id", arguments->request_id,
                      "A retry with the same id takes effect once");
}

}  // namespace

void AddPolicyCommands(CLI::App* app, Context* context) {
  CLI::App* hold = AddCommand(app, "hold", "Legal holds: what may not be erased");
  hold->require_subcommand(1);
  auto arguments = std::make_shared<PolicyArguments>();

  CLI::App* set = AddCommand(hold, "set", "Forbid to erase records, or a whole collection");
  set->add_option("COLLECTION", arguments->collection, "Collection")->required();
  set->add_option("NAME", arguments->name, "The hold's name, 1 to 128 bytes")->required();
  set->add_option("--reason", arguments->reason, "Text for people");
  set->add_option("--id", arguments->ids, "Record that it covers; may be repeated (default: all)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddRequestId(set, arguments.get());
  SetRun(set, context, [arguments](Context& c) { return RunSet(c, *arguments); });

  CLI::App* release = AddCommand(hold, "release", "End a hold");
  release->add_option("COLLECTION", arguments->collection, "Collection")->required();
  release->add_option("NAME", arguments->name, "The hold's name")->required();
  AddRequestId(release, arguments.get());
  SetRun(release, context, [arguments](Context& c) { return RunRelease(c, *arguments); });

  CLI::App* list = AddCommand(hold, "list", "The holds of a collection, or all");
  list->add_option("COLLECTION", arguments->collection, "Collection");
  SetRun(list, context, [arguments](Context& c) { return RunList(c, *arguments); });

  CLI::App* retention = AddCommand(app, "retention", "How far back states can be read");
  retention->require_subcommand(1);
  CLI::App* set_retention = AddCommand(retention, "set", "Log how many entries back");
  set_retention->add_option("ENTRIES", arguments->history_entries, "0 to 131072")->required();
  AddRequestId(set_retention, arguments.get());
  SetRun(set_retention, context, [arguments](Context& c) { return RunRetention(c, *arguments); });
}

}  // namespace stele::client::cli
