#include "storage/damaged_tables.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "rocksdb/env.h"
#include "rocksdb/options.h"
#include "rocksdb/sst_file_reader.h"
#include "storage/file_util.h"

namespace stele::storage {
namespace {

constexpr absl::string_view kTableSuffix = ".sst";

rocksdb::Status ReadTable(const std::string& file, rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  rocksdb::SstFileReader reader(options);
  const rocksdb::Status opened = reader.Open(file);
  return opened.ok() ? reader.VerifyChecksum() : opened;
}

}  // namespace

absl::Status NameDamagedTables(const absl::Status& status, const std::string& path,
                               std::shared_ptr<rocksdb::FileSystem> file_system) {
  if (!absl::IsDataLoss(status)) return status;
  file_system = OrDefault(std::move(file_system));
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(*file_system, path);
  if (!names.ok()) return status;
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(file_system);
  std::string message(status.message());
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, kTableSuffix) || absl::StrContains(status.message(), name)) continue;
    const std::string file = JoinPath(path, name);
    const rocksdb::Status read = ReadTable(file, env.get());
    if (!read.ok()) absl::StrAppend(&message, "; damaged: ", file, ": ", read.ToString());
  }
  return absl::DataLossError(message);
}

}  // namespace stele::storage
