// stele.v1.CollectionService: creating, finding and dropping collections. docs/protocol.md
// specifies it.
//
// Thread safety: as gRPC asks for it. The parts must outlive the service, and the service the gRPC
// server.
#pragma once

#include "server/call.h"
#include "server/engine.h"
#include "server/executor.h"
#include "server/gate.h"
#include "stele/v1/collection_service.grpc.pb.h"

namespace stele::server {

class CollectionService final : public v1::CollectionService::CallbackService {
 public:
  CollectionService(Engine* engine, const Gate* gate, Executor* executor)
      : parts_{engine, gate, executor} {}

  grpc::ServerUnaryReactor* CreateCollection(grpc::CallbackServerContext* context,
                                             const v1::CreateCollectionRequest* request,
                                             v1::CreateCollectionResponse* response) override;
  grpc::ServerUnaryReactor* GetCollection(grpc::CallbackServerContext* context,
                                          const v1::GetCollectionRequest* request,
                                          v1::GetCollectionResponse* response) override;
  grpc::ServerUnaryReactor* ListCollections(grpc::CallbackServerContext* context,
                                            const v1::ListCollectionsRequest* request,
                                            v1::ListCollectionsResponse* response) override;
  grpc::ServerUnaryReactor* DropCollection(grpc::CallbackServerContext* context,
                                           const v1::DropCollectionRequest* request,
                                           v1::DropCollectionResponse* response) override;

 private:
  const Parts parts_;
};

}  // namespace stele::server
