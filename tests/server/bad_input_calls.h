// The calls that bad_input_test.cc spoils, and what a case of it is.
#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <functional>
#include <future>
#include <limits>

#include "tests/server/wire_server.h"

namespace stele::server {

using grpc::StatusCode;
using Memory = v1::MemoryService::StubInterface;
using Collections = v1::CollectionService::StubInterface;

struct Case {
  const char* name;
  std::function<grpc::Status(WireServer*)> call;
  StatusCode code;
  const char* reason;  // "" for what gRPC and protobuf refuse by themselves
  const char* field;
};

template <typename Response, typename Request>
grpc::Status CallMemory(WireServer* server,
                        grpc::Status (Memory::*method)(grpc::ClientContext*, const Request&,
                                                       Response*),
                        const Request& request) {
  Response response;
  return WireServer::Call<Memory>(server->memory.get(), method, request, &response);
}

template <typename Response, typename Request>
grpc::Status CallCollections(WireServer* server,
                             grpc::Status (Collections::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                             const Request& request) {
  Response response;
  return WireServer::Call<Collections>(server->collections.get(), method, request, &response);
}

using Change = std::function<void(v1::WriteRequest*)>;

// A good write, spoiled.
inline std::function<grpc::Status(WireServer*)> Write(const Change& spoil) {
  static int count = 0;
  return [spoil, request_id = "bad " + std::to_string(count++)](WireServer* server) {
    v1::WriteRequest request = OneWrite(request_id, Upsert("l2", "b", {1, 2}));
    spoil(&request);
    return CallMemory(server, &Memory::Write, request);
  };
}

inline v1::RecordInput* Input(v1::WriteRequest* request) {
  return request->mutable_operations(0)->mutable_upsert();
}

// A good write with the given vector, into `collection`.
inline std::function<grpc::Status(WireServer*)> Vector(const std::string& collection,
                                                       const std::vector<float>& values) {
  return Write([=](v1::WriteRequest* request) {
    *request->mutable_operations(0) = Upsert(collection, "b", values);
  });
}

inline std::function<grpc::Status(WireServer*)> Attribute(
    const std::function<void(v1::RecordInput*)>& spoil) {
  return Write([=](v1::WriteRequest* request) { spoil(Input(request)); });
}

inline std::function<grpc::Status(WireServer*)> Search(
    const std::function<void(v1::SearchRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::SearchRequest request;
    request.set_collection("l2");
    request.mutable_query()->set_k(1);
    *request.mutable_query()->mutable_vector() = Upsert("l2", "", {1, 2}).upsert().vector();
    spoil(&request);
    return CallMemory(server, &Memory::Search, request);
  };
}

inline std::function<grpc::Status(WireServer*)> Batch(
    const std::function<void(v1::BatchSearchRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::BatchSearchRequest request;
    request.set_collection("l2");
    spoil(&request);
    return CallMemory(server, &Memory::BatchSearch, request);
  };
}

inline v1::SearchQuery Query(uint32_t k) {
  v1::SearchQuery query;
  query.set_k(k);
  *query.mutable_vector() = Upsert("l2", "", {1, 2}).upsert().vector();
  return query;
}

inline std::function<grpc::Status(WireServer*)> Get(
    const std::function<void(v1::GetRecordsRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::GetRecordsRequest request;
    request.set_collection("l2");
    request.add_ids("a");
    spoil(&request);
    return CallMemory(server, &Memory::GetRecords, request);
  };
}

inline std::function<grpc::Status(WireServer*)> List(
    const std::function<void(v1::ListRecordsRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::ListRecordsRequest request;
    request.set_collection("l2");
    spoil(&request);
    return CallMemory(server, &Memory::ListRecords, request);
  };
}

// The second page, asked for with other arguments than the first.
inline std::function<grpc::Status(WireServer*)> NextPage(
    const std::function<void(v1::ListRecordsRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::ListRecordsRequest request;
    request.set_collection("l2");
    request.set_page_size(1);
    v1::ListRecordsResponse first;
    grpc::Status status =
        WireServer::Call<Memory>(server->memory.get(), &Memory::ListRecords, request, &first);
    EXPECT_TRUE(status.ok());
    EXPECT_FALSE(first.next_page_token().empty());
    request.set_page_token(first.next_page_token());
    spoil(&request);
    return CallMemory(server, &Memory::ListRecords, request);
  };
}

inline std::function<grpc::Status(WireServer*)> Count(
    const std::function<void(v1::CountRecordsRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::CountRecordsRequest request;
    request.set_collection("l2");
    spoil(&request);
    return CallMemory(server, &Memory::CountRecords, request);
  };
}

inline std::function<grpc::Status(WireServer*)> Create(
    const std::function<void(v1::CreateCollectionRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::CreateCollectionRequest request;
    request.set_request_id("bad create");
    request.mutable_config()->set_name("new");
    request.mutable_config()->set_dimension(2);
    request.mutable_config()->set_metric(v1::METRIC_L2);
    spoil(&request);
    return CallCollections(server, &Collections::CreateCollection, request);
  };
}

// Sends bytes that no generated message would.
inline grpc::Status SendRaw(WireServer* server, const std::string& method,
                            const std::string& bytes) {
  grpc::GenericStub stub(server->channel());
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/stele.v1.MemoryService/" + method, {}, &request, &response,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

inline std::string Field(int number, const std::string& content) {
  std::string bytes;
  bytes.push_back(static_cast<char>(number << 3 | 2));
  for (size_t size = content.size();; size >>= 7) {
    const bool more = size >= 128;
    bytes.push_back(static_cast<char>((size & 127) | (more ? 128 : 0)));
    if (!more) break;
  }
  return bytes + content;
}

inline const float kNan = std::numeric_limits<float>::quiet_NaN();
inline const float kInf = std::numeric_limits<float>::infinity();

}  // namespace stele::server
