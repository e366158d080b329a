// `log export|tail`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/log_export.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"
#include "index/command.h"
#include "index/commit_record.h"

namespace stele::client::cli {
namespace {

constexpr absl::Duration kExportTimeout = absl::Hours(24);

absl::Status RunExport(Context& context, const std::string& directory) {
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(60));
  if (!client.ok()) return client.status();
  const auto made = ExportLog(*client, directory, kExportTimeout);
  if (!made.ok()) return made.status();
  Json json;
  json["base_index"] = made->base;
  json["tree_size"] = made->size;
  json["bytes"] = made->bytes;
  context.Print(json, absl::StrCat("entries ", made->base, " to ", made->size - 1, " written to ",
                                   directory, ", ", WithThousands(made->bytes), " bytes\n"));
  return absl::OkStatus();
}

// One line for each entry.
absl::Status PrintEntry(const Context& context, const v1::LogEntry& entry) {
  const auto commit = index::DecodeCommitRecord(entry.commit_record());
  const auto header = index::DecodeHeader(entry.header());
  if (!commit.has_value() || !header.has_value()) {
    return absl::DataLossError(absl::StrCat("entry ", entry.index(), " is malformed"));
  }
  Json json;
  json["index"] = entry.index();
  json["time_micros"] = header->timestamp_micros;
  json["actor"] = header->actor;
  json["request_id"] = header->request_id;
  json["operations"] = header->item_count;
  json["outcome"] = static_cast<int>(commit->outcome);
  json["inserted"] = commit->inserted_count;
  json["updated"] = commit->updated_count;
  json["deleted"] = commit->deleted_count;
  json["state_root"] = Hex(commit->state_root);
  if (context.json) {
    std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s\n",
                absl::StrCat(entry.index(), " ", Printable(header->actor, 128), " ",
                             Printable(header->request_id, 64), " outcome ",
                             static_cast<int>(commit->outcome), " +", commit->inserted_count, " ~",
                             commit->updated_count, " -", commit->deleted_count, " state ",
                             json["state_root"].get<std::string>())
                    .c_str());
  }
  const bool written = std::fflush(stdout) == 0;
  return written ? absl::OkStatus() : absl::AbortedError("cannot write to standard output");
}

struct TailOptions {
  std::optional<uint64_t> from;
  bool once = false;
};

absl::Status RunTail(Context& context, const TailOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto info = client->ServerInfo();
  if (!info.ok()) return info.status();
  Client::LogOptions log;
  log.first = options.from.value_or(info->position().log_index() + (options.once ? 0 : 1));
  log.follow = !options.once;
  log.operations = false;
  return client->ReadLog(
      log, [&context](const v1::LogEntry& entry) { return PrintEntry(context, entry); });
}

}  // namespace

void AddLogCommands(CLI::App* app, Context* context) {
  CLI::App* log = AddCommand(app, "log", "The log itself");
  log->require_subcommand(1);
  auto directory = std::make_shared<std::string>();
  CLI::App* exported =
      AddCommand(log, "export", "Write the log as plain files that verify without the server");
  exported->add_option("DIRECTORY", *directory, "Directory to make")->required();
  SetRun(exported, context, [directory](Context& c) { return RunExport(c, *directory); });

  auto options = std::make_shared<TailOptions>();
  CLI::App* tail = AddCommand(log, "tail", "Print entries as they are logged, one a line");
  tail->add_option("--from", options->from, "First entry (default: the next one)");
  tail->add_flag("--once", options->once, "End with the newest entry");
  SetRun(tail, context, [options](Context& c) { return RunTail(c, *options); });
}

}  // namespace stele::client::cli
