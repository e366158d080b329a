// `import` and `export`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/export.h"
#include "client/cli/import.h"
#include "client/cli/read_options.h"

namespace stele::client::cli {
namespace {

constexpr absl::Duration kStallTimeout = absl::Seconds(60);

struct ImportArguments {
  std::string collection;
  std::vector<std::string> files;
  std::string format;
  std::string ids;
  uint64_t first_id = 0;
  bool raw_q16 = false;
  size_t batch_rows = BatchLimits().records_max;
  size_t window = 8;
  std::string resume_file;
  bool restart = false;
  bool again = false;
};

Json ResultToJson(const std::string& file, const ImportResult& result) {
  Json json;
  json["file"] = file;
  json["row_count"] = result.row_count;
  json["resumed_rows"] = result.resumed_rows;
  json["duplicate_rows"] = result.duplicate_rows;
  json["inserted_count"] = result.inserted_count;
  json["updated_count"] = result.updated_count;
  json["entry_count"] = result.entry_count;
  json["position"] = PositionToJson(result.position);
  return json;
}

std::string ResultToText(const std::string& file, const ImportResult& result) {
  std::string text = absl::StrCat(file, ": ", WithThousands(result.row_count),
                                  " rows: ", WithThousands(result.inserted_count), " inserted, ",
                                  WithThousands(result.updated_count), " updated");
  if (result.resumed_rows > 0) {
    absl::StrAppend(&text, ", ", WithThousands(result.resumed_rows),
                    " by an interrupted run before");
  }
  if (result.duplicate_rows > 0) {
    absl::StrAppend(&text, "\n  ", WithThousands(result.duplicate_rows),
                    " rows had been written by an earlier import of the same file and were not ",
                    "applied again; if they have been changed since, give --again");
  }
  return absl::StrCat(text, "\n  ", PositionToText(result.position), "\n");
}

// Shows the hash pass and the import as two bars, each for as long as it lasts.
class StagedProgress {
 public:
  explicit StagedProgress(std::string file) : file_(std::move(file)) {}

  void Update(const std::string& stage, const ProgressState& state) {
    if (stage != stage_) {
      // The hash of a small file is not worth a line.
      if (progress_ != nullptr && stage_ != "reading") progress_->Finish();
      progress_ = std::make_unique<Progress>(file_, stage == "reading" ? "bytes" : "rows");
      stage_ = stage;
    }
    progress_->Update(state);
  }

  void Finish() {
    if (progress_ != nullptr && stage_ != "reading") progress_->Finish();
  }

