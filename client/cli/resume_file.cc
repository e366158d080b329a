#include "client/cli/resume_file.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/files.h"
#include "client/cli/json_values.h"

namespace stele::client::cli {
namespace {

constexpr int kFormatVersion = 1;
constexpr size_t kFileBytesMax = 4096;

absl::Status Malformed(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": is not a progress file of this version; remove it, or name another "
                   "with --resume-file, to import from the first row"));
}

bool Read(const Json& json, const char* key, uint64_t* value) {
  if (!json.contains(key) || !json[key].is_number_integer()) return false;
  const int64_t number = json[key].get<int64_t>();
  *value = static_cast<uint64_t>(number);
  return number >= 0;
}

bool Read(const Json& json, const char* key, std::string* value) {
  if (!json.contains(key) || !json[key].is_string()) return false;
  *value = json[key].get<std::string>();
  return true;
}

// Of processes that are gone. Failures do not matter: the files are small and never read.
void RemoveLeftovers(const std::filesystem::path& path) {
  const std::string prefix = path.filename().string() + ".tmp-";
  std::error_code error;
  std::filesystem::directory_iterator entry(path.has_parent_path() ? path.parent_path() : ".",
                                            error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int32_t pid = 0;
    if (!absl::StartsWith(name, prefix) || !absl::SimpleAtoi(name.substr(prefix.size()), &pid) ||
        pid <= 0) {
      continue;
    }
    const bool is_running = kill(pid, 0) == 0 || errno != ESRCH;
    if (!is_running) (void)unlink(entry->path().c_str());
  }
}

}  // namespace

absl::StatusOr<std::optional<ResumeState>> LoadResumeFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kFileBytesMax);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  const absl::StatusOr<Json> json = ParseJson(*text, path);
  ResumeState state;
  uint64_t format = 0;
  if (!json.ok() || !json->is_object() || !Read(*json, "format", &format) ||
      format != kFormatVersion || !Read(*json, "identity", &state.identity) ||
      !Read(*json, "batch_rows", &state.batch_rows) ||
      !Read(*json, "batch_bytes", &state.batch_bytes) || !Read(*json, "nonce", &state.nonce) ||
      !Read(*json, "acknowledged_rows", &state.acknowledged_rows) ||
      !Read(*json, "sent_rows", &state.sent_rows) ||
      !Read(*json, "known_index", &state.known_index) || state.batch_rows == 0 ||
      state.sent_rows < state.acknowledged_rows) {
    return Malformed(path);
  }
  return std::optional<ResumeState>(std::move(state));
}

absl::Status SaveResumeFile(const std::string& path, const ResumeState& state) {
  Json json;
  json["format"] = kFormatVersion;
  json["identity"] = state.identity;
  json["batch_rows"] = state.batch_rows;
  json["batch_bytes"] = state.batch_bytes;
  json["nonce"] = state.nonce;
  json["acknowledged_rows"] = state.acknowledged_rows;
  json["sent_rows"] = state.sent_rows;
  json["known_index"] = state.known_index;
  const absl::Status status = WriteFile(path, absl::StrCat(json.dump(2), "\n"));
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("the progress file cannot be written (", status.message(),
                                   "); name another place with --resume-file"));
}

absl::Status RemoveResumeFile(const std::string& path) {
  RemoveLeftovers(path);
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot remove the progress file '", path, "': ", strerror(errno)));
}

}  // namespace stele::client::cli
