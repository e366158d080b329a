#include "storage/probe.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/damaged_tables.h"
#include "storage/file_util.h"
#include "storage/format_file.h"
#include "storage/layout.h"
#include "storage/row_db.h"
#include "storage/row_reader.h"
#include "storage/watermark.h"

namespace stele::storage {
namespace {

constexpr absl::string_view kGreeting = "stele-probe 1";
constexpr absl::string_view kEnd = "end";

absl::Status CheckFormatRow(const RowDb& rows, const DirectoryFormat& format) {
  const absl::StatusOr<std::string> bytes = rows.ReadFormatRow();
  if (!bytes.ok()) return bytes.status();
  const absl::StatusOr<DirectoryFormat> row =
      DecodeFormat(*bytes, absl::StrCat("the format row in ", rows.path()));
  if (!row.ok()) return row.status();
  if (row->log_id != format.log_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("the journal in ", rows.path(), " belongs to log ", row->log_id.ToHex(),
                     ", the directory to log ", format.log_id.ToHex()));
  }
  if (row->base_index != format.base_index) {
    return absl::DataLossError(absl::StrCat("the journal in ", rows.path(), " begins at entry ",
                                            row->base_index, ", the directory at entry ",
                                            format.base_index));
  }
  return absl::OkStatus();
}

// The entries must reach the watermark.
absl::Status CheckEnd(const ProbeReport& report, const std::string& path) {
  if (report.watermark_next_index < report.base_index) {
    return absl::DataLossError(absl::StrCat("the watermark lies before the first entry ",
                                            report.base_index, " of the journal in ", path));
  }
  if (report.next_index < report.base_index) {
    return absl::DataLossError(absl::StrCat("the journal in ", path, " ends at entry ",
                                            report.next_index - 1, ", before its first entry ",
                                            report.base_index));
  }
  if (report.next_index >= report.watermark_next_index) return absl::OkStatus();
  const std::string end = report.next_index == report.base_index
                              ? "the log is empty"
                              : absl::StrCat("the log ends at ", report.next_index - 1);
  const uint64_t watermark_index = report.watermark_next_index - 1;
  return absl::DataLossError(absl::StrCat("entries ", report.next_index, "..", watermark_index,
                                          " are missing: ", end, ", the watermark says ",
                                          watermark_index, " (journal in ", path, ")"));
}

absl::Status CheckRows(const RowDb& rows, uint64_t from, ProbeReport& report) {
  const uint64_t begin = std::clamp(from, report.base_index, report.next_index);
  auto reader = RowReader::Make(rows, report.log_id, begin, report.next_index);
  if (!reader.ok()) return reader.status();
  while (true) {
    const absl::StatusOr<bool> more = (*reader)->Next();
    if (!more.ok()) return more.status();
    if (!*more) break;
    ++report.entries_checked;
  }
  return (*reader)->ExpectNoMoreItems();
}

std::string CodeLine(const absl::Status& status) {
  return absl::StrCat("status ", static_cast<int>(status.code()), " ",
                      absl::CEscape(status.message()));
}

std::optional<absl::Status> ParseCodeLine(absl::string_view line) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 2));
  int code = 0;
  std::string message;
  if (parts.size() != 3 || parts[0] != "status" || !absl::SimpleAtoi(parts[1], &code) ||
      code <= 0 || code > 16 || !absl::CUnescape(parts[2], &message)) {
    return std::nullopt;
  }
  return absl::Status(static_cast<absl::StatusCode>(code), message);
}