 private:
  const std::string file_;
  std::string stage_;
  std::unique_ptr<Progress> progress_;
};

absl::StatusOr<ImportResult> ImportOne(Client* client, const ImportArguments& arguments,
                                       const std::string& file, uint64_t first_id) {
  ImportOptions options;
  options.collection = arguments.collection;
  options.source = {file, arguments.format, arguments.ids, first_id, arguments.raw_q16};
  options.batch.records_max = arguments.batch_rows;
  options.window = arguments.window;
  options.resume_path = arguments.resume_file;
  options.restart = arguments.restart;
  options.again = arguments.again;
  StagedProgress progress(file);
  options.on_progress = [&progress](const std::string& stage, const ProgressState& state) {
    progress.Update(stage, state);
  };
  absl::StatusOr<ImportResult> result = ImportFile(client, options);
  if (result.ok()) progress.Finish();
  return result;
}

absl::Status RunImport(Context& context, const ImportArguments& arguments) {
  if (arguments.files.size() > 1 && (!arguments.ids.empty() || !arguments.resume_file.empty())) {
    return UsageError("--ids and --resume-file go with one FILE only");
  }
  for (const std::string& file : arguments.files) {
    const absl::StatusOr<std::string> format = FormatOf(file, arguments.format);
    if (!format.ok()) return AsUsageError(format.status());
  }
  absl::StatusOr<Client> client = context.Connect(kStallTimeout);
  if (!client.ok()) return client.status();
  Json json = Json::array();
  std::string text;
  uint64_t first_id = arguments.first_id;
  absl::Status status;
  for (const std::string& file : arguments.files) {
    const auto result = ImportOne(&*client, arguments, file, first_id);
    if (!result.ok()) {
      status = result.status();
      break;
    }
    // Row numbers go on from file to file, so that files without ids do not overwrite each other.
    first_id += result->row_count;
    json.push_back(ResultToJson(file, *result));
    absl::StrAppend(&text, ResultToText(file, *result));
  }
  context.Print(json, text);
  return status;
}

struct ExportArguments {
  ReadArguments read;
  std::string file;
  std::string format;
  std::string ids;
  bool raw_q16 = false;
};

absl::Status RunExport(Context& context, const ExportArguments& arguments) {
  absl::StatusOr<std::optional<Filter>> filter = FilterArgument(arguments.read.filter);
  if (!filter.ok()) return filter.status();
  const absl::StatusOr<std::string> format = FormatOf(arguments.file, arguments.format);
  if (!format.ok()) return AsUsageError(format.status());
  if (arguments.raw_q16 && *format != "npy") {
    return UsageError("--raw-q16 is for npy; jsonl is raw already");
  }
  absl::StatusOr<Client> client = context.Connect(kStallTimeout);
  if (!client.ok()) return client.status();
  ExportOptions options;
  options.collection = arguments.read.collection;
  options.path = arguments.file;
  options.format = *format;
  options.ids_path = arguments.ids;
  options.raw_q16 = arguments.raw_q16;
  options.filter = *std::move(filter);
  options.at_index = arguments.read.at_index;
  Progress progress(arguments.file, "rows");
  options.on_progress = [&progress](const ProgressState& state) { progress.Update(state); };
  const auto result = ExportCollection(&*client, options);
  if (!result.ok()) return result.status();
  progress.Finish();

  Json json;
  json["file"] = arguments.file;
  if (!result->ids_path.empty()) json["ids_file"] = result->ids_path;
  json["row_count"] = result->row_count;
  json["rounded_components"] = result->rounded_components;
  json["position"] = PositionToJson(result->position);
  std::string text =
      absl::StrCat(arguments.file, ": ", WithThousands(result->row_count), " records");
  if (!result->ids_path.empty()) absl::StrAppend(&text, ", ids in ", result->ids_path);
  absl::StrAppend(&text, "\n  ", PositionToText(result->position), "\n");
  if (result->rounded_components > 0) {
    absl::StrAppend(&text, "  ", WithThousands(result->rounded_components),
                    " components were rounded to float32; jsonl and npy are exact\n");
  }
  context.Print(json, text);
  return absl::OkStatus();
}

void AddImport(CLI::App* app, Context* context) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command = AddCommand(app, "import", "Upsert the records of files; resumable");
  command->add_option("COLLECTION", arguments->collection, "Collection")->required();
  command->add_option("FILE", arguments->files, "jsonl, npy or fvecs")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--format", arguments->format, "Instead of the file name's extension")
      ->check(CLI::IsMember({"jsonl", "npy", "fvecs"}));
  command
      ->add_option("--ids", arguments->ids,
                   "Ids for npy and fvecs: text, or jsonl with id, attributes and document")
      ->check(CLI::ExistingFile);
  command
      ->add_option("--first-id", arguments->first_id, "Id of the first row where ids are counted")
      ->capture_default_str();
  command->add_flag("--raw-q16", arguments->raw_q16, "int32 npy holds raw Q16.16, not values");
  command->add_option("--batch", arguments->batch_rows, "Rows of one log entry at most")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--window", arguments->window, "Batches in flight at most")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("--resume-file", arguments->resume_file,
                      "Progress file (default FILE.stele-progress)");
  command->add_flag("--restart", arguments->restart, "Ignore a progress file");
  command->add_flag("--again", arguments->again,
                    "Write rows again that an earlier import of the same file wrote");
  SetRun(command, context, [arguments](Context& c) { return RunImport(c, *arguments); });
}

void AddExport(CLI::App* app, Context* context) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command = AddCommand(app, "export", "Write a collection's records to a file");
  AddCollectionOption(command, &arguments->read);
  command->add_option("FILE", arguments->file, "jsonl (exact), npy or fvecs")->required();
  command->add_option("--format", arguments->format, "Instead of the file name's extension")
      ->check(CLI::IsMember({"jsonl", "npy", "fvecs"}));
  command->add_option("--ids", arguments->ids,
                      "Ids file of npy and fvecs (npy: default FILE.ids.jsonl)");
  command->add_flag("--raw-q16", arguments->raw_q16, "npy holds raw Q16.16 as int32");
  AddFilterOption(command, &arguments->read);
  command->add_option("--at-index", arguments->read.at_index, "The state after this log index");
  SetRun(command, context, [arguments](Context& c) { return RunExport(c, *arguments); });
}

}  // namespace

void AddTransferCommands(CLI::App* app, Context* context) {
  AddImport(app, context);
  AddExport(app, context);
}

}  // namespace stele::client::cli
