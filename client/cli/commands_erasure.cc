// `erase`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/filter_json.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

struct EraseArguments {
  std::string collection;
  std::vector<std::string> ids;
  std::string filter;
  std::string request_id;
  bool yes = false;
};

void Print(Context& context, const v1::WriteResponse& response) {
  Json json;
  json["erased_count"] = response.deleted_count();
  json["missing_count"] = response.missing_count();
  json["more"] = response.more();
  json["duplicate"] = response.duplicate();
  json["position"] = PositionToJson(response.position());
  context.Print(json, absl::StrCat("erased ", WithThousands(response.deleted_count()), " records",
                                   response.missing_count() > 0
                                       ? absl::StrCat(", and what was left of ",
                                                      WithThousands(response.missing_count()),
                                                      " deleted ones")
                                       : std::string(),
                                   ": ", PositionToText(response.position()),
                                   "\nwhen it is complete: stele audit certificate ",
                                   response.position().log_index(), "\n"));
}

absl::Status RunErase(Context& context, const EraseArguments& arguments) {
  if (arguments.ids.empty() == arguments.filter.empty()) {
    return UsageError("give either ids or --filter");
  }
  if (!arguments.yes) {
    return UsageError(
        "an erasure cannot be undone, not even from older states; confirm with --yes");
  }
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  WriteOptions options;
  options.request_id = arguments.request_id;
  if (!arguments.ids.empty()) {
    const auto response = client->Erase(arguments.collection, arguments.ids, options);
    if (!response.ok()) return response.status();
    Print(context, *response);
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> text = TextOrFile(arguments.filter);
  if (!text.ok()) return text.status();
  const absl::StatusOr<Filter> filter = ParseFilter(*text, "--filter");
  if (!filter.ok()) return AsUsageError(filter.status());
  // An entry a round; each has a certificate of its own.
  for (bool more = true; more;) {
    const auto response = client->EraseByFilter(arguments.collection, *filter, 0, options);
    if (!response.ok()) return response.status();
    Print(context, *response);
    more = response->more();
    options = WriteOptions();
  }
  return absl::OkStatus();
}

}  // namespace

void AddErasureCommands(CLI::App* app, Context* context) {
  auto arguments = std::make_shared<EraseArguments>();
  CLI::App* erase =
      AddCommand(app, "erase", "Delete records and destroy all that was ever written of them");
  erase->add_option("COLLECTION", arguments->collection, "Collection")->required();
  erase->add_option("ID", arguments->ids, "Ids; also of records that were deleted before");
  erase->add_option("--filter", arguments->filter, "JSON filter, or @FILE");
  erase->add_option("--request-id", arguments->request_id,
                    "A retry with the same id takes effect once");
  erase->add_flag("--yes", arguments->yes, "Confirms it");
  SetRun(erase, context, [arguments](Context& c) { return RunErase(c, *arguments); });
}

}  // namespace stele::client::cli
