// A search over gRPC beside the same search in the process and an empty call.
//   search_bench DIRECTORY ROWS DIMENSION QUERIES
// Prints {"grpc_micros", "engine_micros", "empty_micros"}: medians, taken in turn in one run. Fails
// if the two searches differ in anything.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include "bench/data.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "index/quantize.h"
#include "server/gate.h"
#include "server/grpc_server.h"
#include "server/health_service.h"
#include "server/memory_service.h"
#include "server/metrics.h"
#include "server/recovery.h"

namespace stele::bench {
namespace {

using std::chrono::steady_clock;

double Micros(steady_clock::time_point began) {
  return std::chrono::duration<double, std::micro>(steady_clock::now() - began).count();
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

// One question, asked in the three ways. In turn, so that what else runs on the machine meets all.
class Asker {
 public:
  Asker(server::Engine* engine, const std::string& address)
      : engine_(engine),
        channel_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())),
        memory_(v1::MemoryService::NewStub(channel_)),
        health_(grpc::health::v1::Health::NewStub(channel_)) {}

  bool OverGrpc(const std::string& query, v1::SearchResponse* response) {
    v1::SearchRequest request;
    request.set_collection("c");
    request.mutable_query()->mutable_vector()->set_float32(query);
    request.mutable_query()->set_k(kHits);
    grpc::ClientContext context;
    const auto began = steady_clock::now();
    const bool good = memory_->Search(&context, request, response).ok();
    over_grpc.push_back(Micros(began));
    return good;
  }
  bool InProcess(const std::string& query, std::vector<index::SearchHit>* hits) {
    const auto began = steady_clock::now();
    const std::vector<int32_t> raw = Quantized(query);
    const auto view = engine_->Read(std::nullopt);
    const index::SearchQuery search{raw, kHits, nullptr, std::nullopt};
    auto found = engine_->Search(*view, *view->FindCollection("c"), {&search, 1}, nullptr);
    in_process.push_back(Micros(began));
    if (!found.ok()) return false;
    *hits = std::move(found->hits.front());
    return true;
  }
  bool Empty() {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    const auto began = steady_clock::now();
    const bool good = health_->Check(&context, {}, &response).ok();
    empty.push_back(Micros(began));
    return good;
  }

  std::vector<double> over_grpc, in_process, empty;

 private:
  static constexpr uint32_t kHits = 10;
  server::Engine* const engine_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::MemoryService::Stub> memory_;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

bool Ask(Asker& asker, uint64_t queries, uint32_t dimension) {
  Random random(2);
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string query = Float32Bytes(RandomVector(random, dimension));
    v1::SearchResponse response;
    std::vector<index::SearchHit> hits;
    const bool grpc_first = i % 2 == 0;
    if (grpc_first && !asker.OverGrpc(query, &response)) return false;
    if (!asker.InProcess(query, &hits) || !asker.Empty()) return false;
    if (!grpc_first && !asker.OverGrpc(query, &response)) return false;
    if (hits.size() != static_cast<size_t>(response.hits_size())) return false;
    for (size_t j = 0; j < hits.size(); ++j) {
      const v1::Hit& hit = response.hits(static_cast<int>(j));
      if (hit.distance_raw() != hits[j].distance || hit.record().id() != hits[j].version->id()) {
        return false;
      }
    }
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
  server::Executor executor(std::max(2u, std::thread::hardware_concurrency()), 64);
  server::MemoryService memory(engine->get(), &gate, &executor);
  server::HealthService health;
  server::GrpcServer::Options serving;
  serving.listen = *server::ParseAddress("127.0.0.1:0");
  serving.credentials = grpc::InsecureServerCredentials();
  serving.memory_bytes_max = uint64_t{1} << 30;
  serving.services = {&memory, &health};
  const auto server = server::GrpcServer::Start(serving);
  if (!server.ok()) return 1;
  health.SetServing(true);
  Asker asker(engine->get(), (*server)->address().ToString());
  if (!Ask(asker, std::strtoull(argv[4], nullptr, 10), dimension)) return 1;
  std::printf("{\"grpc_micros\": %.1f, \"engine_micros\": %.1f, \"empty_micros\": %.1f}\n",
              Median(asker.over_grpc), Median(asker.in_process), Median(asker.empty));
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
