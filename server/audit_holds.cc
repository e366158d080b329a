// AuditService: legal holds.
#include "index/holds.h"
#include "server/audit_service.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/views.h"
#include "server/write_door.h"

namespace stele::server {
namespace {

void AddHolds(const index::Collection& collection, index::LogIndex n,
              v1::ListHoldsResponse* response) {
  const index::HoldsPointer& holds = collection.StatsAt(n).holds;
  if (holds == nullptr) return;
  for (const auto& [name, hold] : *holds) {
    v1::Hold* wire = response->add_holds();
    wire->set_collection(collection.name());
    wire->set_name(name);
    wire->set_reason(hold.reason);
    wire->set_set_index(hold.index);
    for (const std::string& id : hold.ids) wire->add_ids(id);
  }
}

absl::Status RunListHolds(const Engine& engine, const v1::ListHoldsRequest& request,
                          v1::ListHoldsResponse* response) {
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return view.status();
  FillPosition(view->position(), response->mutable_position());
  if (!request.collection().empty()) {
    const auto collection = FindCollection(*view, request.collection());
    if (!collection.ok()) return collection.status();
    AddHolds(**collection, view->n(), response);
    return absl::OkStatus();
  }
  for (const index::Collection* collection = view->SeekCollection({}); collection != nullptr;
       collection = view->SeekCollection(collection->name() + '\0')) {
    AddHolds(*collection, view->n(), response);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* AuditService::SetHold(grpc::CallbackServerContext* context,
                                                const v1::SetHoldRequest* request,
                                                v1::SetHoldResponse* response) {
  auto* call = new Call(context, parts_.gate, "SetHold");
  if (!call->admitted()) return call;
  SubmitCall(parts_.engine, call, DraftSetHold(*request, call->actor()), response);
  return call;
}

grpc::ServerUnaryReactor* AuditService::ReleaseHold(grpc::CallbackServerContext* context,
                                                    const v1::ReleaseHoldRequest* request,
                                                    v1::ReleaseHoldResponse* response) {
  auto* call = new Call(context, parts_.gate, "ReleaseHold");
  if (!call->admitted()) return call;
  SubmitCall(parts_.engine, call, DraftReleaseHold(*request, call->actor()), response);
  return call;
}

grpc::ServerUnaryReactor* AuditService::ListHolds(grpc::CallbackServerContext* context,
                                                  const v1::ListHoldsRequest* request,
                                                  v1::ListHoldsResponse* response) {
  auto* call = new Call(context, parts_.gate, "ListHolds");
  if (!call->admitted()) return call;
  WhenReached(parts_.engine, request->min_index(), call,
              [parts = parts_, call, request, response](const absl::Status& status) {
                if (!status.ok()) return call->Done(status);
                RunOnExecutor(parts.executor, call, [parts, request, response] {
                  return RunListHolds(*parts.engine, *request, response);
                });
              });
  return call;
}

}  // namespace stele::server
