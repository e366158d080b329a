// AuditService.GetTreeNodes and DiffStates: comparing states.
//
// Thread safety: as gRPC asks for it.
#pragma once

#include "server/call.h"
#include "server/memory_reads.h"
#include "stele/v1/diff.pb.h"

namespace stele::server {

// Nodes of the newest state's trees. Ends the call, now or later. Errors: INVALID_ARGUMENT
// COLLECTION_NAME, TREE_PREFIX, TREE_LEVELS; UNAVAILABLE STOPPING.
void ReadTreeNodes(const Parts& parts, Call* call, const v1::GetTreeNodesRequest* request,
                   v1::GetTreeNodesResponse* response);

// As memory_reads.h: a check without state, then the work. Points into its request.
class DiffStatesPlan {
 public:
  static absl::StatusOr<DiffStatesPlan> Make(const v1::DiffStatesRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::DiffStatesResponse* response) const;

 private:
  const v1::DiffStatesRequest* request_ = nullptr;
  int32_t page_size_ = 0;
  std::string arguments_;  // canonical bytes of what a page token binds
};

}  // namespace stele::server
