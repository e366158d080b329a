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

absl::StatusOr<v1::GetRecordProofResponse> Client::ProveRecord(absl::string_view collection,
                                                               absl::string_view id,
                                                               bool commitment_only,
                                                               const ReadOptions& options) {
  v1::GetRecordProofRequest request;
  request.set_collection(std::string(collection));
  request.set_id(std::string(id));
  request.set_commitment_only(commitment_only);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetRecordProof, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::AddCosignaturesResponse> Client::AddCosignatures(
    absl::string_view note, std::optional<absl::Duration> timeout) {
  v1::AddCosignaturesRequest request;
  request.set_note(std::string(note));
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::AddCosignatures, request,
                           connection_->Deadline(timeout));
}

absl::Status Client::ReadLog(const LogOptions& options,
                             const std::function<absl::Status(const v1::LogEntry&)>& on_entry) {
  v1::ReadLogRequest request;
  request.set_from_index(options.first);
  if (options.last.has_value()) request.set_to_index(*options.last);
  request.set_follow(options.follow);
  request.set_without_operations(!options.operations);
  const absl::Time deadline = options.follow && !options.timeout.has_value()
                                  ? absl::InfiniteFuture()
                                  : connection_->Deadline(options.timeout);
  Backoff backoff(connection_->options().on_retry);
  for (;;) {
    grpc::ClientContext context;
    connection_->Prepare(deadline, &context);
    const auto stream = connection_->audit()->ReadLog(&context, request);
    v1::ReadLogResponse response;
    absl::Status taken;
    while (taken.ok() && stream->Read(&response)) {
      for (const v1::LogEntry& entry : response.entries()) {
        taken = on_entry(entry);
        if (!taken.ok()) break;
        request.set_from_index(entry.index() + 1);
      }
    }
    if (!taken.ok()) context.TryCancel();
    const absl::Status status = StatusFromGrpc(stream->Finish());
    if (!taken.ok()) return taken;
    if (status.ok()) return status;
    // Goes on behind what has arrived.
    if (!IsRetryable(status) || !backoff.Wait(status, deadline)) {
      return connection_->Explain(status);
    }
  }
}

}  // namespace stele::client
