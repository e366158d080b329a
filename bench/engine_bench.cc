// Figures of the engine without gRPC, one JSON object a line on standard output.
//   engine_bench memory DIMENSION ROWS    bytes a record in memory, everything counted
//   engine_bench writes DIRECTORY ROWS DIMENSION THREADS   rate of single durable writes
//   engine_bench replay DIRECTORY         rate of rebuilding the state from the log
//   engine_bench load SNAPSHOT            rate of loading a snapshot, beside reading its bytes
//   engine_bench vectors ROWS DIMENSION   no figure: the vectors of the other programs, as float32
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/data.h"
#include "index/quantize.h"
#include "index/state_machine.h"
#include "server/offline.h"
#include "server/recovery.h"
#include "storage/snapshot_store.h"

namespace stele::bench {
namespace {

double Seconds(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// The exit code of a failure, whose reason goes to standard error.
int Complain(const char* what, const absl::Status& status) {
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  return 1;
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

index::Command Sealed(std::vector<index::Operation> operations) {
  index::Command command;
  for (index::Operation& operation : operations) {
    command.operations.push_back(index::Prepare(std::move(operation)));
  }
  index::Seal(command);
  return command;
}

int Memory(uint32_t dimension, uint64_t rows) {
  index::StateMachine state;
  index::Operation genesis;
  genesis.kind = index::OperationKind::kGenesis;
  genesis.rules_version = index::kRulesVersion;
  state.Apply(0, Sealed({genesis}));
  index::Operation create;
  create.kind = index::OperationKind::kCreateCollection;
  create.collection = "c";
  create.config = {dimension, index::Metric::kL2, ""};
  state.Apply(1, Sealed({create}));
  const uint64_t resident = ResidentBytes();
  Random random(1);
  for (uint64_t row = 0; row < rows;) {
    std::vector<index::Operation> operations;
    for (int i = 0; i < 256 && row < rows; ++i, ++row) {
      index::Operation upsert;
      upsert.collection = "c";
      upsert.id = UuidLike(row);
      for (uint32_t j = 0; j < dimension; ++j) {
        upsert.vector.push_back(static_cast<int32_t>(random.Next() % 131072) - 65536);
      }
      operations.push_back(std::move(upsert));
    }
    state.Apply(state.next_index(), Sealed(std::move(operations)));
  }
  std::printf("{\"counted\": %.1f, \"resident\": %.1f}\n",
              static_cast<double>(state.MemoryBytes()) / static_cast<double>(rows),
              static_cast<double>(ResidentBytes() - resident) / static_cast<double>(rows));
  return 0;
}

bool Write(server::Engine& engine, std::string request_id, index::Operation operation) {
  server::WriteTask task;
  task.request_id = std::move(request_id);
  task.operations.push_back(index::Prepare(std::move(operation)));
  std::promise<bool> done;
  engine.Submit(std::move(task), [&](const absl::StatusOr<server::WriteResult>& result) {
    if (!result.ok()) Complain("write", result.status());
    done.set_value(result.ok());
  });
  return done.get_future().get();
}

int Writes(const std::string& directory, uint64_t rows, uint32_t dimension, uint64_t threads) {
  server::EngineOptions options;
  options.data_directory = directory;
  options.probe_path = server::FindProbe();
  server::RecoveryReport report;
  auto engine = server::Engine::Open(options, &report);
  index::Operation create;
  create.kind = index::OperationKind::kCreateCollection;
  create.collection = "c";
  create.config = {dimension, index::Metric::kL2, ""};
  if (!engine.ok()) return Complain("open", engine.status());
  if (!Write(**engine, "create", std::move(create))) return 1;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> writers;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < threads; ++i) {
    writers.emplace_back([&] {
      for (uint64_t row = next++; row < rows; row = next++) {
        index::Operation upsert;
        upsert.collection = "c";
        upsert.id = UuidLike(row);
        upsert.vector.assign(dimension, static_cast<int32_t>(row));
        if (!Write(**engine, std::to_string(row), std::move(upsert))) failed = true;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  if (failed) return 1;
  std::printf("%.1f\n", static_cast<double>(rows) / Seconds(began));
  return 0;
}

int Replay(const std::string& directory) {
  server::EngineOptions options;
  options.data_directory = directory;
  options.probe_path = server::FindProbe();
  const auto began = std::chrono::steady_clock::now();
  const auto report = server::ReplayLog(options, nullptr);
  if (!report.ok()) return Complain("replay", report.status());
  std::printf("{\"seconds\": %.4f, \"entries\": %llu}\n", Seconds(began),
              static_cast<unsigned long long>(report->replayed_entries));
  return 0;
}

int Load(const std::string& path) {
  auto began = std::chrono::steady_clock::now();
  std::ifstream file(path, std::ios::binary);
  std::string piece(1 << 20, '\0');
  uint64_t bytes = 0;
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    bytes += static_cast<uint64_t>(file.gcount());
  }
  const double reading = Seconds(began);
  began = std::chrono::steady_clock::now();
  const auto snapshot = storage::SnapshotFile::Open(path);
  if (!snapshot.ok()) return Complain("open", snapshot.status());
  const auto manifest = server::ReadManifest(**snapshot);
  if (!manifest.ok()) return Complain("manifest", manifest.status());
  const auto loaded = server::LoadSnapshot(**snapshot, *manifest, false);
  if (!loaded.ok()) return Complain("load", loaded.status());
  std::printf("{\"megabytes\": %.1f, \"load_seconds\": %.4f, \"read_seconds\": %.4f}\n",
              static_cast<double>(bytes) / 1e6, Seconds(began), reading);
  return 0;
}

int Vectors(uint64_t rows, uint32_t dimension) {
  for (const std::string& bytes : VectorBytes(rows, dimension)) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) return 1;
  }
  return 0;
}

uint32_t ToDimension(const char* text) {
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "memory" && argc == 4) {
    return stele::bench::Memory(stele::bench::ToDimension(argv[2]),
                                std::strtoull(argv[3], nullptr, 10));
  }
  if (mode == "writes" && argc == 6) {
    return stele::bench::Writes(argv[2], std::strtoull(argv[3], nullptr, 10),
                                stele::bench::ToDimension(argv[4]),
                                std::strtoull(argv[5], nullptr, 10));
  }
  if (mode == "replay" && argc == 3) return stele::bench::Replay(argv[2]);
  if (mode == "load" && argc == 3) return stele::bench::Load(argv[2]);
  if (mode == "vectors" && argc == 4) {
    return stele::bench::Vectors(std::strtoull(argv[2], nullptr, 10),
                                 stele::bench::ToDimension(argv[3]));
  }
  return 2;
}
