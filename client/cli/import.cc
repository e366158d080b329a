#include "client/cli/import.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/files.h"
#include "client/cli/json_values.h"
#include "client/cli/resume_file.h"
#include "client/request_id.h"

namespace stele::client::cli {
namespace {

// The progress file is rewritten this many batches ahead of what is sent, and this often.
constexpr uint64_t kSentBatchesAhead = 32;
constexpr absl::Duration kSaveInterval = absl::Milliseconds(500);

void AppendPart(absl::string_view part, std::string* text) {
  absl::StrAppend(text, part.size(), ":", part, ";");
}

// Rows [begin, end) on their way to the server.
struct Batch {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t known_index = 0;
  // Where each row stands, for errors.
  std::vector<std::string> places;
};

class Importer {
 public:
  Importer(Client* client, const ImportOptions& options)
      : client_(client),
        options_(options),
        resume_path_(options.resume_path.empty() ? options.source.path + ".stele-progress"
                                                 : options.resume_path) {}

  absl::StatusOr<ImportResult> Run() {
    absl::Status status = Prepare();
    if (status.ok()) status = Resume();
    if (status.ok()) status = SendAll();
    if (!status.ok()) return status;
    if (status = RemoveResumeFile(resume_path_); !status.ok()) return status;
    return result_;
  }

 private:
  // Opens the file and asks the server what it will accept.
  absl::Status Prepare() {
    absl::StatusOr<std::unique_ptr<RecordSource>> source = RecordSource::Open(options_.source);
    if (!source.ok()) return source.status();
    source_ = *std::move(source);
    const auto collection = client_->GetCollection(options_.collection);
    if (!collection.ok()) return collection.status();
    dimension_ = collection->collection().config().dimension();
    limits_ = options_.batch;
    std::string log_id;
    if (const auto info = client_->ServerInfo(); info.ok()) {
      limits_ = FitTo(info->limits(), limits_);
      log_id = info->log_id();
    } else if (!absl::IsPermissionDenied(info.status())) {
      return info.status();
    }
    result_.position = collection->position();
    return MakeIdentity(log_id, collection->collection().created_index());
  }

  // Everything that decides what a row range means and where it goes.
  absl::Status MakeIdentity(const std::string& log_id, uint64_t created_index) {
    const absl::StatusOr<uint64_t> size = FileSize(options_.source.path);
    if (!size.ok()) return size.status();
    const absl::StatusOr<std::string> file_hash =
        HashFile(options_.source.path, [this, &size](uint64_t bytes) {
          if (options_.on_progress) options_.on_progress("reading", {bytes, 0, *size, 0});
        });
    if (!file_hash.ok()) return file_hash.status();
    std::string ids_hash;
    if (!options_.source.ids_path.empty()) {
      const absl::StatusOr<std::string> hash = HashFile(options_.source.ids_path, nullptr);
      if (!hash.ok()) return hash.status();
      ids_hash = *hash;
    }
    const absl::StatusOr<std::string> format =
        FormatOf(options_.source.path, options_.source.format);
    if (!format.ok()) return format.status();
    std::string text;
    for (const absl::string_view part :
         {absl::string_view("stele import 1"), absl::string_view(log_id),
          absl::string_view(options_.collection), absl::string_view(*file_hash),
          absl::string_view(ids_hash), absl::string_view(*format)}) {
      AppendPart(part, &text);
    }
    AppendPart(absl::StrCat(created_index), &text);
    AppendPart(absl::StrCat(options_.source.first_id), &text);
    AppendPart(options_.source.raw_q16 ? "q16" : "values", &text);
    state_.identity = Hex(Sha256(text));
    return absl::OkStatus();
  }

