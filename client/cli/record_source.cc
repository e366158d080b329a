#include "client/cli/record_source.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/files.h"
#include "client/cli/json_values.h"
#include "client/cli/vector_file.h"

namespace stele::client::cli {
namespace {

bool IsBlank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// Lines of JSON; blank ones are not rows.
class JsonlSource : public RecordSource {
 public:
  static absl::StatusOr<std::unique_ptr<JsonlSource>> Open(const std::string& path,
                                                           bool vector_required) {
    absl::StatusOr<LineReader> lines = LineReader::Open(path);
    if (!lines.ok()) return lines.status();
    const absl::StatusOr<uint64_t> size = FileSize(path);
    if (!size.ok()) return size.status();
    return std::unique_ptr<JsonlSource>(
        new JsonlSource(path, *std::move(lines), *size, vector_required));
  }

  absl::StatusOr<std::optional<v1::RecordInput>> Next() override {
    const absl::StatusOr<bool> found = NextRow();
    if (!found.ok()) return found.status();
    if (!*found) return std::nullopt;
    absl::StatusOr<Json> json = ParseJson(line_, Where());
    if (!json.ok()) return json.status();
    absl::StatusOr<v1::RecordInput> record = RecordFromJson(*json, Where(), vector_required_);
    if (!record.ok()) return record.status();
    if (!vector_required_ && record->has_vector()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Where(), ": an ids file holds no vectors; they come from the vector file"));
    }
    return std::optional<v1::RecordInput>(*std::move(record));
  }

  absl::Status Skip(uint64_t rows) override {
    for (uint64_t row = 0; row < rows; ++row) {
      const absl::StatusOr<bool> found = NextRow();
      if (!found.ok()) return found.status();
      if (!*found) {
        return absl::InvalidArgumentError(
            absl::StrCat(path_, ": ends after ", row, " rows; cannot skip ", rows));
      }
    }
    return absl::OkStatus();
  }

  std::string Where() const override { return absl::StrCat(path_, ":", lines_.line_number()); }
  std::optional<uint64_t> row_count() const override { return std::nullopt; }
  double fraction_done() const override {
    return static_cast<double>(lines_.bytes_read()) / static_cast<double>(file_bytes_ + 1);
  }

 private:
  JsonlSource(std::string path, LineReader lines, uint64_t file_bytes, bool vector_required)
      : path_(std::move(path)),
        lines_(std::move(lines)),
        file_bytes_(file_bytes),
        vector_required_(vector_required) {}

  absl::StatusOr<bool> NextRow() {
    for (;;) {
      const absl::StatusOr<bool> found = lines_.Next(&line_);
      if (!found.ok() || !*found || !IsBlank(line_)) return found;
    }
  }

  const std::string path_;
  LineReader lines_;
  const uint64_t file_bytes_;
  const bool vector_required_;
  std::string line_;
};

// One id a line.
class IdLines {
 public:
  static absl::StatusOr<std::unique_ptr<IdLines>> Open(const std::string& path) {
    absl::StatusOr<LineReader> lines = LineReader::Open(path);
    if (!lines.ok()) return lines.status();
    return std::make_unique<IdLines>(path, *std::move(lines));
  }

  IdLines(std::string path, LineReader lines) : path_(std::move(path)), lines_(std::move(lines)) {}

  absl::StatusOr<std::optional<v1::RecordInput>> Next() {
    v1::RecordInput record;
    const absl::StatusOr<bool> found = lines_.Next(record.mutable_id());
    if (!found.ok()) return found.status();
    if (!*found) return std::nullopt;
    if (record.id().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ":", lines_.line_number(), ": the line is empty; expected an id"));
    }
    return std::optional<v1::RecordInput>(std::move(record));
  }

 private:
  const std::string path_;
  LineReader lines_;
};

// Vectors from one file; ids from another, or counted.
class VectorSource : public RecordSource {
 public:
  static absl::StatusOr<std::unique_ptr<VectorSource>> Open(const SourceOptions& options,
                                                            VectorFileFormat format) {
    absl::StatusOr<VectorFileReader> reader =
        VectorFileReader::Open(options.path, format, options.raw_q16);
    if (!reader.ok()) return reader.status();
    std::unique_ptr<VectorSource> source(new VectorSource(options, *std::move(reader)));
    if (absl::Status status = source->OpenIds(); !status.ok()) return status;
    if (absl::Status status = source->CheckIdCount(); !status.ok()) return status;
    if (absl::Status status = source->OpenIds(); !status.ok()) return status;
    return source;
  }

