// `upsert`, `insert`, `update`, `delete`.
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/filter_json.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

struct WriteArguments {
  std::string collection;
  std::string id;
  std::string vector;
  std::string attributes;
  std::string document;
  std::vector<std::string> ids;
  std::vector<std::string> remove;
  std::string filter;
  std::string request_id;
  std::optional<uint64_t> expected_version;
  std::optional<uint64_t> expected_state_index;
};

absl::StatusOr<Json> JsonArgument(const std::string& argument, absl::string_view where) {
  const absl::StatusOr<std::string> text = TextOrFile(argument);
  if (!text.ok()) return text.status();
  absl::StatusOr<Json> json = ParseJson(*text, where);
  if (!json.ok()) return AsUsageError(json.status());
  return json;
}

Json WriteToJson(const v1::WriteResponse& response) {
  Json json;
  json["inserted_count"] = response.inserted_count();
  json["updated_count"] = response.updated_count();
  json["deleted_count"] = response.deleted_count();
  json["missing_count"] = response.missing_count();
  json["duplicate"] = response.duplicate();
  json["position"] = PositionToJson(response.position());
  return json;
}

std::string WriteToText(const v1::WriteResponse& response) {
  std::string text;
  const auto add = [&text](uint64_t count, const char* what) {
    if (count > 0)
      absl::StrAppend(&text, text.empty() ? "" : ", ", WithThousands(count), " ", what);
  };
  add(response.inserted_count(), "inserted");
  add(response.updated_count(), "updated");
  add(response.deleted_count(), "deleted");
  add(response.missing_count(), "not found");
  if (text.empty()) text = "nothing changed";
  if (response.duplicate()) absl::StrAppend(&text, " (by an earlier request with this id)");
  return absl::StrCat(text, ": ", PositionToText(response.position()), "\n");
}

absl::Status SendWrite(Context& context, const WriteArguments& arguments, v1::Operation operation) {
  if (arguments.expected_version.has_value()) {
    operation.mutable_precondition()->set_expected_version(*arguments.expected_version);
  }
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  WriteOptions options;
  options.request_id = arguments.request_id;
  options.expected_state_index = arguments.expected_state_index;
  const auto response = client->Write({std::move(operation)}, options);
  if (!response.ok()) return response.status();
  context.Print(WriteToJson(*response), WriteToText(*response));
  return absl::OkStatus();
}

absl::Status RunPut(Context& context, const WriteArguments& arguments, bool insert) {
  v1::RecordInput record;
  record.set_id(arguments.id);
  const absl::StatusOr<Json> vector_json = JsonArgument(arguments.vector, "--vector");
  if (!vector_json.ok()) return vector_json.status();
  absl::StatusOr<v1::Vector> vector = VectorFromJson(*vector_json, "--vector");
  if (!vector.ok()) return AsUsageError(vector.status());
  *record.mutable_vector() = *std::move(vector);
  if (!arguments.attributes.empty()) {
    const absl::StatusOr<Json> json = JsonArgument(arguments.attributes, "--attributes");
    if (!json.ok()) return json.status();
    absl::Status status = AttributesFromJson(*json, "--attributes", record.mutable_attributes());
    if (!status.ok()) return AsUsageError(status);
  }
  absl::StatusOr<std::string> document = TextOrFile(arguments.document);
  if (!document.ok()) return document.status();
  record.set_document(*std::move(document));
  return SendWrite(context, arguments,
                   insert ? InsertOperation(arguments.collection, std::move(record))
                          : UpsertOperation(arguments.collection, std::move(record)));
}

absl::Status RunUpdate(Context& context, const WriteArguments& arguments) {
  if (arguments.attributes.empty() && arguments.remove.empty()) {
    return UsageError("nothing to update; give --attributes or --remove");
  }
  v1::Operation operation =
      UpdateOperation(arguments.collection, arguments.id, {}, arguments.remove);
  if (!arguments.attributes.empty()) {
    const absl::StatusOr<Json> json = JsonArgument(arguments.attributes, "--attributes");
    if (!json.ok()) return json.status();
    absl::Status status = AttributesFromJson(*json, "--attributes",
                                             operation.mutable_update_attributes()->mutable_set());
    if (!status.ok()) return AsUsageError(status);
  }
  return SendWrite(context, arguments, std::move(operation));
}