  absl::Status Resume() {
    absl::StatusOr<std::optional<ResumeState>> saved = std::optional<ResumeState>();
    if (!options_.restart) saved = LoadResumeFile(resume_path_);
    if (!saved.ok()) return saved.status();
    state_.batch_rows = limits_.records_max;
    state_.batch_bytes = limits_.bytes_max;
    if (saved->has_value()) {
      if ((*saved)->identity != state_.identity) {
        return absl::FailedPreconditionError(absl::StrCat(
            resume_path_, ": belongs to an import of other content, or into another collection or ",
            "server. Give --restart to import ", options_.source.path,
            " from its first row, or --resume-file to keep both"));
      }
      state_ = **saved;
      resumed_sent_rows_ = state_.sent_rows;
      limits_.records_max = state_.batch_rows;
      limits_.bytes_max = state_.batch_bytes;
    }
    if (options_.again) {
      state_.nonce = NewRequestId();
      state_.sent_rows = state_.acknowledged_rows;
      resumed_sent_rows_ = 0;
    }
    result_.resumed_rows = state_.acknowledged_rows;
    next_row_ = state_.acknowledged_rows;
    return source_->Skip(state_.acknowledged_rows);
  }

  absl::Status SendAll() {
    BulkWriter::Options writer_options;
    writer_options.window = options_.window;
    writer_.emplace(
        client_->NewBulkWriter(writer_options, [this](const BatchAck& ack) { OnAck(ack); }));
    BatchBuilder builder(options_.collection, limits_);
    absl::Status status;
    absl::Status bad_row;
    while (status.ok() && rejection_.ok()) {
      absl::StatusOr<std::optional<v1::RecordInput>> record = source_->Next();
      if (!record.ok()) {
        bad_row = record.status();
        break;
      }
      std::optional<v1::WriteRequest> batch;
      if (record->has_value()) {
        if (bad_row = CheckDimension(**record); !bad_row.ok()) break;
        batch = builder.Add(*std::move(*record));
      } else {
        batch = builder.Flush();
      }
      const bool is_last = !record->has_value();
      if (batch.has_value()) status = SendBatch(*std::move(batch));
      if (is_last) break;
      places_.push_back(source_->Where());
    }
    const absl::Status finished = writer_->Finish();
    const absl::Status saved = state_.sent_rows > 0 ? Save() : absl::OkStatus();
    if (!rejection_.ok()) return rejection_;
    if (!bad_row.ok()) return Explain(bad_row, "correct the file and import it with --restart");
    if (status.ok()) status = finished;
    if (!status.ok()) return Explain(status, "the same command goes on from there");
    result_.row_count = state_.acknowledged_rows;
    return saved;
  }

  absl::Status CheckDimension(const v1::RecordInput& record) const {
    const size_t dimension = DimensionOf(record.vector());
    if (dimension == dimension_) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        source_->Where(), ": the vector has ", dimension, " components, but collection '",
        options_.collection, "' has dimension ", dimension_));
  }

  absl::Status SendBatch(v1::WriteRequest request) {
    const auto count = static_cast<uint64_t>(request.operations_size());
    Batch batch{next_row_, next_row_ + count, 0, std::move(places_)};
    places_.clear();
    next_row_ = batch.end;
    const bool may_have_been_sent = batch.begin < resumed_sent_rows_;
    batch.known_index = may_have_been_sent ? state_.known_index : client_->known_index();
    request.set_request_id(RequestId(batch));
    request.set_known_index(batch.known_index);
    const uint64_t end = batch.end;
    in_flight_.push_back(std::move(batch));
    if (end > state_.sent_rows) {
      state_.sent_rows = end + kSentBatchesAhead * limits_.records_max;
      if (absl::Status status = Save(); !status.ok()) return status;
    }
    return writer_->Send(std::move(request));
  }

  std::string RequestId(const Batch& batch) const {
    std::string text;
    AppendPart(state_.identity, &text);
    AppendPart(state_.nonce, &text);
    AppendPart(absl::StrCat(batch.begin), &text);
    AppendPart(absl::StrCat(batch.end), &text);
    return Hex(Sha256(text)).substr(0, 32);
  }

