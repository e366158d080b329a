// A search over gRPC beside the same search in the process and an empty call.
//   search_bench DIRECTORY ROWS DIMENSION QUERIES
// Prints {"grpc_micros", "engine_micros", "empty_micros"}: medians, taken in turn in one run.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <vector>

#include "bench/data.h"
#include "index/quantize.h"
#include "server/admin_service.h"
#include "server/gate.h"
#include "server/grpc_server.h"
#include "server/memory_service.h"
#include "server/metrics.h"
#include "server/recovery.h"

namespace stele::bench {
namespace {

using std::chrono::steady_clock;

double Micros(steady_clock::time_point began) {
  return std::chrono::duration<double, std::micro>(steady_clock::now() - began).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<int32_t> Quantized(const std::string& float32) {
  std::vector<uint32_t> bits(float32.size() / 4);
  std::copy_n(float32.data(), float32.size(), reinterpret_cast<char*>(bits.data()));
  std::vector<int32_t> raw(bits.size());
  (void)index::QuantizeFloat32(bits, raw);
  return raw;
}

bool Submit(server::Engine& engine, const std::string& request_id,
            std::vector<index::Operation> operations) {
  server::WriteTask task;
  task.request_id = request_id;
  for (index::Operation& operation : operations) {
    task.operations.push_back(index::Prepare(std::move(operation)));
  }
  std::promise<bool> done;
  engine.Submit(std::move(task), [&](const absl::StatusOr<server::WriteResult>& result) {
    done.set_value(result.ok());
  });
  return done.get_future().get();
}

bool Fill(server::Engine& engine, uint64_t rows, uint32_t dimension) {
  index::Operation create;
  create.kind = index::OperationKind::kCreateCollection;
  create.collection = "c";
  create.config = {dimension, index::Metric::kL2, ""};
  if (!Submit(engine, "create", {create})) return false;
  Random random(1);
  for (uint64_t row = 0; row < rows;) {
    std::vector<index::Operation> operations;
    for (int i = 0; i < 2048 && row < rows; ++i, ++row) {
      index::Operation upsert;
      upsert.collection = "c";
      upsert.id = UuidLike(row);
      upsert.vector = Quantized(Float32Bytes(RandomVector(random, dimension)));
      operations.push_back(std::move(upsert));
    }
    if (!Submit(engine, std::to_string(row), std::move(operations))) return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  if (argc != 5) return 2;
  server::EngineOptions options;
  options.data_directory = argv[1];
  options.probe_path = server::FindProbe();
  options.snapshot_log_bytes = 0;
  const auto dimension = static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10));
  server::RecoveryReport report;
  auto engine = server::Engine::Open(options, &report);
  if (!engine.ok() || !Fill(**engine, std::strtoull(argv[2], nullptr, 10), dimension)) return 1;

  server::Metrics metrics("bench", "bench");
  const server::Gate gate(nullptr, &metrics);
  server::Executor executor(2, 64);
  server::MemoryService memory(engine->get(), &gate, &executor);
  server::AdminService admin(engine->get(), &gate, &executor);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&memory);
  builder.RegisterService(&admin);
  const auto server = builder.BuildAndStart();
  const auto channel =
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
  auto memory_stub = v1::MemoryService::NewStub(channel);
  auto admin_stub = v1::AdminService::NewStub(channel);

  Random random(2);
  std::vector<double> over_grpc, in_process, empty;
  const uint64_t queries = std::strtoull(argv[4], nullptr, 10);
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string query = Float32Bytes(RandomVector(random, dimension));
    v1::SearchRequest request;
    v1::SearchResponse response;
    request.set_collection("c");
    request.mutable_query()->mutable_vector()->set_float32(query);
    request.mutable_query()->set_k(10);
    auto began = steady_clock::now();
    grpc::ClientContext search_context;
    if (!memory_stub->Search(&search_context, request, &response).ok()) return 1;
    over_grpc.push_back(Micros(began));

    began = steady_clock::now();
    const std::vector<int32_t> raw = Quantized(query);
    const auto view = (*engine)->Read(std::nullopt);
    const index::SearchQuery search{raw, 10, nullptr, std::nullopt};
    const auto hits = (*engine)->Search(*view, *view->FindCollection("c"), {&search, 1}, nullptr);
    in_process.push_back(Micros(began));
    if (!hits.ok() || (*hits)[0][0].distance != response.hits(0).distance_raw()) return 1;

    began = steady_clock::now();
    v1::GetServerInfoResponse info;
    grpc::ClientContext info_context;
    if (!admin_stub->GetServerInfo(&info_context, {}, &info).ok()) return 1;
    empty.push_back(Micros(began));
  }
  std::printf("{\"grpc_micros\": %.1f, \"engine_micros\": %.1f, \"empty_micros\": %.1f}\n",
              Median(over_grpc), Median(in_process), Median(empty));
  server->Shutdown();
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
