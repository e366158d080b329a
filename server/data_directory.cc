#include "server/data_directory.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "storage/layout.h"

namespace stele::server {
namespace {

constexpr std::string_view kOwn[] = {
    storage::kFormatName,  storage::kLockName,      storage::kWatermarkName,
    storage::kJournalName, storage::kSnapshotsName, storage::kCreatingName,
    "checkpoint",          "checkpoint-key.pem",    "lost+found"};
constexpr absl::string_view kUnfinished = ".tmp";
constexpr absl::string_view kSnapshotPrefix = "snapshot-";
constexpr absl::string_view kSnapshotSuffix = ".stele";
constexpr size_t kSnapshotDigits = 20;

bool IsOwn(const std::string& name) {
  return std::find(std::begin(kOwn), std::end(kOwn),
                   absl::EndsWith(name, kUnfinished)
                       ? std::string_view(name).substr(0, name.size() - kUnfinished.size())
                       : std::string_view(name)) != std::end(kOwn);
}

bool IsSnapshot(absl::string_view name) {
  absl::ConsumeSuffix(&name, kUnfinished);
  return absl::ConsumePrefix(&name, kSnapshotPrefix) &&
         absl::ConsumeSuffix(&name, kSnapshotSuffix) && name.size() == kSnapshotDigits &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

std::vector<std::string> NamesIn(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

}  // namespace

std::vector<std::string> ForeignNames(const std::string& data_directory) {
  const std::filesystem::path directory(data_directory);
  std::vector<std::string> foreign;
  for (std::string& name : NamesIn(directory)) {
    if (!IsOwn(name)) foreign.push_back(std::move(name));
  }
  for (const std::string& name : NamesIn(directory / storage::kSnapshotsName)) {
    if (!IsSnapshot(name)) foreign.push_back(std::string(storage::kSnapshotsName) + "/" + name);
  }
  std::sort(foreign.begin(), foreign.end());
  return foreign;
}

}  // namespace stele::server
