#include "server/audit_service.h"

#include <memory>
#include <string>
#include <utility>

#include "index/commit_record.h"
#include "index/record_proof.h"
#include "server/erasure_certificate.h"
#include "server/errors.h"
#include "server/log_reader.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/views.h"

namespace stele::server {
namespace {

std::string Text(const index::Hash& hash) { return std::string(index::AsBytes(hash)); }

void FillCheckpoint(const SignedCheckpoint& checkpoint, v1::Checkpoint* wire) {
  wire->set_note(checkpoint.note);
  wire->set_origin(checkpoint.checkpoint.origin);
  wire->set_tree_size(checkpoint.checkpoint.size);
  wire->set_root(Text(checkpoint.checkpoint.root));
}

// What contradicts itself on the disk, or cannot be signed, has a reason of its own.
absl::Status Explain(const absl::Status& status) {
  bool has_reason = false;
  status.ForEachPayload([&](absl::string_view, const absl::Cord&) { has_reason = true; });
  if (status.ok() || has_reason) return status;
  return MakeError(status.code(), "PROOF_FAILED", std::string(status.message()));
}

// Waits for min_index, then runs `work` on the executor; fills in the position afterwards, so that
// it is never older than the checkpoint.
template <typename Request, typename Response, typename Work>
grpc::ServerUnaryReactor* RunProof(const Parts& parts, grpc::CallbackServerContext* context,
                                   std::string_view method, const Request* request,
                                   Response* response, Work work) {
  auto* call = new Call(context, parts.gate, method);
  if (!call->admitted()) return call;
  const auto run = [engine = parts.engine, request, response, work]() -> absl::Status {
    absl::Status status = work(*request, response);
    if (!status.ok()) return Explain(status);
    const absl::StatusOr<ReadView> view = OpenView(*engine);
    if (!view.ok()) return view.status();
    FillPosition(view->position(), response->mutable_position());
    return absl::OkStatus();
  };
  WhenReached(parts.engine, request->min_index(), call,
              [executor = parts.executor, call, run](const absl::Status& status) {
                if (!status.ok()) return call->Done(status);
                RunOnExecutor(executor, call, run);
              });
  return call;
}

}  // namespace

grpc::ServerUnaryReactor* AuditService::GetCheckpoint(grpc::CallbackServerContext* context,
                                                      const v1::GetCheckpointRequest* request,
                                                      v1::GetCheckpointResponse* response) {
  const auto work = [this](const v1::GetCheckpointRequest& asked,
                           v1::GetCheckpointResponse* reply) -> absl::Status {
    const absl::StatusOr<SignedCheckpoint> made = checkpointer_->Make(asked.tree_size());
    if (!made.ok()) return made.status();
    FillCheckpoint(*made, reply->mutable_checkpoint());
    return absl::OkStatus();
  };
  return RunProof(parts_, context, "GetCheckpoint", request, response, work);
}

grpc::ServerUnaryReactor* AuditService::GetLogInclusionProof(
    grpc::CallbackServerContext* context, const v1::GetLogInclusionProofRequest* request,
    v1::GetLogInclusionProofResponse* response) {
  const auto work = [this](const v1::GetLogInclusionProofRequest& asked,
                           v1::GetLogInclusionProofResponse* reply) -> absl::Status {
    const absl::StatusOr<InclusionProof> made =
        checkpointer_->ProveEntry(asked.index(), asked.tree_size());
    if (!made.ok()) return made.status();
    FillCheckpoint(made->checkpoint, reply->mutable_checkpoint());
    reply->set_index(made->index);
    reply->set_commit_record(made->commit_record);
    for (const index::Hash& hash : made->hashes) reply->add_hashes(Text(hash));
    reply->set_text(index::EncodeInclusionText(
        {made->commit_record, made->index, made->hashes, made->checkpoint.note}));
    return absl::OkStatus();
  };
  return RunProof(parts_, context, "GetLogInclusionProof", request, response, work);
}

grpc::ServerUnaryReactor* AuditService::GetLogConsistencyProof(
    grpc::CallbackServerContext* context, const v1::GetLogConsistencyProofRequest* request,
    v1::GetLogConsistencyProofResponse* response) {
  const auto work = [this](const v1::GetLogConsistencyProofRequest& asked,
                           v1::GetLogConsistencyProofResponse* reply) -> absl::Status {
    const absl::StatusOr<ConsistencyProof> made =
        checkpointer_->ProveConsistency(asked.old_size(), asked.new_size());
    if (!made.ok()) return made.status();
    FillCheckpoint(made->checkpoint, reply->mutable_checkpoint());
    reply->set_old_size(made->old_size);
    for (const index::Hash& hash : made->hashes) reply->add_hashes(Text(hash));
    reply->set_text(
        index::EncodeConsistencyText({made->old_size, made->hashes, made->checkpoint.note}));
    return absl::OkStatus();
  };
  return RunProof(parts_, context, "GetLogConsistencyProof", request, response, work);
}

grpc::ServerUnaryReactor* AuditService::GetRecordProof(grpc::CallbackServerContext* context,
                                                       const v1::GetRecordProofRequest* request,
                                                       v1::GetRecordProofResponse* response) {
  auto* call = new Call(context, parts_.gate, "GetRecordProof");
  if (!call->admitted()) return call;
  absl::Status status = CheckCollectionName(request->collection(), "collection");
  if (status.ok()) status = CheckRecordId(request->id(), "id");
  if (!status.ok()) {
    call->Done(status);
    return call;
  }
  WhenReached(parts_.engine, request->min_index(), call,
              [this, call, request, response](const absl::Status& reached) {
                if (!reached.ok()) return call->Done(reached);
                ProveRecord(call, request, response);
              });
  return call;
}

// The state is looked at between two entries; the rest is done when that entry is published.
void AuditService::ProveRecord(Call* call, const v1::GetRecordProofRequest* request,
                               v1::GetRecordProofResponse* response) {
  struct Seen {
    index::RecordProof proof;
    Position position;
  };
  const auto seen = std::make_shared<Seen>();
  const auto look = [seen, request](const index::StateMachine& state) {
    seen->proof = state.ProveRecord(request->collection(), request->id());
    seen->position = {state.next_index() - 1, state.state_index(), state.state_root()};
  };
  const auto finish = [this, seen, request, response]() -> absl::Status {
    if (seen->position.log_index > parts_.engine->published_index()) {
      // What was applied will never be durable: the write of it has failed.
      return MakeError(absl::StatusCode::kUnavailable, "WRITES_UNAVAILABLE",
                       "a write failed, and the newest state was never published: nothing about it "
                       "can be proved before a restart; reads and proofs of older entries go on");
    }
    if (request->commitment_only()) seen->proof.content.reset();
    const absl::StatusOr<InclusionProof> entry =
        checkpointer_->ProveEntry(seen->position.log_index);
    if (!entry.ok()) return Explain(entry.status());
    const auto commit = index::DecodeCommitRecord(entry->commit_record);
    std::string error = "the log has another root for this state";
    const std::optional<index::Hash> root = index::RecordProofStateRoot(seen->proof, &error);
    if (!commit.has_value() || !root.has_value() || commit->state_root != *root) {
      return Explain(absl::DataLossError("the proof does not hold: " + error));
    }
    seen->proof.inclusion = index::EncodeInclusionText(
        {entry->commit_record, entry->index, entry->hashes, entry->checkpoint.note});
    FillPosition(seen->position, response->mutable_position());
    FillCheckpoint(entry->checkpoint, response->mutable_checkpoint());
    response->set_exists(seen->proof.commitment.has_value());
    response->set_text(index::EncodeRecordProof(seen->proof));
    return absl::OkStatus();
  };
  parts_.engine->Inspect(look, [this, call, finish](const absl::Status& status) {
    if (!status.ok()) {
      return call->Done(
          MakeError(absl::StatusCode::kUnavailable, "STOPPING", std::string(status.message())));
    }
    RunOnExecutor(parts_.executor, call, finish);
  });
}

grpc::ServerUnaryReactor* AuditService::GetErasureCertificate(
    grpc::CallbackServerContext* context, const v1::GetErasureCertificateRequest* request,
    v1::GetErasureCertificateResponse* response) {
  const auto work = [this](const v1::GetErasureCertificateRequest& asked,
                           v1::GetErasureCertificateResponse* reply) -> absl::Status {
    const absl::StatusOr<SignedCertificate> made =
        MakeErasureCertificate(*parts_.engine, checkpointer_, asked.index());
    if (!made.ok()) return made.status();
    reply->set_completed_index(made->certificate.completed);
    reply->set_text(made->note);
    return absl::OkStatus();
  };
  return RunProof(parts_, context, "GetErasureCertificate", request, response, work);
}

grpc::ServerUnaryReactor* AuditService::AddCosignatures(grpc::CallbackServerContext* context,
                                                        const v1::AddCosignaturesRequest* request,
                                                        v1::AddCosignaturesResponse* response) {
  auto* call = new Call(context, parts_.gate, "AddCosignatures");
  if (!call->admitted()) return call;
  RunOnExecutor(parts_.executor, call, [this, request, response]() -> absl::Status {
    const absl::StatusOr<Cosigned> added = checkpointer_->AddCosignatures(request->note());
    if (!added.ok()) return Explain(added.status());
    const absl::StatusOr<ReadView> view = OpenView(*parts_.engine);
    if (!view.ok()) return view.status();
    FillPosition(view->position(), response->mutable_position());
    FillCheckpoint(added->checkpoint, response->mutable_checkpoint());
    response->set_added_count(added->added);
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerWriteReactor<v1::ReadLogResponse>* AuditService::ReadLog(
    grpc::CallbackServerContext* context, const v1::ReadLogRequest* request) {
  return NewLogReader(context, parts_, request);
}

void FillCheckpointKey(const index::VerifierKey& key, v1::CheckpointKey* wire) {
  wire->set_verifier_key(index::EncodeVerifierKey(key));
  wire->set_name(key.name);
  wire->set_key_id(std::string(key.key_id.begin(), key.key_id.end()));
  wire->set_public_key(std::string(key.public_key.begin(), key.public_key.end()));
}

}  // namespace stele::server
