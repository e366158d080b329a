// `collection create|list|show|drop`.
#include <unistd.h>

#include <iostream>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

const std::map<std::string, v1::Metric> kMetrics = {
    {"cosine", v1::METRIC_COSINE}, {"dot", v1::METRIC_DOT}, {"l2", v1::METRIC_L2}};

const std::map<std::string, v1::ReceiptPolicy> kReceiptPolicies = {
    {"off", v1::RECEIPT_POLICY_UNSPECIFIED},
    {"signed", v1::RECEIPT_POLICY_SIGNED},
    {"logged", v1::RECEIPT_POLICY_LOGGED}};

std::string ReceiptsName(v1::ReceiptPolicy receipts) {
  for (const auto& [name, value] : kReceiptPolicies) {
    if (value == receipts) return name;
  }
  return absl::StrCat("policy ", static_cast<int>(receipts));
}

std::string MetricName(v1::Metric metric) {
  for (const auto& [name, value] : kMetrics) {
    if (value == metric) return name;
  }
  return absl::StrCat("metric ", static_cast<int>(metric));
}

Json CollectionToJson(const v1::Collection& collection) {
  Json json;
  json["name"] = collection.config().name();
  json["dimension"] = collection.config().dimension();
  json["metric"] = MetricName(collection.config().metric());
  json["description"] = collection.config().options().description();
  json["receipts"] = ReceiptsName(collection.config().options().receipts());
  json["erasable"] = collection.config().options().erasable();
  json["record_count"] = collection.record_count();
  json["created_index"] = collection.created_index();
  json["state_index"] = collection.state_index();
  json["records_root"] = Hex(collection.records_root());
  return json;
}

struct CreateArguments {
  std::string name;
  uint32_t dimension = 0;
  std::string metric;
  std::string description;
  std::string receipts = "off";
  bool erasable = false;
  std::string request_id;
};

absl::Status RunCreate(Context& context, const CreateArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  v1::CollectionOptions collection_options;
  collection_options.set_description(arguments.description);
  collection_options.set_receipts(kReceiptPolicies.at(arguments.receipts));
  collection_options.set_erasable(arguments.erasable);
  WriteOptions options;
  options.request_id = arguments.request_id;
  const auto response =
      client->CreateCollection(arguments.name, arguments.dimension, kMetrics.at(arguments.metric),
                               collection_options, options);
  if (!response.ok()) return response.status();
  Json json = CollectionToJson(response->collection());
  json["position"] = PositionToJson(response->position());
  context.Print(json, absl::StrCat("created collection ", Printable(arguments.name, 128), ": ",
                                   PositionToText(response->position()), "\n"));
  return absl::OkStatus();
}

absl::Status RunList(Context& context) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto collections = client->ListCollections();
  if (!collections.ok()) return collections.status();
  Json json = Json::array();
  Table table({"NAME", ">DIMENSION", "METRIC", ">RECORDS", "DESCRIPTION"});
  for (const v1::Collection& collection : *collections) {
    json.push_back(CollectionToJson(collection));
    table.AddRow(
        {Printable(collection.config().name(), 60), absl::StrCat(collection.config().dimension()),
         MetricName(collection.config().metric()), WithThousands(collection.record_count()),
         Printable(collection.config().options().description(), 60)});
  }
  context.Print(json, collections->empty() ? "no collections\n" : table.Format());
  return absl::OkStatus();
}

absl::Status RunShow(Context& context, const std::string& name) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->GetCollection(name);
  if (!response.ok()) return response.status();
  Json json = CollectionToJson(response->collection());
  json["position"] = PositionToJson(response->position());
  const v1::Collection& collection = response->collection();
  Table table({"Collection", Printable(collection.config().name(), 128)});
  table.AddRow({"dimension", absl::StrCat(collection.config().dimension())});
  table.AddRow({"metric", MetricName(collection.config().metric())});
  table.AddRow({"records", WithThousands(collection.record_count())});
  table.AddRow({"created at", absl::StrCat("log index ", collection.created_index())});
  table.AddRow({"changed at", absl::StrCat("log index ", collection.state_index())});
  table.AddRow({"records root", Hex(collection.records_root())});
  const std::string& description = collection.config().options().description();
  if (!description.empty()) table.AddRow({"description", Printable(description, 1024)});
  const v1::CollectionOptions& options = collection.config().options();
  if (options.receipts() != v1::RECEIPT_POLICY_UNSPECIFIED) {
    table.AddRow({"receipts", ReceiptsName(options.receipts())});
  }
  if (options.erasable()) table.AddRow({"erasable", "yes"});
  context.Print(json, table.Format());
  return absl::OkStatus();
}

absl::Status RunDrop(Context& context, const std::string& name, bool yes) {
  if (!yes) {
    if (isatty(STDIN_FILENO) == 0) {
      return UsageError("dropping a collection deletes all of its records; confirm with --yes");
    }
    std::cerr << "Drop collection '" << Printable(name, 128)
              << "' with all of its records? Type its name to confirm: ";
    std::string answer;
    if (!std::getline(std::cin, answer) || answer != name) {
      return UsageError("not confirmed; nothing was dropped");
    }
  }
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->DropCollection(name);
  if (!response.ok()) return response.status();
  Json json;
  json["name"] = name;
  json["dropped_count"] = response->dropped_count();
  json["position"] = PositionToJson(response->position());
  context.Print(json, absl::StrCat("dropped collection ", Printable(name, 128), " with ",
                                   WithThousands(response->dropped_count()),
                                   " records: ", PositionToText(response->position()), "\n"));
  return absl::OkStatus();
}

}  // namespace

void AddCollectionCommands(CLI::App* app, Context* context) {
  CLI::App* collection = AddCommand(app, "collection", "Named sets of records");
  collection->require_subcommand(1);

  CLI::App* create = AddCommand(collection, "create", "Create a collection");
  auto arguments = std::make_shared<CreateArguments>();
  create->add_option("NAME", arguments->name, "Name, 1 to 128 bytes")->required();
  create->add_option("--dimension", arguments->dimension, "Components of a vector")
      ->required()
      ->check(CLI::Range(1, 32768));
  create->add_option("--metric", arguments->metric, "cosine, l2 or dot")
      ->required()
      ->check(CLI::IsMember({"cosine", "l2", "dot"}));
  create->add_option("--description", arguments->description, "Text for people");
  create->add_option("--receipts", arguments->receipts, "Receipts of searches: off, signed, logged")
      ->check(CLI::IsMember({"off", "signed", "logged"}));
  create->add_flag("--erasable", arguments->erasable, "Its content can be erased, provably");
  create->add_option("--request-id", arguments->request_id, "A retry with the same id runs once");
  SetRun(create, context, [arguments](Context& c) { return RunCreate(c, *arguments); });

  SetRun(AddCommand(collection, "list", "All collections"), context, RunList);

  auto name = std::make_shared<std::string>();
  CLI::App* show = AddCommand(collection, "show", "One collection");
  show->add_option("NAME", *name, "Collection")->required();
  SetRun(show, context, [name](Context& c) { return RunShow(c, *name); });

  auto yes = std::make_shared<bool>(false);
  CLI::App* drop = AddCommand(collection, "drop", "Delete a collection with all of its records");
  drop->add_option("NAME", *name, "Collection")->required();
  drop->add_flag("--yes", *yes, "Do not ask");
  SetRun(drop, context, [name, yes](Context& c) { return RunDrop(c, *name, *yes); });
}

}  // namespace stele::client::cli
