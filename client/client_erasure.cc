// Erasures, legal holds, retention.
#include "client/client.h"
#include "client/client_internal.h"

namespace stele::client {

absl::StatusOr<v1::WriteResponse> Client::Erase(absl::string_view collection,
                                                const std::vector<std::string>& ids,
                                                const WriteOptions& options) {
  std::vector<v1::Operation> operations;
  operations.reserve(ids.size());
  for (const std::string& id : ids) {
    v1::Operation& operation = operations.emplace_back();
    operation.set_collection(std::string(collection));
    operation.mutable_erase()->set_id(id);
  }
  return Write(std::move(operations), options);
}

absl::StatusOr<v1::WriteResponse> Client::EraseByFilter(absl::string_view collection,
                                                        const Filter& filter, uint32_t limit,
                                                        const WriteOptions& options) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  v1::EraseByFilter* erasure = operation.mutable_erase_by_filter();
  *erasure->mutable_filter() = filter.proto();
  erasure->set_limit(limit);
  std::vector<v1::Operation> operations;
  operations.push_back(std::move(operation));
  return Write(std::move(operations), options);
}

absl::StatusOr<v1::GetErasureCertificateResponse> Client::ErasureCertificate(
    uint64_t index, const ReadOptions& options) {
  v1::GetErasureCertificateRequest request;
  request.set_index(index);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetErasureCertificate,
                           request, connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::SetHoldResponse> Client::SetHold(absl::string_view collection,
                                                    absl::string_view name,
                                                    absl::string_view reason,
                                                    const std::vector<std::string>& ids,
                                                    const WriteOptions& options) {
  v1::SetHoldRequest request;
  v1::Hold* hold = request.mutable_hold();
  hold->set_collection(std::string(collection));
  hold->set_name(std::string(name));
  hold->set_reason(std::string(reason));
  for (const std::string& id : ids) hold->add_ids(id);
  return CallWrite(connection_.get(), connection_->audit(), &v1::AuditService::Stub::SetHold,
                   &request, options);
}

absl::StatusOr<v1::ReleaseHoldResponse> Client::ReleaseHold(absl::string_view collection,
                                                            absl::string_view name,
                                                            const WriteOptions& options) {
  v1::ReleaseHoldRequest request;
  request.set_collection(std::string(collection));
  request.set_name(std::string(name));
  return CallWrite(connection_.get(), connection_->audit(), &v1::AuditService::Stub::ReleaseHold,
                   &request, options);
}

absl::StatusOr<v1::ListHoldsResponse> Client::ListHolds(absl::string_view collection,
                                                        const ReadOptions& options) {
  v1::ListHoldsRequest request;
  request.set_collection(std::string(collection));
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::ListHolds, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::SetRetentionResponse> Client::SetRetention(uint64_t history_entries,
                                                              const WriteOptions& options) {
  v1::SetRetentionRequest request;
  request.set_history_entries(history_entries);
  return CallWrite(connection_.get(), connection_->admin(), &v1::AdminService::Stub::SetRetention,
                   &request, options);
}

}  // namespace stele::client
