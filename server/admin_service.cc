#include "server/admin_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/audit_service.h"
#include "server/errors.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/version.h"
#include "server/views.h"
#include "server/write_door.h"

namespace stele::server {
namespace {

// The log root is that of the published index, which may move on between two questions.
constexpr int kAttemptsMax = 1000;

void FillSnapshot(const SnapshotInfo& snapshot, v1::Snapshot* wire) {
  wire->set_log_index(snapshot.log_index);
  wire->set_state_root(std::string(index::AsBytes(snapshot.state_root)));
  wire->set_log_root(std::string(index::AsBytes(snapshot.log_root)));
  wire->set_snapshot_hash(std::string(index::AsBytes(snapshot.snapshot_hash)));
  wire->set_size_bytes(snapshot.size_bytes);
  wire->set_file_name(snapshot.file_name);
}

absl::Status FillNewestPosition(const Engine& engine, v1::Position* wire) {
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return view.status();
  FillPosition(view->position(), wire);
  return absl::OkStatus();
}

// Position and log root of the same entry.
absl::Status FillRoots(const Engine& engine, v1::GetServerInfoResponse* response) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const index::LogIndex before = engine.published_index();
    const index::Hash root = engine.log_root();
    const absl::StatusOr<ReadView> view = OpenView(engine);
    if (!view.ok()) return view.status();
    if (view->n() != before) continue;
    FillPosition(view->position(), response->mutable_position());
    response->set_log_root(std::string(index::AsBytes(root)));
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kUnavailable, "LOG_MOVING",
                   "the log moved on during every attempt to read its root; try again");
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::CreateSnapshot(grpc::CallbackServerContext* context,
                                                       const v1::CreateSnapshotRequest* /*request*/,
                                                       v1::CreateSnapshotResponse* response) {
  auto* call = new Call(context, parts_.gate, "CreateSnapshot");
  if (!call->admitted()) return call;
  parts_.engine->CreateSnapshot([engine = parts_.engine, call,
                                 response](const absl::StatusOr<SnapshotInfo>& snapshot) {
    if (!snapshot.ok()) {
      const absl::Status& status = snapshot.status();
      return call->Done(MakeError(status.code(), "SNAPSHOT_FAILED", std::string(status.message())));
    }
    FillSnapshot(*snapshot, response->mutable_snapshot());
    call->Done(FillNewestPosition(*engine, response->mutable_position()));
  });
  return call;
}

grpc::ServerUnaryReactor* AdminService::ListSnapshots(grpc::CallbackServerContext* context,
                                                      const v1::ListSnapshotsRequest* /*request*/,
                                                      v1::ListSnapshotsResponse* response) {
  auto* call = new Call(context, parts_.gate, "ListSnapshots");
  if (!call->admitted()) return call;
  RunOnExecutor(parts_.executor, call, [engine = parts_.engine, response] {
    for (const SnapshotInfo& snapshot : engine->ListSnapshots()) {
      FillSnapshot(snapshot, response->add_snapshots());
    }
    return FillNewestPosition(*engine, response->mutable_position());
  });
  return call;
}

grpc::ServerUnaryReactor* AdminService::SetRetention(grpc::CallbackServerContext* context,
                                                     const v1::SetRetentionRequest* request,
                                                     v1::SetRetentionResponse* response) {
  auto* call = new Call(context, parts_.gate, "SetRetention");
  if (!call->admitted()) return call;
  SubmitCall(parts_.engine, call, DraftSetRetention(*request, call->actor()), response);
  return call;
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(grpc::CallbackServerContext* context,
                                                      const v1::GetServerInfoRequest* /*request*/,
                                                      v1::GetServerInfoResponse* response) {
  auto* call = new Call(context, parts_.gate, "GetServerInfo");
  if (!call->admitted()) return call;
  const Engine& engine = *parts_.engine;
  const auto& log_id = engine.log_id().bytes;
  response->set_version(std::string(kVersion));
  response->set_rules_version(index::kRulesVersion);
  response->set_log_id(std::string(log_id.begin(), log_id.end()));
  response->set_base_index(engine.base_index());
  FillLimits(response->mutable_limits());
  response->set_kernel(engine.kernels().name);
  response->set_search_threads(engine.search_threads());
  response->set_history_index(engine.history_index());
  const Engine::Retention retention = engine.retention();
  response->set_history_entries(retention.history_entries);
  response->set_history_is_logged(retention.is_logged);
  response->set_write_poisoned(engine.write_poisoned());
  if (checkpointer_ != nullptr) {
    FillCheckpointKey(checkpointer_->key(), response->mutable_checkpoint_key());
  }
  call->Done(FillRoots(engine, response));
  return call;
}

}  // namespace stele::server
