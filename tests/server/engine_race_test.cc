// If this fails, searches, snapshots, drops or a shutdown that meet writes answer from a state that
// never was, lose a reply, or touch memory that was given back. Most telling under ThreadSanitizer
// and AddressSanitizer.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/engine.h"
#include "server/offline.h"
#include "tests/index/arithmetic_data.h"
#include "tests/storage/testing.h"

namespace stele::server {
namespace {

using index::Operation;
using index::OperationKind;
using index::TestRandom;

constexpr uint32_t kDimension = 24;
constexpr size_t kNearest = 3;
constexpr uint64_t kWritesInFlightMax = 64;

Operation RandomOperation(TestRandom& random) {
  Operation operation;
  operation.collection = "c" + std::to_string(random.Below(2));
  const uint64_t kind = random.Below(150);
  if (kind == 0) {
    operation.kind = OperationKind::kDropCollection;
    return operation;
  }
  if (kind < 4) {
    operation.kind = OperationKind::kCreateCollection;
    operation.config = {kDimension, index::Metric::kL2, ""};
    return operation;
  }
  if (kind == 4) {
    operation.kind = OperationKind::kDeleteByFilter;
    operation.limit = 10;
    return operation;
  }
  operation.id = std::to_string(random.Below(300));
  if (random.Below(4) == 0) {
    operation.kind = OperationKind::kDelete;
    return operation;
  }
  operation.vector = index::RandomVector(random, kDimension, random.Below(2) == 0 ? 50 : 9000);
  operation.document = random.Below(4) == 0 ? "a document" : "";
  return operation;
}

using Nearest = std::vector<std::pair<int64_t, std::string>>;

Nearest BruteForce(const index::Collection& collection, index::LogIndex n,
                   const std::vector<int32_t>& query) {
  Nearest nearest;
  for (const auto* node = collection.records().First(); node != nullptr; node = node->Next()) {
    const index::RecordVersion* version = index::FindVisible(node->payload.newest.Get(), n);
    if (version == nullptr) continue;
    const std::vector<int32_t> row = collection.vectors().Row(version->slot());
    int64_t distance = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const int64_t difference = int64_t{row[i]} - query[i];
      distance += difference * difference;
    }
    nearest.emplace_back(distance, version->id());
  }
  std::sort(nearest.begin(), nearest.end());
  nearest.resize(std::min(nearest.size(), kNearest));
  return nearest;
}

class EngineRaceTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    engine_.reset();
    report_ = {};
    auto engine = Engine::Open(Options(), &report_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  EngineOptions Options() const {
    EngineOptions options;
    options.data_directory = directory_ / "data";
    options.search_threads = 2;
    // Sanitizers do not see the masked loads of the others.
    options.kernels = &index::ScalarKernels();
    options.history_entries = 60;
    return options;
  }

  void WriteOne(const std::string& actor, uint64_t number, TestRandom& random) {
    WriteTask task;
    task.actor = actor;
    task.request_id = std::to_string(number);
    task.operations.push_back(index::Prepare(RandomOperation(random)));
    ++asked_;
    ++writes_in_flight_;
    engine_->Submit(std::move(task), [this](const absl::StatusOr<WriteResult>& result) {
      EXPECT_TRUE(result.ok()) << result.status();
      --writes_in_flight_;
      ++answered_;
    });
  }

  void TakeSnapshot() {
    ++asked_;
    engine_->CreateSnapshot([this](const absl::StatusOr<SnapshotInfo>& info) {
      if (info.ok()) ++snapshots_;
      ++answered_;
    });
  }

  // Half of them in the past.
  void SearchOnce(TestRandom& random) {
    absl::StatusOr<ReadView> view = engine_->Read(std::nullopt);
    if (random.Below(2) == 0 && view->n() > 20) {
      absl::StatusOr<ReadView> older = engine_->Read(view->n() - 20);
      if (older.ok()) view = std::move(older);
    }
    ASSERT_TRUE(view.ok()) << view.status();
    const index::Collection* collection =
        view->FindCollection("c" + std::to_string(random.Below(2)));
    if (collection == nullptr) return;
    std::vector<std::vector<int32_t>> vectors;
    std::vector<index::SearchQuery> queries;
    for (int i = 0; i < 5; ++i) vectors.push_back(index::RandomVector(random, kDimension, 60));
    for (const auto& vector : vectors) queries.push_back({vector, kNearest, nullptr, std::nullopt});
    const auto answer = engine_->Search(*view, *collection, queries, nullptr);
    ASSERT_TRUE(answer.ok()) << answer.status();
    for (size_t i = 0; i < queries.size(); ++i) {
      Nearest found;
      for (const index::SearchHit& hit : answer->hits[i]) {
        found.emplace_back(hit.distance, hit.version->id());
      }
      ASSERT_EQ(found, BruteForce(*collection, view->n(), vectors[i])) << "at " << view->n();
    }
    ++searches_;
  }

  void AskAround(uint64_t number) {
    asked_ += 3;
    engine_->FindOutcome("writer", std::to_string(number),
                         [this](const absl::StatusOr<WriteResult>&) { ++answered_; });
    engine_->Inspect([](const index::StateMachine& state) { EXPECT_GT(state.MemoryBytes(), 0u); },
                     [this](const absl::Status&) { ++answered_; });
    engine_->WhenPublished(engine_->published_index() + 3, [this](bool) { ++answered_; });
    engine_->CancelWait(engine_->WhenPublished(engine_->published_index() + 3, [](bool) {}));
    const uint64_t searches = searches_;
    EXPECT_GE(engine_->stats().searches, 5 * searches);
    EXPECT_NE(engine_->log_root(), index::Hash{});
    EXPECT_LE(engine_->ListSnapshots().size(), 4u);
  }

  // Calls `act` with 0, 1, 2 and so on until the test is over.
  void Repeat(uint64_t seed, std::function<void(uint64_t, TestRandom&)> act) {
    threads_.emplace_back([this, seed, act = std::move(act)] {
      TestRandom random(seed);
      for (uint64_t i = 0; !done_ && !HasFatalFailure(); ++i) act(i, random);
    });
  }

  void JoinAll() {
    done_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  static constexpr unsigned kSearchers = 2;
  const storage::TemporaryDirectory directory_;
  RecoveryReport report_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::thread> threads_;
  std::atomic<bool> done_{false};
  // Replies that are due, and those that came.
  std::atomic<uint64_t> asked_{0};
  std::atomic<uint64_t> answered_{0};
  std::atomic<uint64_t> writes_in_flight_{0};
  std::atomic<uint64_t> searches_{0};
  std::atomic<uint64_t> snapshots_{0};
};

TEST_F(EngineRaceTest, AnswersExactlyAndRepliesToAllBesideWritesSnapshotsDropsAndTheEnd) {
  for (const std::string actor : {"writer", "another writer"}) {
    Repeat(actor.size(), [this, actor](uint64_t number, TestRandom& random) {
      while (writes_in_flight_ > kWritesInFlightMax && !done_) std::this_thread::yield();
      WriteOne(actor, number, random);
    });
  }
  for (unsigned i = 0; i < kSearchers; ++i) {
    Repeat(100 + i, [this](uint64_t, TestRandom& random) { SearchOnce(random); });
  }
  Repeat(200, [this](uint64_t number, TestRandom&) {
    while (asked_ - answered_ > 4 * kWritesInFlightMax && !done_) std::this_thread::yield();
    AskAround(number);
  });
  while ((searches_ < 500 || snapshots_ < 5) && !HasFatalFailure()) {
    const uint64_t before = snapshots_;
    TakeSnapshot();
    while (snapshots_ == before && !HasFatalFailure()) std::this_thread::yield();
  }
  JoinAll();
  // The engine closes while these, and what the threads left, are under way.
  for (int i = 0; i < 3; ++i) TakeSnapshot();
  engine_.reset();
  EXPECT_EQ(answered_, asked_);

  const auto replayed = ReplayLog(Options(), nullptr);
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  Open();
  EXPECT_TRUE(report_.snapshot_index.has_value());
  EXPECT_EQ(report_.position.state_root, replayed->position.state_root);
  EXPECT_EQ(report_.log_root, replayed->log_root);
}

}  // namespace
}  // namespace stele::server
