// stele.v1.MemoryService: records. Each call is checked, moved off gRPC's threads where it may take
// long, and answered from one view of the state; writes go to the engine. docs/protocol.md is the
// specification.
//
// Thread safety: as gRPC asks for it. The parts must outlive the service, and the service the gRPC
// server.
#pragma once

#include "server/call.h"
#include "server/engine.h"
#include "server/executor.h"
#include "server/gate.h"
#include "server/joined_search.h"
#include "server/receipts.h"
#include "stele/v1/memory_service.grpc.pb.h"

namespace stele::server {

class MemoryService final : public v1::MemoryService::CallbackService {
 public:
  MemoryService(Engine* engine, const Gate* gate, Executor* executor,
                const Checkpointer* checkpointer, ReceiptLog* receipt_log, JoinOptions joining = {})
      : parts_{engine, gate, executor},
        receipts_(checkpointer, receipt_log),
        joined_(engine, executor, joining) {}

  grpc::ServerUnaryReactor* Write(grpc::CallbackServerContext* context,
                                  const v1::WriteRequest* request,
                                  v1::WriteResponse* response) override;
  grpc::ServerBidiReactor<v1::WriteStreamRequest, v1::WriteStreamResponse>* WriteStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetRecords(grpc::CallbackServerContext* context,
                                       const v1::GetRecordsRequest* request,
                                       v1::GetRecordsResponse* response) override;
  grpc::ServerUnaryReactor* ListRecords(grpc::CallbackServerContext* context,
                                        const v1::ListRecordsRequest* request,
                                        v1::ListRecordsResponse* response) override;
  grpc::ServerUnaryReactor* CountRecords(grpc::CallbackServerContext* context,
                                         const v1::CountRecordsRequest* request,
                                         v1::CountRecordsResponse* response) override;
  grpc::ServerUnaryReactor* Search(grpc::CallbackServerContext* context,
                                   const v1::SearchRequest* request,
                                   v1::SearchResponse* response) override;
  grpc::ServerUnaryReactor* BatchSearch(grpc::CallbackServerContext* context,
                                        const v1::BatchSearchRequest* request,
                                        v1::BatchSearchResponse* response) override;
  grpc::ServerUnaryReactor* GetOutcome(grpc::CallbackServerContext* context,
                                       const v1::GetOutcomeRequest* request,
                                       v1::GetOutcomeResponse* response) override;
  grpc::ServerUnaryReactor* GetHistory(grpc::CallbackServerContext* context,
                                       const v1::GetHistoryRequest* request,
                                       v1::GetHistoryResponse* response) override;
  grpc::ServerUnaryReactor* RevertRecord(grpc::CallbackServerContext* context,
                                         const v1::RevertRecordRequest* request,
                                         v1::RevertRecordResponse* response) override;

 private:
  const Parts parts_;
  const Receipts receipts_;
  JoinedSearches joined_;
};

}  // namespace stele::server
