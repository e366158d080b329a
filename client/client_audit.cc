// What auditors ask for.
#include "client/client.h"
#include "client/client_internal.h"

namespace stele::client {

absl::StatusOr<v1::GetCheckpointResponse> Client::GetCheckpoint(uint64_t tree_size,
                                                                const ReadOptions& options) {
  v1::GetCheckpointRequest request;
  request.set_tree_size(tree_size);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetCheckpoint, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::GetLogInclusionProofResponse> Client::ProveEntry(uint64_t index,
                                                                    uint64_t tree_size,
                                                                    const ReadOptions& options) {
  v1::GetLogInclusionProofRequest request;
  request.set_index(index);
  request.set_tree_size(tree_size);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetLogInclusionProof,
                           request, connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::GetLogConsistencyProofResponse> Client::ProveConsistency(
    uint64_t old_size, uint64_t new_size, const ReadOptions& options) {
  v1::GetLogConsistencyProofRequest request;
  request.set_old_size(old_size);
  request.set_new_size(new_size);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetLogConsistencyProof,
                           request, connection_->Deadline(options.timeout));
}

}  // namespace stele::client