  void OnAck(const BatchAck& ack) {
    const Batch batch = std::move(in_flight_.front());
    in_flight_.pop_front();
    if (!ack.result.ok()) {
      if (rejection_.ok()) rejection_ = ExplainRejection(ack.result.status(), batch);
      return;
    }
    // Rows after a rejected batch may be written, but only what lies before it is settled.
    if (rejection_.ok()) state_.acknowledged_rows = batch.end;
    ++result_.entry_count;
    result_.position = ack.result->position();
    if (ack.result->duplicate()) {
      result_.duplicate_rows += batch.end - batch.begin;
    } else {
      result_.inserted_count += ack.result->inserted_count();
      result_.updated_count += ack.result->updated_count();
    }
    if (options_.on_progress) {
      options_.on_progress("importing", {state_.acknowledged_rows, result_.resumed_rows,
                                         source_->row_count(), source_->fraction_done()});
    }
    // A file that lags behind is only slower to resume from, so a failure to save waits for the
    // end.
    if (absl::Now() - last_saved_ >= kSaveInterval) (void)Save();
  }

  // The saved known_index is the oldest at which a row between acknowledged_rows and sent_rows may
  // have been sent first.
  absl::Status Save() {
    ResumeState state = state_;
    if (state_.acknowledged_rows >= resumed_sent_rows_) {
      state.known_index =
          in_flight_.empty() ? client_->known_index() : in_flight_.front().known_index;
    }
    last_saved_ = absl::Now();
    return SaveResumeFile(resume_path_, state);
  }

  static std::string WrittenBefore(uint64_t row) {
    if (row == 0) return "no rows are acknowledged";
    return absl::StrCat("rows before ", row, " are written");
  }

  absl::Status ExplainRejection(const absl::Status& status, const Batch& batch) const {
    const ErrorDetails details = GetErrorDetails(status);
    std::string place =
        absl::StrCat(options_.source.path, ": rows ", batch.begin, " to ", batch.end - 1);
    for (const FieldViolation& violation : details.field_violations) {
      // "operations[3].upsert.vector": the fourth row of the batch.
      absl::string_view field = violation.field;
      if (!absl::StartsWith(field, "operations[")) continue;
      field.remove_prefix(sizeof("operations[") - 1);
      uint64_t position = 0;
      if (!absl::SimpleAtoi(field.substr(0, field.find(']')), &position)) continue;
      if (position < batch.places.size()) place = batch.places[position];
      break;
    }
    std::string message =
        absl::StrCat(place, ": ", status.message(), "; ", WrittenBefore(batch.begin));
    if (details.reason == "REQUEST_TOO_OLD") {
      absl::StrAppend(&message,
                      ". The interrupted import is so old that the server no longer knows "
                      "whether it has executed these rows; give --again to write them again");
    }
    return WithMessage(status, message);
  }

  absl::Status Explain(const absl::Status& status, absl::string_view advice) const {
    return WithMessage(
        status, absl::StrCat(status.message(), " (", WrittenBefore(state_.acknowledged_rows), "; ",
                             advice, ")"));
  }

  Client* const client_;
  const ImportOptions options_;
  const std::string resume_path_;
  std::unique_ptr<RecordSource> source_;
  uint64_t dimension_ = 0;
  BatchLimits limits_;
  ResumeState state_;
  // Rows below it may have been sent by an earlier run.
  uint64_t resumed_sent_rows_ = 0;
  uint64_t next_row_ = 0;
  std::vector<std::string> places_;
  std::deque<Batch> in_flight_;
  absl::Status rejection_;
  absl::Time last_saved_;
  ImportResult result_;
  std::optional<BulkWriter> writer_;
};

}  // namespace

absl::StatusOr<ImportResult> ImportFile(Client* client, const ImportOptions& options) {
  return Importer(client, options).Run();
}

}  // namespace stele::client::cli
