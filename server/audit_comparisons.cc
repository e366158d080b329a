// The calls of AuditService that compare states.
#include "server/audit_service.h"
#include "server/run_read.h"
#include "server/search_diff.h"
#include "server/tree_nodes.h"

namespace stele::server {

grpc::ServerUnaryReactor* AuditService::DiffStates(grpc::CallbackServerContext* context,
                                                   const v1::DiffStatesRequest* request,
                                                   v1::DiffStatesResponse* response) {
  return RunRead<DiffStatesPlan>(parts_, context, "DiffStates", request, response);
}

grpc::ServerUnaryReactor* AuditService::DiffSearch(grpc::CallbackServerContext* context,
                                                   const v1::DiffSearchRequest* request,
                                                   v1::DiffSearchResponse* response) {
  return RunRead<DiffSearchPlan>(parts_, context, "DiffSearch", request, response);
}

grpc::ServerUnaryReactor* AuditService::CounterfactualSearch(
    grpc::CallbackServerContext* context, const v1::CounterfactualSearchRequest* request,
    v1::CounterfactualSearchResponse* response) {
  return RunRead<CounterfactualPlan>(parts_, context, "CounterfactualSearch", request, response);
}

grpc::ServerUnaryReactor* AuditService::GetTreeNodes(grpc::CallbackServerContext* context,
                                                     const v1::GetTreeNodesRequest* request,
                                                     v1::GetTreeNodesResponse* response) {
  auto* call = new Call(context, parts_.gate, "GetTreeNodes");
  if (call->admitted()) ReadTreeNodes(parts_, call, request, response);
  return call;
}

}  // namespace stele::server
