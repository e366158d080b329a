#include "tests/client/fake_server.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace stele::client::testing {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

// Raw Q16.16 of any form, without rules: enough for values that tests use.
std::string ToQ16(const v1::Vector& vector) {
  if (vector.has_q16()) return vector.q16();
  std::string bytes;
  const auto append = [&bytes](double value) {
    const auto raw = static_cast<uint32_t>(static_cast<int32_t>(value * 65536.0));
    for (int b = 0; b < 4; ++b) bytes.push_back(static_cast<char>((raw >> (8 * b)) & 0xff));
  };
  if (vector.has_float32()) {
    std::vector<float> values(vector.float32().size() / 4);
    std::copy_n(vector.float32().data(), values.size() * 4, reinterpret_cast<char*>(values.data()));
    for (const float value : values) append(static_cast<double>(value));
  } else {
    std::vector<double> values(vector.float64().size() / 8);
    std::copy_n(vector.float64().data(), values.size() * 8, reinterpret_cast<char*>(values.data()));
    for (const double value : values) append(value);
  }
  return bytes;
}

}  // namespace

Status DetailedError(StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata, const std::string& field) {
  v1::Status proto;
  proto.set_code(static_cast<int>(code));
  proto.set_message(message);
  v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("stele.v1");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  google::protobuf::Any* any = proto.add_details();
  any->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  any->set_value(info.SerializeAsString());
  if (!field.empty()) {
    v1::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description(message);
    any = proto.add_details();
    any->set_type_url("type.googleapis.com/google.rpc.BadRequest");
    any->set_value(bad_request.SerializeAsString());
  }
  return Status(code, message, proto.SerializeAsString());
}

v1::Status ToProto(const Status& status) {
  v1::Status proto;
  (void)proto.ParseFromString(status.error_details());
  proto.set_code(static_cast<int>(status.error_code()));
  proto.set_message(status.error_message());
  return proto;
}

struct FakeServer::State {
  FakeServer* owner = nullptr;
  std::mutex mutex;
  Seen seen;
  std::map<std::string, v1::Collection> collections;
  std::map<std::string, std::map<std::string, v1::Record>> records;
  std::map<std::string, v1::WriteStreamResponse> outcomes;
  uint64_t log_index = 1;
  std::string log_id = "log-id-000000001";

  v1::Position Position() const {
    v1::Position position;
    position.set_log_index(log_index);
    position.set_state_index(log_index);
    position.set_state_root(std::string(31, 'r') + static_cast<char>(log_index & 0x7f));
    return position;
  }

  // Notes the call; returns the failure that is due.
  Status Enter(ServerContext* context) {
    const std::lock_guard lock(mutex);
    const auto found = context->client_metadata().find("authorization");
    if (found != context->client_metadata().end()) {
      seen.authorizations.emplace_back(found->second.data(), found->second.size());
    }
    if (owner->failures.empty()) return Status::OK;
    Status failure = owner->failures.front();
    owner->failures.pop_front();
    return failure;
  }

  void ApplyOne(const v1::Operation& operation, v1::WriteResponse* response) {
    auto& target = records[operation.collection()];
    if (operation.has_delete_record()) {
      const bool existed = target.erase(operation.delete_record().id()) > 0;
      existed ? response->set_deleted_count(response->deleted_count() + 1)
              : response->set_missing_count(response->missing_count() + 1);
      return;
    }
    if (operation.has_delete_by_filter()) {
      // Two at a time, whatever the filter says.
      for (int i = 0; i < 2 && !target.empty(); ++i) {
        target.erase(target.begin());
        response->set_deleted_count(response->deleted_count() + 1);
      }
      response->set_more(!target.empty());
      return;
    }
    if (operation.has_update_attributes()) {
      v1::Record& record = target[operation.update_attributes().id()];
      for (const auto& [name, value] : operation.update_attributes().set()) {
        (*record.mutable_attributes())[name] = value;
      }
      for (const std::string& name : operation.update_attributes().remove()) {
        record.mutable_attributes()->erase(name);
      }
      response->set_updated_count(response->updated_count() + 1);
      return;
    }
    const v1::RecordInput& input = operation.has_insert() ? operation.insert() : operation.upsert();
    const bool existed = target.count(input.id()) > 0;
    v1::Record& record = target[input.id()];
    record.set_id(input.id());
    record.set_vector_q16(ToQ16(input.vector()));
    *record.mutable_attributes() = input.attributes();
    record.set_document(input.document());
    record.set_version(log_index);
    existed ? response->set_updated_count(response->updated_count() + 1)
            : response->set_inserted_count(response->inserted_count() + 1);
  }

