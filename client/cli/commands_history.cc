// `history`, `revert`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "client/cli/read_options.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

struct HistoryArguments {
  ReadArguments read;
  std::string id;
  uint64_t limit = 100;
  std::optional<uint64_t> to_index;
};

std::string KindWord(v1::ChangeKind kind) { return Word(v1::ChangeKind_Name(kind), 12); }

std::string StateWord(v1::ContentState state) { return Word(v1::ContentState_Name(state), 14); }

std::string TimeText(int64_t micros) {
  return absl::FormatTime(absl::RFC3339_full, absl::FromUnixMicros(micros), absl::UTCTimeZone());
}

Json ChangeToJson(const v1::RecordChange& change) {
  Json json;
  json["log_index"] = change.log_index();
  json["kind"] = KindWord(change.kind());
  json["actor"] = change.actor();
  json["request_id"] = change.request_id();
  json["time"] = TimeText(change.timestamp_micros());
  json["commitment"] = change.commitment().empty() ? Json() : Json(Hex(change.commitment()));
  json["content"] = StateWord(change.content_state());
  if (change.has_record()) json["record"] = RecordToJson(change.record(), true);
  return json;
}

void AppendContent(const v1::RecordChange& change, const Select& select,
                   std::vector<std::string>* cells) {
  if (change.content_state() == v1::CONTENT_STATE_GIVEN) {
    return AppendRecordCells(change.record(), select, cells);
  }
  const std::string cell = change.content_state() == v1::CONTENT_STATE_NONE
                               ? ""
                               : absl::StrCat("(", StateWord(change.content_state()), ")");
  std::vector<std::string> headers;
  AppendRecordHeaders(select, &headers);
  cells->resize(cells->size() + headers.size(), cell);
}

absl::Status RunHistory(Context& context, const HistoryArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  Client::HistoryOptions options;
  options.select = arguments.read.select();
  options.to_index = arguments.to_index;
  options.min_index = arguments.read.min_index;
  options.page_size = static_cast<int32_t>(std::min<uint64_t>(arguments.limit + 1, 1000));
  std::vector<std::string> headers = {">INDEX", "CHANGE", "TIME", "ACTOR", "REQUEST"};
  AppendRecordHeaders(options.select, &headers);
  Table table(headers);
  Json json;
  json["changes"] = Json::array();
  bool more = false;
  const absl::Status status = client->History(
      arguments.read.collection, arguments.id, options, [&](const v1::RecordChange& change) {
        more = json["changes"].size() == arguments.limit;
        if (more) return absl::CancelledError();
        json["changes"].push_back(ChangeToJson(change));
        std::vector<std::string> cells = {absl::StrCat(change.log_index()), KindWord(change.kind()),
                                          TimeText(change.timestamp_micros()),
                                          Printable(change.actor(), 40),
                                          Printable(change.request_id(), 40)};
        AppendContent(change, options.select, &cells);
        table.AddRow(std::move(cells));
        return absl::OkStatus();
      });
  if (!status.ok() && !more) return status;
  json["more"] = more;
  std::string text =
      json["changes"].empty() ? "nothing in the log about this record\n" : table.Format();
  if (more) absl::StrAppend(&text, "… and older; raise --limit\n");
  context.Print(json, text);
  return absl::OkStatus();
}

struct RevertArguments {
  std::string collection;
  std::string id;
  uint64_t to_index = 0;
  std::string request_id;
};

absl::Status RunRevert(Context& context, const RevertArguments& arguments) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  WriteOptions options;
  options.request_id = arguments.request_id;
  const auto response =
      client->Revert(arguments.collection, arguments.id, arguments.to_index, options);
  if (!response.ok()) return response.status();
  Json json;
  json["inserted_count"] = response->inserted_count();
  json["updated_count"] = response->updated_count();
  json["deleted_count"] = response->deleted_count();
  json["missing_count"] = response->missing_count();
  json["duplicate"] = response->duplicate();
  json["position"] = PositionToJson(response->position());
  const std::string what = response->inserted_count() > 0  ? "written again"
                           : response->updated_count() > 0 ? "replaced"
                           : response->deleted_count() > 0 ? "deleted"
                                                           : "not there, then or now";
  context.Print(
      json, absl::StrCat(Printable(arguments.id, 60), " as after entry ", arguments.to_index, ": ",
                         what, ", ", PositionToText(response->position()), "\n"));
  return absl::OkStatus();
}

}  // namespace

void AddHistoryCommands(CLI::App* app, Context* context) {
  auto history = std::make_shared<HistoryArguments>();
  CLI::App* command =
      AddCommand(app, "history", "All versions of a record, newest first, with who wrote them");
  AddCollectionOption(command, &history->read);
  command->add_option("ID", history->id, "Record id")->required();
  command->add_option("--limit", history->limit, "Changes at most")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--to-index", history->to_index, "Changes up to this log index");
  command->add_option("--min-index", history->read.min_index, "Wait for this log index");
  AddSelectOptions(command, &history->read);
  SetRun(command, context, [history](Context& c) { return RunHistory(c, *history); });

  auto revert = std::make_shared<RevertArguments>();
  command = AddCommand(app, "revert", "Write a record as it was after an older entry");
  command->add_option("COLLECTION", revert->collection, "Collection")->required();
  command->add_option("ID", revert->id, "Record id")->required();
  command->add_option("INDEX", revert->to_index, "Log index whose state it is given")->required();
  command->add_option("--request-id", revert->request_id, "A retry with the same id runs once");
  SetRun(command, context, [revert](Context& c) { return RunRevert(c, *revert); });
}

}  // namespace stele::client::cli
