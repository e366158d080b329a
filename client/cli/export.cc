#include "client/cli/export.h"

#include <bit>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/files.h"
#include "client/cli/json_values.h"
#include "client/cli/record_source.h"
#include "client/cli/vector_file.h"

namespace stele::client::cli {
namespace {

template <typename Word>
void AppendLittleEndian(Word word, std::string* bytes) {
  for (size_t b = 0; b < sizeof(Word); ++b) {
    bytes->push_back(static_cast<char>((word >> (8 * b)) & 0xff));
  }
}

class Exporter {
 public:
  Exporter(Client* client, const ExportOptions& options) : client_(client), options_(options) {}

  absl::StatusOr<ExportResult> Run() {
    absl::Status status = Prepare();
    if (status.ok()) status = WriteAll();
    if (status.ok()) status = Commit();
    if (!status.ok()) return status;
    return result_;
  }

 private:
  absl::Status Prepare() {
    const absl::StatusOr<std::string> format = FormatOf(options_.path, options_.format);
    if (!format.ok()) return format.status();
    format_ = *format;
    if (options_.raw_q16 && format_ != "npy") {
      return absl::InvalidArgumentError("--raw-q16 is for npy; jsonl is raw already");
    }
    const auto collection = client_->GetCollection(options_.collection);
    if (!collection.ok()) return collection.status();
    dimension_ = collection->collection().config().dimension();
    if (!options_.filter.has_value() && !options_.at_index.has_value()) {
      total_ = collection->collection().record_count();
    }
    absl::StatusOr<AtomicFile> file = AtomicFile::Create(options_.path);
    if (!file.ok()) return file.status();
    file_.emplace(*std::move(file));
    result_.ids_path = options_.ids_path;
    if (result_.ids_path.empty() && format_ == "npy")
      result_.ids_path = options_.path + ".ids.jsonl";
    if (format_ == "jsonl") result_.ids_path.clear();
    if (!result_.ids_path.empty()) {
      absl::StatusOr<AtomicFile> ids_file = AtomicFile::Create(result_.ids_path);
      if (!ids_file.ok()) return ids_file.status();
      ids_file_.emplace(*std::move(ids_file));
    }
    return format_ == "npy" ? file_->Write(Preamble()) : absl::OkStatus();
  }

  absl::Status WriteAll() {
    ListOptions list;
    list.select = {true, true, true};
    list.filter = options_.filter;
    list.read.at_index = options_.at_index;
    RecordIterator pages = client_->List(options_.collection, list);
    for (bool first = true;; first = false) {
      absl::StatusOr<std::optional<v1::ListRecordsResponse>> page = pages.NextPage();
      if (!page.ok()) return page.status();
      if (!page->has_value()) return absl::OkStatus();
      const v1::Position& position = (*page)->position();
      if (first) {
        result_.position = position;
      } else if (position.log_index() != result_.position.log_index() ||
                 position.state_root() != result_.position.state_root()) {
        return absl::DataLossError(
            "the server's pages are of different states; nothing is exported");
      }
      for (const v1::Record& record : (*page)->records()) {
        if (absl::Status status = WriteRecord(record); !status.ok()) return status;
      }
      if (options_.on_progress) options_.on_progress({result_.row_count, 0, total_, 0});
    }
  }

  absl::Status WriteRecord(const v1::Record& record) {
    ++result_.row_count;
    if (record.vector_q16().size() != 4 * dimension_) {
      return absl::DataLossError(absl::StrCat("record '", record.id(), "' came with a vector of ",
                                              record.vector_q16().size(), " bytes; expected ",
                                              4 * dimension_));
    }
    if (format_ == "jsonl") return WriteJson(record, &*file_);
    absl::Status status = file_->Write(Row(record.vector_q16()));
    if (status.ok() && ids_file_.has_value()) {
      v1::Record rest = record;
      rest.clear_vector_q16();
      status = WriteJson(rest, &*ids_file_);
    }
    return status;
  }

  static absl::Status WriteJson(const v1::Record& record, AtomicFile* file) {
    return file->Write(absl::StrCat(RecordToJson(record, false).dump(), "\n"));
  }

  std::string Row(const std::string& q16) {
    // The wire's order of bytes is npy's.
    if (format_ == "npy" && options_.raw_q16) return q16;
    std::string bytes;
    if (format_ == "fvecs") AppendLittleEndian(static_cast<uint32_t>(dimension_), &bytes);
    const absl::StatusOr<std::vector<double>> values = DecodeDoubles(q16);
    for (const double value : *values) {
      if (format_ == "npy") {
        AppendLittleEndian(std::bit_cast<uint64_t>(value), &bytes);
        continue;
      }
      const auto rounded = static_cast<float>(value);
      if (static_cast<double>(rounded) != value) ++result_.rounded_components;
      AppendLittleEndian(std::bit_cast<uint32_t>(rounded), &bytes);
    }
    return bytes;
  }

  std::string Preamble() const {
    return NpyPreamble(options_.raw_q16 ? ComponentType::kInt32 : ComponentType::kFloat64,
                       result_.row_count, dimension_);
  }

  absl::Status Commit() {
    absl::Status status = format_ == "npy" ? file_->WriteAtBeginning(Preamble()) : absl::OkStatus();
    if (status.ok() && ids_file_.has_value()) status = ids_file_->Commit();
    return status.ok() ? file_->Commit() : status;
  }

  Client* const client_;
  const ExportOptions options_;
  std::string format_;
  uint64_t dimension_ = 0;
  std::optional<uint64_t> total_;
  std::optional<AtomicFile> file_;
  std::optional<AtomicFile> ids_file_;
  ExportResult result_;
};

}  // namespace

absl::StatusOr<ExportResult> ExportCollection(Client* client, const ExportOptions& options) {
  return Exporter(client, options).Run();
}

}  // namespace stele::client::cli
