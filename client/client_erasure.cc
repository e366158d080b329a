// Erasures.
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

}  // namespace stele::client
