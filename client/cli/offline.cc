#include "client/cli/offline.h"

#include "absl/strings/str_cat.h"

namespace stele::client::cli {
namespace {

absl::Status Unimplemented(const std::string& what) {
  return absl::UnimplementedError(
      absl::StrCat("this build cannot read ", what, " without a server yet"));
}

}  // namespace

absl::StatusOr<nlohmann::json> VerifySnapshotFile(const std::string& path) {
  return Unimplemented(absl::StrCat("the snapshot '", path, "'"));
}

absl::StatusOr<nlohmann::json> ReplayDataDir(const std::string& data_dir,
                                             const ReplayOptions& /*options*/) {
  return Unimplemented(absl::StrCat("the data directory '", data_dir, "'"));
}

absl::StatusOr<nlohmann::json> VerifyDataDir(const std::string& data_dir) {
  return Unimplemented(absl::StrCat("the data directory '", data_dir, "'"));
}

}  // namespace stele::client::cli