  // The answer to a write, from memory if its id is known.
  v1::WriteStreamResponse Execute(const v1::WriteRequest& request) {
    const std::lock_guard lock(mutex);
    seen.writes.push_back(request);
    const auto known = outcomes.find(request.request_id());
    if (known != outcomes.end()) {
      v1::WriteStreamResponse repeated = known->second;
      if (repeated.has_ok()) repeated.mutable_ok()->set_duplicate(true);
      return repeated;
    }
    ++log_index;
    v1::WriteStreamResponse response;
    response.set_request_id(request.request_id());
    const Status rejection = owner->reject ? owner->reject(request) : Status::OK;
    if (rejection.ok()) {
      for (const v1::Operation& operation : request.operations()) {
        ApplyOne(operation, response.mutable_ok());
      }
      *response.mutable_ok()->mutable_position() = Position();
      seen.request_ids.push_back(request.request_id());
    } else {
      *response.mutable_error() = ToProto(rejection);
    }
    outcomes[request.request_id()] = response;
    return response;
  }

  Status NoCollection(const std::string& name) const {
    return DetailedError(StatusCode::NOT_FOUND, absl::StrCat("no collection '", name, "'"),
                         "COLLECTION_NOT_FOUND", {{"collection", name}});
  }
};

class FakeServer::Collections : public v1::CollectionService::Service {
 public:
  explicit Collections(State* state) : state_(state) {}

