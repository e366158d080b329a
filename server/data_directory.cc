#include "server/data_directory.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "storage/atomic_file.h"
#include "storage/layout.h"
#include "storage/snapshot_store.h"

namespace stele::server {
namespace {

constexpr std::string_view kOwn[] = {storage::kFormatName,
                                     storage::kLockName,
                                     storage::kWatermarkName,
                                     storage::kJournalName,
                                     storage::kSnapshotsName,
                                     storage::kCreatingName,
                                     kCheckpointName,
                                     kCheckpointKeyName,
                                     storage::kBallastName,
                                     kCosignaturesName,
                                     "lost+found"};

// Without what AtomicFileWriter appends to the name of a file that is not finished: two numbers and
// its suffix.
std::string_view FinalName(std::string_view name) {
  const std::string_view suffix = storage::AtomicFileWriter::kTemporarySuffix;
  if (!name.ends_with(suffix)) return name;
  name.remove_suffix(suffix.size());
  for (int number = 0; number < 2; ++number) {
    const size_t digits = name.find_last_not_of("0123456789");
    if (digits == std::string_view::npos || digits + 1 == name.size() || name[digits] != '.') break;
    name = name.substr(0, digits);
  }
  return name;
}

bool IsOwn(std::string_view name) {
  return std::find(std::begin(kOwn), std::end(kOwn), FinalName(name)) != std::end(kOwn);
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
    if (!storage::SnapshotStore::IsFileName(FinalName(name)))
      foreign.push_back(std::string(storage::kSnapshotsName) + "/" + name);
  }
  std::sort(foreign.begin(), foreign.end());
  return foreign;
}

}  // namespace stele::server
