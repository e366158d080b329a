// What happened to records.
#include "client/client.h"
#include "client/client_internal.h"

namespace stele::client {

absl::Status Client::History(
    absl::string_view collection, absl::string_view id, const HistoryOptions& options,
    const std::function<absl::Status(const v1::RecordChange&)>& on_change) {
  v1::GetHistoryRequest request;
  request.set_collection(std::string(collection));
  request.set_id(std::string(id));
  *request.mutable_selector() = ToProto(options.select);
  request.set_page_size(options.page_size);
  if (options.to_index.has_value()) request.set_to_index(*options.to_index);
  ReadOptions read;
  read.min_index = options.min_index;
  FillRead(*connection_, read, &request);
  do {
    const auto page = connection_->Call(connection_->memory(), &v1::MemoryService::Stub::GetHistory,
                                        request, connection_->Deadline(options.timeout));
    if (!page.ok()) return page.status();
    for (const v1::RecordChange& change : page->changes()) {
      if (absl::Status status = on_change(change); !status.ok()) return status;
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<v1::RevertRecordResponse> Client::Revert(absl::string_view collection,
                                                        absl::string_view id, uint64_t to_index,
                                                        const WriteOptions& options) {
  v1::RevertRecordRequest request;
  request.set_collection(std::string(collection));
  request.set_id(std::string(id));
  request.set_to_index(to_index);
  return CallWrite(connection_.get(), connection_->memory(), &v1::MemoryService::Stub::RevertRecord,
                   &request, options);
}

}  // namespace stele::client