  Status CreateCollection(ServerContext* context, const v1::CreateCollectionRequest* request,
                          v1::CreateCollectionResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    state_->seen.request_ids.push_back(request->request_id());
    ++state_->log_index;
    v1::Collection& collection = state_->collections[request->config().name()];
    *collection.mutable_config() = request->config();
    collection.set_created_index(state_->log_index);
    *response->mutable_collection() = collection;
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

  Status GetCollection(ServerContext* context, const v1::GetCollectionRequest* request,
                       v1::GetCollectionResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    state_->seen.min_indexes.push_back(request->min_index());
    const auto found = state_->collections.find(request->name());
    if (found == state_->collections.end()) return state_->NoCollection(request->name());
    *response->mutable_collection() = found->second;
    response->mutable_collection()->set_record_count(state_->records[request->name()].size());
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

  // One collection a page.
  Status ListCollections(ServerContext* context, const v1::ListCollectionsRequest* request,
                         v1::ListCollectionsResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    *response->mutable_position() = state_->Position();
    const auto found = state_->collections.upper_bound(request->page_token());
    if (found == state_->collections.end()) return Status::OK;
    *response->add_collections() = found->second;
    if (std::next(found) != state_->collections.end()) {
      response->set_next_page_token(found->first);
    }
    return Status::OK;
  }

  Status DropCollection(ServerContext* context, const v1::DropCollectionRequest* request,
                        v1::DropCollectionResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    if (state_->collections.erase(request->name()) == 0) {
      return state_->NoCollection(request->name());
    }
    ++state_->log_index;
    response->set_dropped_count(state_->records[request->name()].size());
    state_->records.erase(request->name());
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

 private:
  State* const state_;
};

class FakeServer::Memory : public v1::MemoryService::Service {
 public:
  explicit Memory(State* state) : state_(state) {}

  Status Write(ServerContext* context, const v1::WriteRequest* request,
               v1::WriteResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) {
      const std::lock_guard lock(state_->mutex);
      state_->seen.writes.push_back(*request);
      return status;
    }
    if (state_->owner->hanging.load()) {
      {
        const std::lock_guard lock(state_->mutex);
        state_->seen.writes.push_back(*request);
      }
      while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
      return Status::CANCELLED;
    }
    const v1::WriteStreamResponse result = state_->Execute(*request);
    if (result.has_error()) {
      return Status(static_cast<StatusCode>(result.error().code()), result.error().message(),
                    result.error().SerializeAsString());
    }
    *response = result.ok();
    return Status::OK;
  }

  Status WriteStream(
      ServerContext* context,
      grpc::ServerReaderWriter<v1::WriteStreamResponse, v1::WriteStreamRequest>* stream) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    {
      const std::lock_guard lock(state_->mutex);
      ++state_->seen.stream_count;
    }
    v1::WriteStreamRequest request;
    while (stream->Read(&request)) {
      StreamFault fault = StreamFault::kNone;
      {
        const std::lock_guard lock(state_->mutex);
        const uint64_t index = state_->seen.stream_messages++;
        if (state_->owner->stream_fault) fault = state_->owner->stream_fault(index);
      }
      if (fault == StreamFault::kBreakBefore) return Status(StatusCode::UNAVAILABLE, "broken");
      if (fault == StreamFault::kNoRoom) {
        const Status full =
            DetailedError(StatusCode::RESOURCE_EXHAUSTED, "queue full", "WRITES_EXHAUSTED");
        v1::WriteStreamResponse response;
        response.set_request_id(request.write().request_id());
        *response.mutable_error() = ToProto(full);
        stream->Write(response);
        return full;
      }
      if (fault == StreamFault::kUnloggedError) {
        v1::WriteStreamResponse response;
        response.set_request_id(request.write().request_id());
        *response.mutable_error() = ToProto(DetailedError(
            StatusCode::INVALID_ARGUMENT, "malformed", "INVALID", {}, "operations[1].upsert.id"));
        stream->Write(response);
        return Status(StatusCode::INVALID_ARGUMENT, "malformed");
      }
      if (fault == StreamFault::kHang) {
        while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
        return Status::CANCELLED;
      }
      v1::WriteStreamResponse response = state_->Execute(request.write());
      if (fault == StreamFault::kBreakAfter) return Status(StatusCode::UNAVAILABLE, "broken");
      if (fault == StreamFault::kWrongId) response.set_request_id("another");
      if (!stream->Write(response)) return Status::CANCELLED;
    }
    return Status::OK;
  }

  Status GetRecords(ServerContext* context, const v1::GetRecordsRequest* request,
                    v1::GetRecordsResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    state_->seen.min_indexes.push_back(request->min_index());
    *response->mutable_position() = state_->Position();
    const auto& records = state_->records[request->collection()];
    for (const std::string& id : request->ids()) {
      const auto found = records.find(id);
      if (found == records.end()) {
        response->add_missing_ids(id);
      } else {
        *response->add_records() = found->second;
      }
    }
    return Status::OK;
  }

  Status ListRecords(ServerContext* context, const v1::ListRecordsRequest* request,
                     v1::ListRecordsResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    *response->mutable_position() = state_->Position();
    const auto& records = state_->records[request->collection()];
    int page_size = state_->owner->page_size_max;
    if (request->page_size() > 0) page_size = std::min(page_size, request->page_size());
    auto next = records.upper_bound(request->page_token());
    for (; next != records.end() && response->records_size() < page_size; ++next) {
      *response->add_records() = next->second;
    }
    if (next != records.end()) {
      response->set_next_page_token(response->records(response->records_size() - 1).id());
    }
    return Status::OK;
  }

  Status CountRecords(ServerContext* context, const v1::CountRecordsRequest* request,
                      v1::CountRecordsResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    state_->seen.min_indexes.push_back(request->min_index());
    response->set_count(state_->records[request->collection()].size());
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

  // The first records by id, at distances 0, 1, 2, ...
  Status BatchSearch(ServerContext* context, const v1::BatchSearchRequest* request,
                     v1::BatchSearchResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    for (const v1::SearchQuery& query : request->queries()) {
      v1::SearchRequest single;
      single.set_collection(request->collection());
      *single.mutable_query() = query;
      if (request->has_at_index()) single.set_at_index(request->at_index());
      single.set_explain(request->explain());
      state_->seen.searches.push_back(single);
      auto* result = response->add_results();
      for (const auto& [id, record] : state_->records[request->collection()]) {
        if (static_cast<uint32_t>(result->hits_size()) == query.k()) break;
        v1::Hit* hit = result->add_hits();
        *hit->mutable_record() = record;
        hit->set_distance_raw(result->hits_size() - 1);
        hit->set_score(1.0 - static_cast<double>(hit->distance_raw()) * 0.25);
      }
      if (request->explain() && state_->owner->explanation.has_value()) {
        *result->mutable_explanation() = *state_->owner->explanation;
      }
    }
    response->set_algorithm("exact");
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

  Status GetOutcome(ServerContext* context, const v1::GetOutcomeRequest* request,
                    v1::GetOutcomeResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    *response->mutable_position() = state_->Position();
    response->set_oldest_index(1);
    const auto found = state_->outcomes.find(request->request_id());
    if (found == state_->outcomes.end()) {
      response->set_state(v1::GetOutcomeResponse::STATE_NOT_SEEN);
    } else if (found->second.has_ok()) {
      response->set_state(v1::GetOutcomeResponse::STATE_EXECUTED);
      *response->mutable_ok() = found->second.ok();
    } else {
      response->set_state(v1::GetOutcomeResponse::STATE_REJECTED);
      *response->mutable_error() = found->second.error();
    }
    return Status::OK;
  }

 private:
  State* const state_;
};

class FakeServer::Admin : public v1::AdminService::Service {
 public:
  explicit Admin(State* state) : state_(state) {}

  Status GetServerInfo(ServerContext* context, const v1::GetServerInfoRequest* /*request*/,
                       v1::GetServerInfoResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    const std::lock_guard lock(state_->mutex);
    response->set_version("9.9.9");
    response->set_log_id(state_->log_id);
    *response->mutable_limits() = state_->owner->limits;
    *response->mutable_position() = state_->Position();
    return Status::OK;
  }

  Status CreateSnapshot(ServerContext* context, const v1::CreateSnapshotRequest* /*request*/,
                        v1::CreateSnapshotResponse* response) override {
    if (Status status = state_->Enter(context); !status.ok()) return status;
    response->mutable_snapshot()->set_log_index(7);
    response->mutable_snapshot()->set_snapshot_hash("\x01\x02");
    response->mutable_snapshot()->set_file_name("7.snapshot");
    return Status::OK;
  }

 private:
  State* const state_;
};

FakeServer::FakeServer()
    : state_(std::make_unique<State>()),
      collections_(std::make_unique<Collections>(state_.get())),
      memory_(std::make_unique<Memory>(state_.get())),
      admin_(std::make_unique<Admin>(state_.get())) {
  state_->owner = this;
  address_ = "127.0.0.1:0";
  Start();
}

FakeServer::~FakeServer() { Stop(); }

void FakeServer::Start() {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(collections_.get());
  builder.RegisterService(memory_.get());
  builder.RegisterService(admin_.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

void FakeServer::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

FakeServer::Seen FakeServer::seen() {
  const std::lock_guard lock(state_->mutex);
  return state_->seen;
}

std::map<std::string, v1::Record> FakeServer::records(const std::string& collection) {
  const std::lock_guard lock(state_->mutex);
  return state_->records[collection];
}

uint64_t FakeServer::log_index() {
  const std::lock_guard lock(state_->mutex);
  return state_->log_index;
}

void FakeServer::AddCollection(const std::string& name, uint32_t dimension) {
  const std::lock_guard lock(state_->mutex);
  ++state_->log_index;
  v1::Collection& collection = state_->collections[name];
  collection.mutable_config()->set_name(name);
  collection.mutable_config()->set_dimension(dimension);
  collection.mutable_config()->set_metric(v1::METRIC_L2);
  collection.set_created_index(state_->log_index);
}

void FakeServer::ForgetRequests() {
  const std::lock_guard lock(state_->mutex);
  state_->outcomes.clear();
  state_->log_id = "log-id-000000002";
}

}  // namespace stele::client::testing
