// stele.v1.AdminService: for operators. docs/protocol.md specifies it.
//
// Thread safety: as gRPC asks for it. The parts must outlive the service, and the service the gRPC
// server.
#pragma once

#include "server/call.h"
#include "server/checkpointer.h"
#include "server/engine.h"
#include "server/executor.h"
#include "server/gate.h"
#include "stele/v1/admin_service.grpc.pb.h"

namespace stele::server {

class AdminService final : public v1::AdminService::CallbackService {
 public:
  // `checkpointer` may be null: then GetServerInfo names no key.
  AdminService(Engine* engine, const Gate* gate, Executor* executor,
               const Checkpointer* checkpointer = nullptr)
      : parts_{engine, gate, executor}, checkpointer_(checkpointer) {}

  grpc::ServerUnaryReactor* CreateSnapshot(grpc::CallbackServerContext* context,
                                           const v1::CreateSnapshotRequest* request,
                                           v1::CreateSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* ListSnapshots(grpc::CallbackServerContext* context,
                                          const v1::ListSnapshotsRequest* request,
                                          v1::ListSnapshotsResponse* response) override;
  grpc::ServerUnaryReactor* SetRetention(grpc::CallbackServerContext* context,
                                         const v1::SetRetentionRequest* request,
                                         v1::SetRetentionResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;

 private:
  const Parts parts_;
  const Checkpointer* const checkpointer_;
};

}  // namespace stele::server