  absl::StatusOr<std::optional<v1::RecordInput>> Next() override {
    if (rows_done_ == reader_.row_count()) return std::nullopt;
    absl::StatusOr<v1::Vector> vector = reader_.Next();
    if (!vector.ok()) return vector.status();
    absl::StatusOr<std::optional<v1::RecordInput>> record = NextId();
    if (!record.ok()) return record.status();
    if (!record->has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options_.ids_path, ": changed while it was read"));
    }
    ++rows_done_;
    *(*record)->mutable_vector() = *std::move(vector);
    return record;
  }

  absl::Status Skip(uint64_t rows) override {
    if (absl::Status status = reader_.Skip(rows); !status.ok()) return status;
    rows_done_ += rows;
    if (jsonl_ids_ != nullptr) return jsonl_ids_->Skip(rows);
    for (uint64_t row = 0; row < rows && text_ids_ != nullptr; ++row) {
      if (const auto id = text_ids_->Next(); !id.ok()) return id.status();
    }
    return absl::OkStatus();
  }

  std::string Where() const override {
    return absl::StrCat(options_.path, ", row ", rows_done_ == 0 ? 0 : rows_done_ - 1);
  }
  std::optional<uint64_t> row_count() const override { return reader_.row_count(); }
  double fraction_done() const override {
    return static_cast<double>(rows_done_) / static_cast<double>(reader_.row_count() + 1);
  }

 private:
  VectorSource(SourceOptions options, VectorFileReader reader)
      : options_(std::move(options)), reader_(std::move(reader)) {}

  absl::Status OpenIds() {
    if (options_.ids_path.empty()) return absl::OkStatus();
    if (absl::EndsWith(options_.ids_path, ".jsonl")) {
      absl::StatusOr<std::unique_ptr<JsonlSource>> ids =
          JsonlSource::Open(options_.ids_path, false);
      if (!ids.ok()) return ids.status();
      jsonl_ids_ = *std::move(ids);
      return absl::OkStatus();
    }
    absl::StatusOr<std::unique_ptr<IdLines>> ids = IdLines::Open(options_.ids_path);
    if (!ids.ok()) return ids.status();
    text_ids_ = *std::move(ids);
    return absl::OkStatus();
  }

  // Before anything is sent: an id file of another length is nearly always the wrong one.
  absl::Status CheckIdCount() {
    if (options_.ids_path.empty()) return absl::OkStatus();
    uint64_t count = 0;
    for (;; ++count) {
      absl::StatusOr<std::optional<v1::RecordInput>> id = NextId();
      if (!id.ok()) return id.status();
      if (!id->has_value()) break;
    }
    if (count == reader_.row_count()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(options_.ids_path, ": has ", count, " ids, but ",
                                                   options_.path, " has ", reader_.row_count(),
                                                   " rows"));
  }

  absl::StatusOr<std::optional<v1::RecordInput>> NextId() {
    if (jsonl_ids_ != nullptr) return jsonl_ids_->Next();
    if (text_ids_ != nullptr) return text_ids_->Next();
    v1::RecordInput record;
    record.set_id(absl::StrCat(options_.first_id + rows_done_));
    return std::optional<v1::RecordInput>(std::move(record));
  }

  const SourceOptions options_;
  VectorFileReader reader_;
  std::unique_ptr<JsonlSource> jsonl_ids_;
  std::unique_ptr<IdLines> text_ids_;
  uint64_t rows_done_ = 0;
};

}  // namespace

absl::StatusOr<std::string> FormatOf(const std::string& path, const std::string& format) {
  if (!format.empty()) return format;
  for (const char* known : {"jsonl", "npy", "fvecs"}) {
    if (absl::EndsWith(path, absl::StrCat(".", known))) return std::string(known);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "cannot tell the format of '", path, "' by its name; give --format jsonl, npy or fvecs"));
}

absl::StatusOr<std::unique_ptr<RecordSource>> RecordSource::Open(const SourceOptions& options) {
  const absl::StatusOr<std::string> format = FormatOf(options.path, options.format);
  if (!format.ok()) return format.status();
  if (*format == "jsonl") {
    if (!options.ids_path.empty() || options.raw_q16) {
      return absl::InvalidArgumentError(absl::StrCat(
          options.path, ": jsonl carries its own ids and says vector_q16 for raw components; ",
          "leave out --ids and --raw-q16"));
    }
    return JsonlSource::Open(options.path, true);
  }
  return VectorSource::Open(options,
                            *format == "npy" ? VectorFileFormat::kNpy : VectorFileFormat::kFvecs);
}

}  // namespace stele::client::cli
