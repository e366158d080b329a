// A search over gRPC beside the same search in the process and an empty call.
//   search_bench DIRECTORY ROWS DIMENSION QUERIES
// Prints {"grpc_micros", "engine_micros", "empty_micros", "at_index_micros"}: medians, taken in
// turn in one run; the last is the search in the process on the state one entry back, which has the
// same rows. Fails if the searches differ in anything.
//   search_bench DIRECTORY ROWS DIMENSION QUERIES ROUNDS
// Clients in closed loops, QUERIES a round each, with joined searches and without, beside batches
// of 16 in the process, in turn, ROUNDS times. Prints {"batch16_rate", "joined_16": {"rate", "p50",
// "p99"}, ...}: medians of the rounds, searches a second and microseconds.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
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
  static constexpr uint32_t kHits = 10;

  // `engine` may be null where nothing is asked in the process.
  Asker(server::Engine* engine, std::shared_ptr<grpc::Channel> channel)
      : engine_(engine),
        channel_(std::move(channel)),
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
  bool InProcess(const std::string& query, std::optional<index::LogIndex> at,
                 std::vector<index::SearchHit>* hits) {
    const auto began = steady_clock::now();
    const std::vector<int32_t> raw = Quantized(query);
    const auto view = engine_->Read(at);
    const index::SearchQuery search{raw, kHits, nullptr, std::nullopt};
    auto found = engine_->Search(*view, *view->FindCollection("c"), {&search, 1}, nullptr);
    (at.has_value() ? at_index : in_process).push_back(Micros(began));
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

  std::vector<double> over_grpc, in_process, at_index, empty;

 private:
  server::Engine* const engine_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::MemoryService::Stub> memory_;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

bool Ask(Asker& asker, uint64_t queries, uint32_t dimension, index::LogIndex before) {
  Random random(2);
  for (uint64_t i = 0; i < queries; ++i) {
    const std::string query = Float32Bytes(RandomVector(random, dimension));
    v1::SearchResponse response;
    std::vector<index::SearchHit> hits, hits_before;
    const bool grpc_first = i % 2 == 0;
    if (grpc_first && !asker.OverGrpc(query, &response)) return false;
    if (!grpc_first && !asker.InProcess(query, before, &hits_before)) return false;
    if (!asker.InProcess(query, std::nullopt, &hits) || !asker.Empty()) return false;
    if (grpc_first && !asker.InProcess(query, before, &hits_before)) return false;
    if (!grpc_first && !asker.OverGrpc(query, &response)) return false;
    if (hits.size() != static_cast<size_t>(response.hits_size())) return false;
    if (hits.size() != hits_before.size()) return false;
    for (size_t j = 0; j < hits.size(); ++j) {
      const v1::Hit& hit = response.hits(static_cast<int>(j));
      if (hit.distance_raw() != hits[j].distance || hit.record().id() != hits[j].version->id() ||
          hits_before[j].version != hits[j].version) {
        return false;
      }
    }
  }
  return true;
}

struct Loads {
  std::vector<double> rate, p50, p99;
};

// Every client asks one query after the other on a connection of its own.
bool ClosedLoops(const std::string& address, const std::vector<std::string>& queries, int clients,
                 Loads* loads) {
  std::vector<std::vector<double>> micros(static_cast<size_t>(clients));
  std::atomic<bool> good{true};
  std::vector<std::thread> threads;
  const auto began = steady_clock::now();
  for (size_t client = 0; client < micros.size(); ++client) {
    threads.emplace_back([&, client] {
      grpc::ChannelArguments arguments;
      arguments.SetInt("bench.channel", static_cast<int>(client));
      Asker asker(nullptr, grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                                     arguments));
      for (size_t i = 0; i < queries.size() && good.load(); ++i) {
        v1::SearchResponse response;
        if (!asker.OverGrpc(queries[(i + client) % queries.size()], &response)) good.store(false);
      }
      micros[client] = std::move(asker.over_grpc);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Micros(began) / 1e6;
  std::vector<double> all;
  for (const auto& some : micros) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  loads->rate.push_back(static_cast<double>(all.size()) / seconds);
  loads->p50.push_back(all[all.size() / 2]);
  loads->p99.push_back(all[all.size() * 99 / 100]);
  return good.load();
}

constexpr size_t kBatch = 16;

// Searches a second by batches in the process.
bool Batches(const server::Engine& engine, const std::vector<std::string>& queries,
             std::vector<double>* rates) {
  std::vector<std::vector<int32_t>> raw;
  for (size_t i = 0; i < kBatch; ++i) raw.push_back(Quantized(queries[i % queries.size()]));
  std::vector<index::SearchQuery> batch;
  for (const auto& vector : raw) batch.push_back({vector, Asker::kHits, nullptr, std::nullopt});
  const auto began = steady_clock::now();
  for (size_t i = 0; i < queries.size(); ++i) {
    const auto view = engine.Read(std::nullopt);
    if (!engine.Search(*view, *view->FindCollection("c"), batch, nullptr).ok()) return false;
  }
  rates->push_back(1e6 * static_cast<double>(kBatch * queries.size()) / Micros(began));
  return true;
}

// A server in this process.
struct Serving {
  Serving(server::Engine* engine, uint32_t join_max)
      : executor(std::max(2u, std::thread::hardware_concurrency()), 4096),
        memory(engine, &gate, &executor, nullptr, nullptr, {.searches_max = join_max}) {
    server::GrpcServer::Options options;
    options.listen = *server::ParseAddress("127.0.0.1:0");
    options.credentials = grpc::InsecureServerCredentials();
    options.memory_bytes_max = uint64_t{1} << 30;
    options.services = {&memory, &health};
    server = server::GrpcServer::Start(options);
    health.SetServing(true);
  }
  std::string address() const { return (*server)->address().ToString(); }

  server::Metrics metrics{"bench", "bench"};
  const server::Gate gate{nullptr, &metrics};
  server::Executor executor;
  server::MemoryService memory;
  server::HealthService health;
  absl::StatusOr<std::unique_ptr<server::GrpcServer>> server;
};

bool CompareJoining(server::Engine* engine, uint64_t queries, uint64_t rounds, uint32_t dimension) {
  const Serving joining(engine, server::JoinOptions().searches_max);
  const Serving apart(engine, 1);
  if (!joining.server.ok() || !apart.server.ok()) return false;
  Random random(3);
  std::vector<std::string> asked;
  for (uint64_t i = 0; i < queries; ++i) {
    asked.push_back(Float32Bytes(RandomVector(random, dimension)));
  }
  constexpr int kClients[] = {1, 4, 16};
  std::map<std::string, Loads> loads;
  std::vector<double> batches;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (const int clients : kClients) {
      const std::string count = std::to_string(clients);
      const auto take = [&](const Serving& serving, const char* name) {
        return ClosedLoops(serving.address(), asked, clients, &loads[name + count]);
      };
      const bool good = round % 2 == 0 ? take(joining, "joined_") && take(apart, "apart_")
                                       : take(apart, "apart_") && take(joining, "joined_");
      if (!good) return false;
    }
    if (!Batches(*engine, asked, &batches)) return false;
  }
  std::printf("{\"batch16_rate\": %.2f", Median(batches));
  for (const auto& [name, load] : loads) {
    std::printf(", \"%s\": {\"rate\": %.2f, \"p50\": %.1f, \"p99\": %.1f}", name.c_str(),
                Median(load.rate), Median(load.p50), Median(load.p99));
  }
  std::printf("}\n");
  return true;
}

int Main(int argc, char** argv) {
  if (argc != 5 && argc != 6) return 2;
  server::EngineOptions options;
  options.data_directory = argv[1];
  options.probe_path = server::FindProbe();
  options.snapshot_log_bytes = 0;
  const auto dimension = static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10));
  server::RecoveryReport report;
  auto engine = server::Engine::Open(options, &report);
  if (!engine.ok() || !Fill(**engine, std::strtoull(argv[2], nullptr, 10), dimension)) return 1;

  const uint64_t queries = std::strtoull(argv[4], nullptr, 10);
  if (argc == 6) {
    const uint64_t rounds = std::strtoull(argv[5], nullptr, 10);
    return CompareJoining(engine->get(), queries, rounds, dimension) ? 0 : 1;
  }
  const Serving serving(engine->get(), server::JoinOptions().searches_max);
  if (!serving.server.ok()) return 1;
  // An entry that changes nothing, so that the one before is not the newest.
  const index::LogIndex before = (*engine)->published_index();
  index::Operation absent;
  absent.kind = index::OperationKind::kDelete;
  absent.collection = "c";
  absent.id = "not there";
  if (!Submit(**engine, "nothing", {absent})) return 1;
  Asker asker(engine->get(),
              grpc::CreateChannel(serving.address(), grpc::InsecureChannelCredentials()));
  if (!Ask(asker, queries, dimension, before)) return 1;
  std::printf(
      "{\"grpc_micros\": %.1f, \"engine_micros\": %.1f, \"empty_micros\": %.1f, "
      "\"at_index_micros\": %.1f}\n",
      Median(asker.over_grpc), Median(asker.in_process), Median(asker.empty),
      Median(asker.at_index));
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
