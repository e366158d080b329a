// stele.v1.AuditService: proofs for those who do not trust the server. docs/audit.md says what they
// show, docs/protocol.md what the calls mean.
//
// Thread safety: as gRPC asks for it. The parts must outlive the service, and the service the gRPC
// server.
#pragma once

#include "server/call.h"
#include "server/checkpointer.h"
#include "stele/v1/admin_service.pb.h"
#include "stele/v1/audit_service.grpc.pb.h"

namespace stele::server {

class AuditService final : public v1::AuditService::CallbackService {
 public:
  AuditService(Engine* engine, const Gate* gate, Executor* executor, Checkpointer* checkpointer)
      : parts_{engine, gate, executor}, checkpointer_(checkpointer) {}

  grpc::ServerUnaryReactor* GetCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::GetCheckpointRequest* request,
                                          v1::GetCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* GetLogInclusionProof(
      grpc::CallbackServerContext* context, const v1::GetLogInclusionProofRequest* request,
      v1::GetLogInclusionProofResponse* response) override;
  grpc::ServerUnaryReactor* GetLogConsistencyProof(
      grpc::CallbackServerContext* context, const v1::GetLogConsistencyProofRequest* request,
      v1::GetLogConsistencyProofResponse* response) override;
  grpc::ServerUnaryReactor* GetRecordProof(grpc::CallbackServerContext* context,
                                           const v1::GetRecordProofRequest* request,
                                           v1::GetRecordProofResponse* response) override;
  grpc::ServerUnaryReactor* GetErasureCertificate(
      grpc::CallbackServerContext* context, const v1::GetErasureCertificateRequest* request,
      v1::GetErasureCertificateResponse* response) override;
  grpc::ServerUnaryReactor* AddCosignatures(grpc::CallbackServerContext* context,
                                            const v1::AddCosignaturesRequest* request,
                                            v1::AddCosignaturesResponse* response) override;
  grpc::ServerUnaryReactor* SetHold(grpc::CallbackServerContext* context,
                                    const v1::SetHoldRequest* request,
                                    v1::SetHoldResponse* response) override;
  grpc::ServerUnaryReactor* ReleaseHold(grpc::CallbackServerContext* context,
                                        const v1::ReleaseHoldRequest* request,
                                        v1::ReleaseHoldResponse* response) override;
  grpc::ServerUnaryReactor* ListHolds(grpc::CallbackServerContext* context,
                                      const v1::ListHoldsRequest* request,
                                      v1::ListHoldsResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadLogResponse>* ReadLog(
      grpc::CallbackServerContext* context, const v1::ReadLogRequest* request) override;
  grpc::ServerUnaryReactor* DiffStates(grpc::CallbackServerContext* context,
                                       const v1::DiffStatesRequest* request,
                                       v1::DiffStatesResponse* response) override;
  grpc::ServerUnaryReactor* DiffSearch(grpc::CallbackServerContext* context,
                                       const v1::DiffSearchRequest* request,
                                       v1::DiffSearchResponse* response) override;
  grpc::ServerUnaryReactor* CounterfactualSearch(
      grpc::CallbackServerContext* context, const v1::CounterfactualSearchRequest* request,
      v1::CounterfactualSearchResponse* response) override;
  grpc::ServerUnaryReactor* GetTreeNodes(grpc::CallbackServerContext* context,
                                         const v1::GetTreeNodesRequest* request,
                                         v1::GetTreeNodesResponse* response) override;

 private:
  void ProveRecord(Call* call, const v1::GetRecordProofRequest* request,
                   v1::GetRecordProofResponse* response);

  const Parts parts_;
  Checkpointer* const checkpointer_;
};

void FillCheckpointKey(const index::VerifierKey& key, v1::CheckpointKey* wire);

}  // namespace stele::server