absl::Status DeleteIds(Context& context, const WriteArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  WriteOptions options;
  options.request_id = arguments.request_id;
  options.expected_state_index = arguments.expected_state_index;
  const auto response = client->Delete(arguments.collection, arguments.ids, options);
  if (!response.ok()) return response.status();
  context.Print(WriteToJson(*response), WriteToText(*response));
  return absl::OkStatus();
}

// Repeats the deletion while the server says that it stopped at its limit.
absl::Status DeleteMatching(Context& context, const WriteArguments& arguments) {
  const absl::StatusOr<std::string> text = TextOrFile(arguments.filter);
  if (!text.ok()) return text.status();
  const absl::StatusOr<Filter> filter = ParseFilter(*text, "--filter");
  if (!filter.ok()) return AsUsageError(filter.status());
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  WriteOptions options;
  options.request_id = arguments.request_id;
  options.expected_state_index = arguments.expected_state_index;
  v1::WriteResponse total;
  for (bool more = true; more;) {
    const auto response = client->DeleteByFilter(arguments.collection, *filter, 0, options);
    if (!response.ok()) {
      return WithMessage(response.status(),
                         absl::StrCat(response.status().message(), " (", total.deleted_count(),
                                      " records were deleted before)"));
    }
    const uint64_t deleted = total.deleted_count() + response->deleted_count();
    total = *response;
    total.set_deleted_count(deleted);
    more = response->more();
    // The first entry had the id and the precondition that were given.
    options = WriteOptions();
  }
  context.Print(WriteToJson(total), WriteToText(total));
  return absl::OkStatus();
}

absl::Status RunDelete(Context& context, const WriteArguments& arguments) {
  if (arguments.ids.empty() == arguments.filter.empty()) {
    return UsageError("give either ids or --filter");
  }
  return arguments.filter.empty() ? DeleteIds(context, arguments)
                                  : DeleteMatching(context, arguments);
}

void AddEntryOptions(CLI::App* command, WriteArguments* arguments) {
  command->add_option("--request-id", arguments->request_id,
                      "A retry with the same id takes effect once");
  command->add_option("--expected-state-index", arguments->expected_state_index,
                      "Refuse unless the newest entry that changed the state is this one");
}

void AddPut(CLI::App* app, Context* context, const char* name, const char* description,
            bool insert) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* command = AddCommand(app, name, description);
  command->add_option("COLLECTION", arguments->collection, "Collection")->required();
  command->add_option("--id", arguments->id, "The record's id")->required();
  command
      ->add_option("--vector", arguments->vector,
                   "JSON list of numbers, {\"q16\": [integers]}, or @FILE")
      ->required();
  command->add_option("--attributes", arguments->attributes, "JSON object, or @FILE");
  command->add_option("--document", arguments->document, "Text, or @FILE for its bytes");
  if (!insert) {
    command->add_option("--expected-version", arguments->expected_version,
                        "Refuse unless the record has this version");
  }
  AddEntryOptions(command, arguments.get());
  SetRun(command, context,
         [arguments, insert](Context& c) { return RunPut(c, *arguments, insert); });
}

}  // namespace

void AddWriteCommands(CLI::App* app, Context* context) {
  AddPut(app, context, "upsert", "Create or replace a record", false);
  AddPut(app, context, "insert", "Create a record; refused if the id exists", true);

  auto update = std::make_shared<WriteArguments>();
  CLI::App* command = AddCommand(app, "update", "Set and remove attributes of a record");
  command->add_option("COLLECTION", update->collection, "Collection")->required();
  command->add_option("--id", update->id, "The record's id")->required();
  command->add_option("--attributes", update->attributes,
                      "Attributes to set: JSON object, or @FILE");
  command->add_option("--remove", update->remove, "Attribute to remove; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--expected-version", update->expected_version,
                      "Refuse unless the record has this version");
  AddEntryOptions(command, update.get());
  SetRun(command, context, [update](Context& c) { return RunUpdate(c, *update); });

  auto deletion = std::make_shared<WriteArguments>();
  command = AddCommand(app, "delete", "Delete records by id or by filter");
  command->add_option("COLLECTION", deletion->collection, "Collection")->required();
  command->add_option("ID", deletion->ids, "Ids");
  command->add_option("--filter", deletion->filter, "JSON filter, or @FILE");
  AddEntryOptions(command, deletion.get());
  SetRun(command, context, [deletion](Context& c) { return RunDelete(c, *deletion); });
}

}  // namespace stele::client::cli
