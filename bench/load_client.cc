// Load on a running server, over gRPC.
//   load_client ingest ADDRESS COLLECTION ROWS DIMENSION BATCH    one WriteStream, float32 vectors
//   load_client writes ADDRESS COLLECTION ROWS DIMENSION CLIENTS  one row a request, closed loops
//   load_client calls ADDRESS COLLECTION ROWS DIMENSION CLIENTS   the same with calls that do
//   nothing
//   load_client searches ADDRESS COLLECTION SEARCHES DIMENSION CLIENTS   k = 10, closed loops
//   load_client receipts ADDRESS COLLECTION SEARCHES DIMENSION CLIENTS   the same, with receipts
// Makes the collection if need be. Prints rows (calls) a second.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/data.h"
#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"

namespace stele::bench {
namespace {

// Says what failed, and why.
bool Succeeded(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return true;
  std::fprintf(stderr, "%s: status %d: %s\n", what.c_str(), static_cast<int>(status.error_code()),
               status.error_message().c_str());
  return false;
}

std::string RequestId(uint64_t number) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return std::to_string(now) + "-" + std::to_string(number);
}

struct Load {
  std::string address;
  std::string collection;
  uint64_t rows;
  uint32_t dimension;
  uint64_t group;
  std::vector<std::string> vectors;

  void FillRow(uint64_t row, v1::Operation* operation) const {
    operation->set_collection(collection);
    operation->mutable_upsert()->set_id(UuidLike(row));
    operation->mutable_upsert()->mutable_vector()->set_float32(vectors[row % vectors.size()]);
  }
  std::shared_ptr<grpc::Channel> Connect(int number) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt("bench.channel", number);  // a connection of its own
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }
};

bool Create(const Load& load) {
  v1::CreateCollectionRequest request;
  v1::CreateCollectionResponse response;
  request.set_request_id(RequestId(0));
  request.mutable_config()->set_name(load.collection);
  request.mutable_config()->set_dimension(load.dimension);
  request.mutable_config()->set_metric(v1::METRIC_L2);
  grpc::ClientContext context;
  const grpc::Status status = v1::CollectionService::NewStub(load.Connect(0))
                                  ->CreateCollection(&context, request, &response);
  return status.error_code() == grpc::StatusCode::ALREADY_EXISTS ||
         Succeeded(status, "CreateCollection " + request.request_id());
}

bool Ingest(const Load& load) {
  auto stub = v1::MemoryService::NewStub(load.Connect(0));
  grpc::ClientContext context;
  auto stream = stub->WriteStream(&context);
  std::atomic<bool> failed{false};
  std::thread reader([&] {
    v1::WriteStreamResponse response;
    while (stream->Read(&response)) {
      if (response.has_ok()) continue;
      std::fprintf(stderr, "WriteStream %s: status %d: %s\n", response.request_id().c_str(),
                   response.error().code(), response.error().message().c_str());
      failed = true;
    }
  });
  v1::WriteStreamRequest message;
  for (uint64_t row = 0; row < load.rows && !failed;) {
    message.mutable_write()->Clear();
    message.mutable_write()->set_request_id(RequestId(row));
    for (uint64_t i = 0; i < load.group && row < load.rows; ++i, ++row) {
      load.FillRow(row, message.mutable_write()->add_operations());
    }
    if (!stream->Write(message)) break;
  }
  stream->WritesDone();
  reader.join();
  return Succeeded(stream->Finish(), "WriteStream") && !failed;
}

bool Write(const Load& load, v1::MemoryService::Stub& stub, uint64_t row) {
  v1::WriteRequest request;
  v1::WriteResponse response;
  request.set_request_id(RequestId(row));
  load.FillRow(row, request.add_operations());
  grpc::ClientContext context;
  return Succeeded(stub.Write(&context, request, &response), "Write " + request.request_id());
}

bool EmptyCall(const Load& /*load*/, v1::AdminService::Stub& stub, uint64_t /*row*/) {
  v1::GetServerInfoResponse response;
  grpc::ClientContext context;
  return Succeeded(stub.GetServerInfo(&context, {}, &response), "GetServerInfo");
}

template <bool receipt>
bool Search(const Load& load, v1::MemoryService::Stub& stub, uint64_t row) {
  v1::SearchRequest request;
  v1::SearchResponse response;
  request.set_collection(load.collection);
  request.mutable_query()->set_k(10);
  // The stored vectors are others.
  Random random(1'000'003 + row);
  request.mutable_query()->mutable_vector()->set_float32(
      Float32Bytes(RandomVector(random, load.dimension)));
  request.set_receipt(receipt);
  grpc::ClientContext context;
  return Succeeded(stub.Search(&context, request, &response), "Search") &&
         response.receipt().empty() != receipt;
}

// Every client waits for the answer before it goes on, on a connection of its own.
template <typename Service, typename Call>
bool InClosedLoops(const Load& load, Call&& call) {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> clients;
  for (uint64_t client = 0; client < load.group; ++client) {
    clients.emplace_back([&, client] {
      const auto stub = Service::NewStub(load.Connect(static_cast<int>(client)));
      for (uint64_t row = next++; row < load.rows; row = next++) {
        if (!call(load, *stub, row)) failed = true;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  return !failed;
}

bool Run(std::string_view mode, const Load& load) {
  if (mode == "ingest") return Ingest(load);
  if (mode == "writes") return InClosedLoops<v1::MemoryService>(load, Write);
  if (mode == "calls") return InClosedLoops<v1::AdminService>(load, EmptyCall);
  if (mode == "searches") return InClosedLoops<v1::MemoryService>(load, Search<false>);
  if (mode == "receipts") return InClosedLoops<v1::MemoryService>(load, Search<true>);
  std::fprintf(stderr, "unknown mode\n");
  return false;
}

int Main(int argc, char** argv) {
  if (argc != 7) return 2;
  Load load{argv[2],
            argv[3],
            std::strtoull(argv[4], nullptr, 10),
            static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10)),
            std::strtoull(argv[6], nullptr, 10),
            {}};
  const std::string_view kind = argv[1];
  if (kind == "ingest" || kind == "writes") load.vectors = VectorBytes(load.rows, load.dimension);
  if (!Create(load)) return 1;
  const auto began = std::chrono::steady_clock::now();
  const bool good = Run(kind, load);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (!good) return 1;
  std::printf("%.1f\n", static_cast<double>(load.rows) / took.count());
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
