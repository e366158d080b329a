// Comparing states.
#include "client/client.h"
#include "client/client_internal.h"

namespace stele::client {

absl::StatusOr<v1::DiffStatesResponse> Client::DiffStates(uint64_t from, uint64_t to,
                                                          absl::string_view collection,
                                                          const ReadOptions& options) {
  v1::DiffStatesRequest request;
  request.set_from_index(from);
  request.set_to_index(to);
  request.set_collection(std::string(collection));
  FillRead(*connection_, options, &request);
  v1::DiffStatesResponse whole;
  do {
    auto page = connection_->Call(connection_->audit(), &v1::AuditService::Stub::DiffStates,
                                  request, connection_->Deadline(options.timeout));
    if (!page.ok()) return page.status();
    request.set_page_token(page->next_page_token());
    if (whole.collections().empty()) {
      whole = *std::move(page);
    } else {
      whole.mutable_records()->MergeFrom(page->records());
    }
  } while (!request.page_token().empty());
  whole.clear_next_page_token();
  return whole;
}

absl::StatusOr<v1::DiffSearchResponse> Client::DiffSearch(absl::string_view collection,
                                                          const Query& query, uint64_t from,
                                                          uint64_t to, const ReadOptions& options) {
  v1::DiffSearchRequest request;
  request.set_collection(std::string(collection));
  *request.mutable_query() = ToProto(query);
  request.set_from_index(from);
  request.set_to_index(to);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::DiffSearch, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::CounterfactualSearchResponse> Client::SearchWithout(absl::string_view collection,
                                                                       const Query& query,
                                                                       const Without& without,
                                                                       const ReadOptions& options) {
  v1::CounterfactualSearchRequest request;
  request.set_collection(std::string(collection));
  *request.mutable_query() = ToProto(query);
  const int given = (without.ids.empty() ? 0 : 1) + (without.actor.has_value() ? 1 : 0) +
                    (without.entries.has_value() ? 1 : 0);
  if (given != 1) {
    return absl::InvalidArgumentError("leave out either records, an actor or entries");
  }
  for (const std::string& id : without.ids) request.mutable_records()->add_ids(id);
  if (without.actor.has_value()) request.set_actor(*without.actor);
  if (without.entries.has_value()) *request.mutable_entries() = *without.entries;
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::CounterfactualSearch,
                           request, connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::GetTreeNodesResponse> Client::TreeNodes(const v1::GetTreeNodesRequest& request,
                                                           const ReadOptions& options) {
  v1::GetTreeNodesRequest asked = request;
  FillRead(*connection_, options, &asked);
  return connection_->Call(connection_->audit(), &v1::AuditService::Stub::GetTreeNodes, asked,
                           connection_->Deadline(options.timeout));
}

}  // namespace stele::client
