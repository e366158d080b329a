// `server info`, `snapshot create|list`, `outcome`.
#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

Json LimitsToJson(const v1::Limits& limits) {
  Json json;
  const auto* descriptor = limits.GetDescriptor();
  const auto* reflection = limits.GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    json[field->name()] = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT64
                              ? reflection->GetUInt64(limits, field)
                              : reflection->GetUInt32(limits, field);
  }
  return json;
}

absl::Status RunServerInfo(Context& context) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto info = client->ServerInfo();
  if (!info.ok()) return info.status();
  Json json;
  json["version"] = info->version();
  json["rules_version"] = info->rules_version();
  json["log_id"] = Hex(info->log_id());
  json["base_index"] = info->base_index();
  json["position"] = PositionToJson(info->position());
  json["log_root"] = Hex(info->log_root());
  json["history_index"] = info->history_index();
  json["kernel"] = info->kernel();
  json["search_threads"] = info->search_threads();
  json["write_poisoned"] = info->write_poisoned();
  json["checkpoint_key"] = info->checkpoint_key().verifier_key();
  json["limits"] = LimitsToJson(info->limits());

  Table table({"Server", context.address});
  const auto add = [&table](const char* name, const std::string& value) {
    table.AddRow({name, Printable(value, 200)});
  };
  add("version", absl::StrCat(info->version(), " (rules ", info->rules_version(), ")"));
  add("log id", Hex(info->log_id()));
  add("log index", absl::StrCat(info->position().log_index(), " (from ", info->base_index(),
                                "; history from ", info->history_index(), ")"));
  add("state index", absl::StrCat(info->position().state_index()));
  add("state root", Hex(info->position().state_root()));
  add("log root", Hex(info->log_root()));
  add("checkpoint key", info->checkpoint_key().verifier_key());
  add("search", absl::StrCat(info->kernel(), ", ", info->search_threads(), " threads"));
  add("writes", info->write_poisoned() ? "refused after a failed write or sync; restart the server"
                                       : "accepted");
  for (const auto& [name, value] : json["limits"].items()) {
    add(name.c_str(), WithThousands(value.get<uint64_t>()));
  }
  context.Print(json, table.Format());
  return absl::OkStatus();
}

Json SnapshotToJson(const v1::Snapshot& snapshot) {
  Json json;
  json["log_index"] = snapshot.log_index();
  json["state_root"] = Hex(snapshot.state_root());
  json["log_root"] = Hex(snapshot.log_root());
  json["snapshot_hash"] = Hex(snapshot.snapshot_hash());
  json["size_bytes"] = snapshot.size_bytes();
  json["file_name"] = snapshot.file_name();
  return json;
}

absl::Status RunSnapshotCreate(Context& context) {
  absl::StatusOr<Client> client = context.Connect(absl::Minutes(10));
  if (!client.ok()) return client.status();
  const auto response = client->CreateSnapshot();
  if (!response.ok()) return response.status();
  const v1::Snapshot& snapshot = response->snapshot();
  context.Print(
      SnapshotToJson(snapshot),
      absl::StrCat("snapshot of log index ", snapshot.log_index(), ": ",
                   Printable(snapshot.file_name(), 300), ", ", WithThousands(snapshot.size_bytes()),
                   " bytes\nsnapshot hash ", Hex(snapshot.snapshot_hash()), "\nstate root    ",
                   Hex(snapshot.state_root()), "\n"));
  return absl::OkStatus();
}

absl::Status RunSnapshotList(Context& context) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->ListSnapshots();
  if (!response.ok()) return response.status();
  Json json = Json::array();
  Table table({">LOG INDEX", ">BYTES", "SNAPSHOT HASH", "FILE"});
  for (const v1::Snapshot& snapshot : response->snapshots()) {
    json.push_back(SnapshotToJson(snapshot));
    table.AddRow({absl::StrCat(snapshot.log_index()), WithThousands(snapshot.size_bytes()),
                  Hex(snapshot.snapshot_hash()), Printable(snapshot.file_name(), 300)});
  }
  context.Print(json, response->snapshots().empty() ? "no snapshots\n" : table.Format());
  return absl::OkStatus();
}

absl::Status RunOutcome(Context& context, const std::string& request_id) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->GetOutcome(request_id);
  if (!response.ok()) return response.status();
  Json json;
  json["request_id"] = request_id;
  std::string text;
  switch (response->state()) {
    case v1::GetOutcomeResponse::STATE_EXECUTED:
      json["state"] = "executed";
      json["position"] = PositionToJson(response->ok().position());
      text = absl::StrCat("executed: ", PositionToText(response->ok().position()), "\n");
      break;
    case v1::GetOutcomeResponse::STATE_REJECTED: {
      const absl::Status error = StatusFromProto(response->error());
      json["state"] = "rejected";
      json["code"] = absl::StatusCodeToString(error.code());
      json["message"] = std::string(error.message());
      json["reason"] = ErrorReason(error);
      text = absl::StrCat("rejected: ", Printable(error.message(), 1000), " [",
                          Printable(ErrorReason(error), 100), "]\n");
      break;
    }
    default:
      json["state"] = "not_seen";
      json["oldest_index"] = response->oldest_index();
      json["log_index"] = response->position().log_index();
      text = absl::StrCat("not in the log from index ", response->oldest_index(), " to ",
                          response->position().log_index(), "\n");
      break;
  }
  context.Print(json, text);
  return absl::OkStatus();
}

}  // namespace

void AddServerCommands(CLI::App* app, Context* context) {
  CLI::App* server = AddCommand(app, "server", "The server itself");
  server->require_subcommand(1);
  SetRun(AddCommand(server, "info", "Version, position, roots and limits"), context, RunServerInfo);

  CLI::App* snapshot = AddCommand(app, "snapshot", "Hashed snapshots of the state");
  snapshot->require_subcommand(1);
  SetRun(AddCommand(snapshot, "create", "Take a snapshot and wait until it is durable"), context,
         RunSnapshotCreate);
  SetRun(AddCommand(snapshot, "list", "The snapshots the server keeps, newest first"), context,
         RunSnapshotList);

  CLI::App* outcome = AddCommand(app, "outcome", "What became of a write whose reply was lost");
  auto request_id = std::make_shared<std::string>();
  outcome->add_option("REQUEST_ID", *request_id, "The write's request id")->required();
  SetRun(outcome, context, [request_id](Context& c) { return RunOutcome(c, *request_id); });
}

}  // namespace stele::client::cli