absl::StatusOr<ProbeReport> ProbeFiles(const std::string& directory, uint64_t check_from,
                                       const std::shared_ptr<rocksdb::FileSystem>& file_system) {
  const std::string format_path = JoinPath(directory, kFormatName);
  const absl::StatusOr<std::string> format_bytes =
      ReadFilePrefix(*file_system, format_path, kFormatFileSizeMax);
  if (!format_bytes.ok()) return format_bytes.status();
  const absl::StatusOr<DirectoryFormat> format = DecodeFormat(*format_bytes, format_path);
  if (!format.ok()) return format.status();
  const absl::StatusOr<WatermarkState> watermark =
      WatermarkFile::Read(*file_system, JoinPath(directory, kWatermarkName), format->log_id);
  if (!watermark.ok()) return watermark.status();

  const absl::StatusOr<std::unique_ptr<RowDb>> rows =
      RowDb::Open(JoinPath(directory, kJournalName), file_system, RowDb::Mode::kRead);
  if (!rows.ok()) return rows.status();
  absl::Status status = CheckFormatRow(**rows, *format);
  if (!status.ok()) return status;
  const absl::StatusOr<std::optional<uint64_t>> last = (*rows)->LastEntryIndex();
  if (!last.ok()) return last.status();

  ProbeReport report;
  report.log_id = format->log_id;
  report.base_index = format->base_index;
  report.next_index = last->has_value() ? **last + 1 : format->base_index;
  report.watermark_next_index = watermark->slot.next_index;
  status = CheckEnd(report, (*rows)->path());
  if (status.ok()) status = CheckRows(**rows, check_from, report);
  if (!status.ok()) return status;
  return report;
}

}  // namespace

absl::StatusOr<ProbeReport> Probe(const std::string& directory, uint64_t check_from,
                                  std::shared_ptr<rocksdb::FileSystem> file_system) {
  file_system = OrDefault(std::move(file_system));
  absl::StatusOr<ProbeReport> report = ProbeFiles(directory, check_from, file_system);
  if (report.ok()) return report;
  return NameDamagedTables(report.status(), JoinPath(directory, kJournalName), file_system);
}

std::string EncodeProbeResult(const absl::StatusOr<ProbeReport>& result) {
  if (!result.ok()) {
    return absl::StrCat(kGreeting, "\n", CodeLine(result.status()), "\n", kEnd, "\n");
  }
  return absl::StrCat(kGreeting, "\nlog_id ", result->log_id.ToHex(), "\nbase_index ",
                      result->base_index, "\nnext_index ", result->next_index,
                      "\nwatermark_next_index ", result->watermark_next_index, "\nentries_checked ",
                      result->entries_checked, "\n", kEnd, "\n");
}

std::optional<absl::StatusOr<ProbeReport>> DecodeProbeResult(std::string_view text) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  if (lines.size() < 4 || lines[0] != kGreeting || lines[lines.size() - 2] != kEnd ||
      !lines.back().empty()) {
    return std::nullopt;
  }
  if (lines.size() == 4) {
    std::optional<absl::Status> status = ParseCodeLine(lines[1]);
    if (!status.has_value()) return std::nullopt;
    return absl::StatusOr<ProbeReport>(*std::move(status));
  }
  if (lines.size() != 8) return std::nullopt;
  const std::vector<absl::string_view> id = absl::StrSplit(lines[1], ' ');
  if (id.size() != 2 || id[0] != "log_id") return std::nullopt;
  const std::optional<LogId> log_id = LogId::FromHex({id[1].data(), id[1].size()});
  if (!log_id.has_value()) return std::nullopt;
  ProbeReport report;
  report.log_id = *log_id;
  const std::pair<absl::string_view, uint64_t*> numbers[] = {
      {"base_index", &report.base_index},
      {"next_index", &report.next_index},
      {"watermark_next_index", &report.watermark_next_index},
      {"entries_checked", &report.entries_checked}};
  for (size_t i = 0; i < std::size(numbers); ++i) {
    const std::vector<absl::string_view> parts = absl::StrSplit(lines[i + 2], ' ');
    if (parts.size() != 2 || parts[0] != numbers[i].first ||
        !absl::SimpleAtoi(parts[1], numbers[i].second)) {
      return std::nullopt;
    }
  }
  return absl::StatusOr<ProbeReport>(report);
}

}  // namespace stele::storage
