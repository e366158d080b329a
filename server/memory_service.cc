#include "server/memory_service.h"

#include <memory>
#include <utility>

#include "server/errors.h"
#include "server/memory_history.h"
#include "server/memory_reads.h"
#include "server/memory_search.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/revert.h"
#include "server/run_read.h"
#include "server/views.h"
#include "server/write_door.h"
#include "server/write_stream.h"

namespace stele::server {
namespace {

// A write up to this size is prepared on gRPC's thread: moving it costs more.
constexpr size_t kShortWriteBytes = 64 * 1024;

void DraftAndSubmit(const Parts& parts, Call* call, const v1::WriteRequest* request,
                    v1::WriteResponse* response) {
  const NewestCollections collections(*parts.engine);
  WriteDraft draft = DraftWrite(*request, call->actor(), collections.Lookup());
  SubmitDraft(parts.engine, std::move(draft),
              [call, response](const absl::StatusOr<WriteResult>& result) {
                if (!result.ok()) return call->Done(result.status());
                const absl::Status status = StatusOf(*result);
                if (status.ok()) FillWriteResponse(*result, response);
                call->Done(status);
              });
}

// A search that joins others, or moves to the executor alone.
void RunSearch(const Parts& parts, JoinedSearches* joined, Call* call,
               const std::shared_ptr<const SearchPlan>& plan, v1::SearchResponse* response) {
  const auto stopped = [call] { return call->Stopped(); };
  if (plan->joinable() && joined->Worthwhile(plan->collection())) {
    // The plan lives in `done`.
    JoinableSearch search =
        plan->ToJoin(*parts.engine, stopped, response,
                     [call, plan](const absl::Status& status) { EndCall(call, status); });
    if (!joined->Submit(std::move(search))) call->Done(Overloaded());
    return;
  }
  RunOnExecutor(parts.executor, call, [engine = parts.engine, plan, stopped, response] {
    return plan->Run(*engine, stopped, response);
  });
}

void FillOutcome(const WriteResult& result, v1::GetOutcomeResponse* response) {
  WriteResult first = result;
  first.duplicate = false;
  const absl::Status status = StatusOf(first);
  if (status.ok()) {
    response->set_state(v1::GetOutcomeResponse::STATE_EXECUTED);
    FillWriteResponse(first, response->mutable_ok());
  } else {
    response->set_state(v1::GetOutcomeResponse::STATE_REJECTED);
    *response->mutable_error() = ToProto(status);
  }
}

}  // namespace

grpc::ServerUnaryReactor* MemoryService::Write(grpc::CallbackServerContext* context,
                                               const v1::WriteRequest* request,
                                               v1::WriteResponse* response) {
  auto* call = new Call(context, parts_.gate, "Write");
  if (!call->admitted()) return call;
  if (request->ByteSizeLong() <= kShortWriteBytes) {
    DraftAndSubmit(parts_, call, request, response);
    return call;
  }
  RunDetached(parts_.executor, call, [parts = parts_, call, request, response] {
    DraftAndSubmit(parts, call, request, response);
  });
  return call;
}

grpc::ServerBidiReactor<v1::WriteStreamRequest, v1::WriteStreamResponse>*
MemoryService::WriteStream(grpc::CallbackServerContext* context) {
  return NewWriteStream(context, parts_);
}

grpc::ServerUnaryReactor* MemoryService::GetRecords(grpc::CallbackServerContext* context,
                                                    const v1::GetRecordsRequest* request,
                                                    v1::GetRecordsResponse* response) {
  return RunRead<GetPlan>(parts_, context, "GetRecords", request, response);
}

grpc::ServerUnaryReactor* MemoryService::ListRecords(grpc::CallbackServerContext* context,
                                                     const v1::ListRecordsRequest* request,
                                                     v1::ListRecordsResponse* response) {
  return RunRead<ListPlan>(parts_, context, "ListRecords", request, response);
}

grpc::ServerUnaryReactor* MemoryService::CountRecords(grpc::CallbackServerContext* context,
                                                      const v1::CountRecordsRequest* request,
                                                      v1::CountRecordsResponse* response) {
  return RunRead<CountPlan>(parts_, context, "CountRecords", request, response);
}

grpc::ServerUnaryReactor* MemoryService::Search(grpc::CallbackServerContext* context,
                                                const v1::SearchRequest* request,
                                                v1::SearchResponse* response) {
  auto* call = new Call(context, parts_.gate, "Search");
  if (!call->admitted()) return call;
  absl::StatusOr<SearchPlan> made = SearchPlan::Make(*request, &receipts_);
  if (!made.ok()) {
    call->Done(made.status());
    return call;
  }
  auto plan = std::make_shared<const SearchPlan>(*std::move(made));
  WhenReached(parts_.engine, request->min_index(), call,
              [this, call, plan, response](const absl::Status& status) {
                if (!status.ok()) return call->Done(status);
                RunSearch(parts_, &joined_, call, plan, response);
              });
  return call;
}

grpc::ServerUnaryReactor* MemoryService::BatchSearch(grpc::CallbackServerContext* context,
                                                     const v1::BatchSearchRequest* request,
                                                     v1::BatchSearchResponse* response) {
  return RunRead<SearchPlan>(parts_, context, "BatchSearch", request, response, &receipts_);
}

grpc::ServerUnaryReactor* MemoryService::GetHistory(grpc::CallbackServerContext* context,
                                                    const v1::GetHistoryRequest* request,
                                                    v1::GetHistoryResponse* response) {
  return RunRead<HistoryPlan>(parts_, context, "GetHistory", request, response);
}

grpc::ServerUnaryReactor* MemoryService::RevertRecord(grpc::CallbackServerContext* context,
                                                      const v1::RevertRecordRequest* request,
                                                      v1::RevertRecordResponse* response) {
  auto* call = new Call(context, parts_.gate, "RevertRecord");
  if (call->admitted()) Revert(parts_, call, request, response);
  return call;
}

grpc::ServerUnaryReactor* MemoryService::GetOutcome(grpc::CallbackServerContext* context,
                                                    const v1::GetOutcomeRequest* request,
                                                    v1::GetOutcomeResponse* response) {
  auto* call = new Call(context, parts_.gate, "GetOutcome");
  if (!call->admitted()) return call;
  if (absl::Status status = CheckRequestId(request->request_id(), "request_id"); !status.ok()) {
    call->Done(status);
    return call;
  }
  // Before the question is asked: "not seen" holds up to here at least.
  const absl::StatusOr<ReadView> view = OpenView(*parts_.engine);
  if (!view.ok()) {
    call->Done(view.status());
    return call;
  }
  FillPosition(view->position(), response->mutable_position());
  parts_.engine->FindOutcome(
      call->actor(), request->request_id(),
      [engine = parts_.engine, call, response](const absl::StatusOr<WriteResult>& result) {
        if (!result.ok() && !absl::IsNotFound(result.status())) {
          return call->Done(ExplainWriteFailure(result.status()));
        }
        response->set_oldest_index(engine->oldest_request_index());
        response->set_state(v1::GetOutcomeResponse::STATE_NOT_SEEN);
        if (result.ok()) FillOutcome(*result, response);
        call->Done(absl::OkStatus());
      });
  return call;
}

}  // namespace stele::server
