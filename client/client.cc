#include "client/client.h"

#include "client/client_internal.h"

namespace stele::client {

absl::StatusOr<Client> Client::Connect(const Options& options) {
  auto connection = Connection::Open(options);
  if (!connection.ok()) return connection.status();
  return Client(*std::move(connection));
}

uint64_t Client::known_index() const { return connection_->known_index(); }

absl::StatusOr<v1::CreateCollectionResponse> Client::CreateCollection(
    absl::string_view name, uint32_t dimension, v1::Metric metric,
    const v1::CollectionOptions& collection_options, const WriteOptions& options) {
  v1::CreateCollectionRequest request;
  v1::CollectionConfig* config = request.mutable_config();
  config->set_name(std::string(name));
  config->set_dimension(dimension);
  config->set_metric(metric);
  *config->mutable_options() = collection_options;
  return CallWrite(connection_.get(), connection_->collections(),
                   &v1::CollectionService::Stub::CreateCollection, &request, options);
}

absl::StatusOr<v1::GetCollectionResponse> Client::GetCollection(absl::string_view name,
                                                                const ReadOptions& options) {
  v1::GetCollectionRequest request;
  request.set_name(std::string(name));
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->collections(), &v1::CollectionService::Stub::GetCollection,
                           request, connection_->Deadline(options.timeout));
}

absl::StatusOr<std::vector<v1::Collection>> Client::ListCollections(const ReadOptions& options) {
  v1::ListCollectionsRequest request;
  FillRead(*connection_, options, &request);
  std::vector<v1::Collection> collections;
  for (;;) {
    auto page =
        connection_->Call(connection_->collections(), &v1::CollectionService::Stub::ListCollections,
                          request, connection_->Deadline(options.timeout));
    if (!page.ok()) return page.status();
    for (v1::Collection& collection : *page->mutable_collections()) {
      collections.push_back(std::move(collection));
    }
    if (page->next_page_token().empty()) return collections;
    request.set_page_token(page->next_page_token());
  }
}

absl::StatusOr<v1::DropCollectionResponse> Client::DropCollection(absl::string_view name,
                                                                  const WriteOptions& options) {
  v1::DropCollectionRequest request;
  request.set_name(std::string(name));
  return CallWrite(connection_.get(), connection_->collections(),
                   &v1::CollectionService::Stub::DropCollection, &request, options);
}

absl::StatusOr<v1::CreateSnapshotResponse> Client::CreateSnapshot(
    std::optional<absl::Duration> timeout) {
  return connection_->Call(connection_->admin(), &v1::AdminService::Stub::CreateSnapshot,
                           v1::CreateSnapshotRequest(), connection_->Deadline(timeout));
}

absl::StatusOr<v1::ListSnapshotsResponse> Client::ListSnapshots(
    std::optional<absl::Duration> timeout) {
  return connection_->Call(connection_->admin(), &v1::AdminService::Stub::ListSnapshots,
                           v1::ListSnapshotsRequest(), connection_->Deadline(timeout));
}

absl::StatusOr<v1::GetServerInfoResponse> Client::ServerInfo(
    std::optional<absl::Duration> timeout) {
  return connection_->Call(connection_->admin(), &v1::AdminService::Stub::GetServerInfo,
                           v1::GetServerInfoRequest(), connection_->Deadline(timeout));
}

absl::StatusOr<v1::GetOutcomeResponse> Client::GetOutcome(absl::string_view request_id,
                                                          const ReadOptions& options) {
  v1::GetOutcomeRequest request;
  request.set_request_id(std::string(request_id));
  return connection_->Call(connection_->memory(), &v1::MemoryService::Stub::GetOutcome, request,
                           connection_->Deadline(options.timeout));
}

}  // namespace stele::client
