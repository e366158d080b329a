#include "server/collection_service.h"

#include <string>
#include <utility>

#include "index/codec.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/views.h"
#include "server/write_door.h"

namespace stele::server {
namespace {

void FillCollection(const index::Collection& collection, index::LogIndex n, v1::Collection* wire) {
  v1::CollectionConfig* config = wire->mutable_config();
  config->set_name(collection.name());
  config->set_dimension(collection.config().dimension);
  config->set_metric(MetricToWire(collection.config().metric));
  v1::CollectionOptions* options = config->mutable_options();
  options->set_description(collection.config().description);
  options->set_receipts(static_cast<v1::ReceiptPolicy>(collection.config().receipts));
  options->set_erasable(collection.config().erasable);
  const index::CollectionStats& stats = collection.StatsAt(n);
  wire->set_created_index(collection.born());
  wire->set_record_count(stats.record_count);
  wire->set_state_index(stats.state_index);
  wire->set_records_root(std::string(index::AsBytes(stats.records_root)));
}

// A collection as it is after the entry that created it; that state itself may be held no longer.
void FillFresh(const v1::CollectionConfig& config, index::LogIndex index, v1::Collection* wire) {
  *wire->mutable_config() = config;
  wire->mutable_config()->mutable_options();
  wire->set_created_index(index);
  wire->set_state_index(index);
  wire->set_records_root(std::string(index::AsBytes(index::kZeroHash)));
}

absl::Status RunGet(const Engine& engine, const v1::GetCollectionRequest& request,
                    v1::GetCollectionResponse* response) {
  const absl::StatusOr<CollectionView> opened = OpenCollection(engine, {}, request.name());
  if (!opened.ok()) return opened.status();
  const auto& [view, collection] = *opened;
  FillPosition(view.position(), response->mutable_position());
  FillCollection(*collection, view.n(), response->mutable_collection());
  return absl::OkStatus();
}

absl::Status RunList(const Engine& engine, const v1::ListCollectionsRequest& request,
                     int32_t page_size, v1::ListCollectionsResponse* response) {
  const std::string arguments = index::Encoder().Sized("ListCollections").Take();
  const absl::StatusOr<Page> page = OpenPage(engine, request.page_token(), arguments);
  if (!page.ok()) return page.status();
  const ReadView& view = page->view;
  FillPosition(view.position(), response->mutable_position());
  // The name behind `last`, in the order of unsigned bytes.
  std::string from = page->last.value_or("");
  if (page->last.has_value()) from.push_back('\0');
  for (const index::Collection* collection = view.SeekCollection(from); collection != nullptr;
       collection = view.SeekCollection(from)) {
    if (response->collections_size() == page_size) {
      response->set_next_page_token(NextPageToken(
          engine, view, arguments, response->collections().rbegin()->config().name()));
      break;
    }
    FillCollection(*collection, view.n(), response->add_collections());
    from = collection->name();
    from.push_back('\0');
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* CollectionService::CreateCollection(
    grpc::CallbackServerContext* context, const v1::CreateCollectionRequest* request,
    v1::CreateCollectionResponse* response) {
  auto* call = new Call(context, parts_.gate, "CreateCollection");
  if (!call->admitted()) return call;
  SubmitCall(parts_.engine, call, DraftCreate(*request, call->actor()), response,
             [request, response](const WriteResult& result) {
               FillFresh(request->config(), result.commit.index, response->mutable_collection());
             });
  return call;
}

grpc::ServerUnaryReactor* CollectionService::DropCollection(
    grpc::CallbackServerContext* context, const v1::DropCollectionRequest* request,
    v1::DropCollectionResponse* response) {
  auto* call = new Call(context, parts_.gate, "DropCollection");
  if (!call->admitted()) return call;
  const NewestCollections collections(*parts_.engine);
  SubmitCall(parts_.engine, call, DraftDrop(*request, call->actor(), collections.Lookup()),
             response, [response](const WriteResult& result) {
               response->set_dropped_count(result.commit.deleted_count);
             });
  return call;
}

grpc::ServerUnaryReactor* CollectionService::GetCollection(grpc::CallbackServerContext* context,
                                                           const v1::GetCollectionRequest* request,
                                                           v1::GetCollectionResponse* response) {
  auto* call = new Call(context, parts_.gate, "GetCollection");
  if (!call->admitted()) return call;
  if (absl::Status status = CheckCollectionName(request->name(), "name"); !status.ok()) {
    call->Done(status);
    return call;
  }
  WhenReached(parts_.engine, request->min_index(), call,
              [engine = parts_.engine, call, request, response](const absl::Status& status) {
                call->Done(status.ok() ? RunGet(*engine, *request, response) : status);
              });
  return call;
}

grpc::ServerUnaryReactor* CollectionService::ListCollections(
    grpc::CallbackServerContext* context, const v1::ListCollectionsRequest* request,
    v1::ListCollectionsResponse* response) {
  auto* call = new Call(context, parts_.gate, "ListCollections");
  if (!call->admitted()) return call;
  const absl::StatusOr<int32_t> page_size = PageSizeOf(request->page_size());
  if (!page_size.ok()) {
    call->Done(page_size.status());
    return call;
  }
  WhenReached(
      parts_.engine, request->min_index(), call,
      [parts = parts_, call, request, response, size = *page_size](const absl::Status& status) {
        if (!status.ok()) return call->Done(status);
        RunOnExecutor(parts.executor, call, [parts, request, response, size] {
          return RunList(*parts.engine, *request, size, response);
        });
      });
  return call;
}

}  // namespace stele::server
