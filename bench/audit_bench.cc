// What proofs cost in process, one JSON object on standard output.
//   audit_bench proofs DIRECTORY ENTRIES   a log of so many entries: making log proofs of it
//   audit_bench roots ROWS                 keeping a tree over so many records up to date
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "bench/data.h"
#include "index/sparse_tree.h"
#include "server/checkpointer.h"
#include "server/engine.h"

namespace stele::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Micros(Clock::time_point began) {
  return std::chrono::duration<double, std::micro>(Clock::now() - began).count();
}

int Complain(const char* what, const absl::Status& status) {
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  return 1;
}

// Small entries: deletes of what is not there.
absl::Status Fill(server::Engine* engine, uint64_t entries) {
  constexpr uint64_t kFlight = 4096;
  absl::Status failed;
  std::mutex mutex;
  for (uint64_t begin = 0; begin < entries; begin += kFlight) {
    const uint64_t count = std::min(kFlight, entries - begin);
    std::promise<void> done;
    uint64_t left = count;
    for (uint64_t i = begin; i < begin + count; ++i) {
      index::Operation operation;
      operation.kind = index::OperationKind::kDelete;
      operation.collection = "none";
      operation.id = "x";
      server::WriteTask task;
      task.request_id = std::to_string(i);
      task.actor = "bench";
      task.operations.push_back(index::Prepare(std::move(operation)));
      engine->Submit(std::move(task), [&](const absl::StatusOr<server::WriteResult>& result) {
        const std::lock_guard lock(mutex);
        if (!result.ok()) failed = result.status();
        if (--left == 0) done.set_value();
      });
    }
    done.get_future().wait();
    const std::lock_guard lock(mutex);
    if (!failed.ok()) return failed;
  }
  return absl::OkStatus();
}

int Proofs(const std::string& directory, uint64_t entries) {
  server::EngineOptions options;
  options.data_directory = directory;
  options.snapshot_log_bytes = 0;
  server::RecoveryReport report;
  auto engine = server::Engine::Open(options, &report);
  if (!engine.ok()) return Complain("open", engine.status());
  if (absl::Status status = Fill(engine->get(), entries); !status.ok()) {
    return Complain("fill", status);
  }
  server::Checkpointer::Options signing;
  signing.data_directory = directory;
  auto checkpointer = server::Checkpointer::Open(engine->get(), signing);
  if (!checkpointer.ok()) return Complain("checkpointer", checkpointer.status());
  const Clock::time_point began = Clock::now();
  const auto checkpoint = (*checkpointer)->Make();
  if (!checkpoint.ok()) return Complain("checkpoint", checkpoint.status());
  const uint64_t size = checkpoint->checkpoint.size;
  const double reading = Micros(began) / static_cast<double>(size);
  Random random(3);
  std::vector<double> inclusion, consistency;
  for (int i = 0; i < 2'000; ++i) {
    Clock::time_point start = Clock::now();
    const auto entry = (*checkpointer)->ProveEntry(random.Next() % size);
    inclusion.push_back(Micros(start));
    if (!entry.ok()) return Complain("inclusion", entry.status());
    start = Clock::now();
    const auto extends = (*checkpointer)->ProveConsistency(1 + random.Next() % size);
    consistency.push_back(Micros(start));
    if (!extends.ok()) return Complain("consistency", extends.status());
  }
  std::printf(
      "{\"entries\": %llu, \"inclusion_micros\": %.1f, \"consistency_micros\": %.1f, "
      "\"reading_micros\": %.2f}\n",
      static_cast<unsigned long long>(size), Median(inclusion), Median(consistency), reading);
  return 0;
}

// Batches as one entry of 256 records makes them.
int Roots(uint64_t rows) {
  constexpr uint64_t kBatch = 256;
  const auto key = [](uint64_t row) {
    return index::Hasher(index::Label::kRecordKey).Bytes(UuidLike(row)).Finish();
  };
  std::vector<index::Hash> keys;
  for (uint64_t row = 0; row < rows; ++row) keys.push_back(key(row));
  index::SparseTree tree;
  const Clock::time_point began = Clock::now();
  for (uint64_t begin = 0; begin < rows; begin += kBatch) {
    const uint64_t end = std::min(rows, begin + kBatch);
    for (uint64_t row = begin; row < end; ++row) tree.Put(keys[row], keys[rows - 1 - row]);
    (void)tree.Root();
  }
  const double records = static_cast<double>(rows);
  std::printf("{\"micros\": %.3f, \"bytes\": %.1f, \"hashes\": %.2f}\n", Micros(began) / records,
              static_cast<double>(tree.memory_bytes()) / records,
              static_cast<double>(tree.hash_count()) / records);
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "proofs" && argc == 4) {
    return stele::bench::Proofs(argv[2], std::strtoull(argv[3], nullptr, 10));
  }
  if (mode == "roots" && argc == 3) return stele::bench::Roots(std::strtoull(argv[2], nullptr, 10));
  std::fprintf(stderr, "usage: audit_bench proofs DIRECTORY ENTRIES | roots ROWS\n");
  return 2;
}
