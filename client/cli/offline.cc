#include "client/cli/offline.h"

#include "server/offline.h"
#include "server/recovery.h"

namespace stele::client::cli {
namespace {

nlohmann::json ToJson(const server::SnapshotInfo& info) {
  return {{"log_index", info.log_index},
          {"state_root", server::Hex(info.state_root)},
          {"log_root", server::Hex(info.log_root)},
          {"snapshot_hash", server::Hex(info.snapshot_hash)},
          {"size_bytes", info.size_bytes}};
}

nlohmann::json ToJson(const server::RecoveryReport& report) {
  nlohmann::json json = {{"replayed_entries", report.replayed_entries},
                         {"log_index", report.position.log_index},
                         {"state_index", report.position.state_index},
                         {"state_root", server::Hex(report.position.state_root)},
                         {"log_root", server::Hex(report.log_root)}};
  if (report.snapshot_index.has_value()) json["base_snapshot"] = *report.snapshot_index;
  return json;
}

server::EngineOptions OptionsFor(const std::string& data_dir) {
  server::EngineOptions options;
  options.data_directory = data_dir;
  options.probe_path = server::FindProbe();
  return options;
}

}  // namespace

absl::StatusOr<nlohmann::json> VerifySnapshotFile(const std::string& path) {
  absl::StatusOr<server::SnapshotInfo> info = server::VerifySnapshotFile(path);
  if (!info.ok()) return info.status();
  return ToJson(*info);
}

absl::StatusOr<nlohmann::json> ReplayDataDir(const std::string& data_dir,
                                             const ReplayOptions& options) {
  absl::StatusOr<server::RecoveryReport> report =
      server::ReplayLog(OptionsFor(data_dir), nullptr, options.at_index);
  if (!report.ok()) return report.status();
  return ToJson(*report);
}

absl::StatusOr<nlohmann::json> VerifyDataDir(const std::string& data_dir) {
  absl::StatusOr<server::VerifiedDirectory> verified =
      server::VerifyDataDirectory(OptionsFor(data_dir), nullptr);
  if (!verified.ok()) return verified.status();
  nlohmann::json json = ToJson(verified->replay);
  json["snapshots"] = nlohmann::json::array();
  for (const server::SnapshotInfo& info : verified->snapshots) {
    json["snapshots"].push_back(ToJson(info));
  }
  return json;
}

}  // namespace stele::client::cli
