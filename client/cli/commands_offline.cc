// `snapshot verify`, `replay`, `verify`: no server is asked.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/offline.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

// One line for each member.
std::string ToText(const nlohmann::json& report) {
  Table table({"VERIFIED", ""});
  const auto add = [&table](const std::string& name, const nlohmann::json& value) {
    table.AddRow(
        {name, Printable(value.is_string() ? value.get<std::string>() : value.dump(), 1000)});
  };
  for (const auto& [name, value] : report.items()) {
    if (!value.is_array()) {
      add(name, value);
      continue;
    }
    add(name, value.size());
    for (const auto& item : value) add("", item);
  }
  return table.Format();
}

absl::Status PrintReport(const Context& context, const absl::StatusOr<nlohmann::json>& report) {
  if (!report.ok()) return report.status();
  context.Print(Json(*report), ToText(*report));
  return absl::OkStatus();
}

}  // namespace

void AddOfflineCommands(CLI::App* app, Context* context) {
  auto file = std::make_shared<std::string>();
  CLI::App* verify_snapshot =
      AddCommand(app->get_subcommand("snapshot"), "verify", "Check a snapshot file, offline");
  verify_snapshot->add_option("FILE", *file, "Snapshot file")->required()->check(CLI::ExistingFile);
  SetRun(verify_snapshot, context,
         [file](Context& c) { return PrintReport(c, VerifySnapshotFile(*file)); });

  auto data_dir = std::make_shared<std::string>();
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* replay = AddCommand(app, "replay", "Apply a data directory's log again, offline");
  replay->add_option("--data-dir", *data_dir, "The server's data directory")
      ->required()
      ->check(CLI::ExistingDirectory);
  replay->add_option("--at-index", options->at_index, "Stop after this log index");
  SetRun(replay, context, [data_dir, options](Context& c) {
    return PrintReport(c, ReplayDataDir(*data_dir, *options));
  });

  CLI::App* verify = AddCommand(app, "verify", "Check a data directory, offline");
  verify->add_option("--data-dir", *data_dir, "The server's data directory")
      ->required()
      ->check(CLI::ExistingDirectory);
  SetRun(verify, context,
         [data_dir](Context& c) { return PrintReport(c, VerifyDataDir(*data_dir)); });
}

}  // namespace stele::client::cli
