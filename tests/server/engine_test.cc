// If this fails, what was acknowledged can be lost, recovered to another state, or answered
// wrongly.
#include "server/engine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "index/quantize.h"
#include "server/offline.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using index::Operation;
using index::OperationKind;
using index::Outcome;

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() /
                 ("stele engine " + std::to_string(::getpid()) + "-" + std::to_string(counter_++));
    fs::remove_all(directory_);
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(directory_);
  }

  EngineOptions Options() {
    EngineOptions options;
    options.data_directory = (directory_ / "data").string();
    options.search_threads = 2;
    options.clock_micros = [this] { return clock_ += 1000; };
    return options;
  }

  void Open() {
    fs::create_directories(directory_);
    engine_.reset();
    report_ = {};
    auto engine = Engine::Open(Options(), &report_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  absl::StatusOr<WriteResult> Write(std::string request_id, std::vector<Operation> operations) {
    WriteTask task;
    task.request_id = std::move(request_id);
    task.actor = "test";
    for (Operation& operation : operations) {
      task.operations.push_back(index::Prepare(std::move(operation)));
    }
    std::promise<absl::StatusOr<WriteResult>> promise;
    engine_->Submit(std::move(task),
                    [&](absl::StatusOr<WriteResult> result) { promise.set_value(result); });
    return promise.get_future().get();
  }

  static Operation Create(std::string name, uint32_t dimension, index::Metric metric) {
    Operation operation;
    operation.kind = OperationKind::kCreateCollection;
    operation.collection = std::move(name);
    operation.config = {dimension, metric, "a test"};
    return operation;
  }

  Operation Upsert(std::string id, std::string document = {}) {
    Operation operation;
    operation.collection = "c";
    operation.id = std::move(id);
    operation.document = std::move(document);
    for (int i = 0; i < 16; ++i) {
      operation.vector.push_back(static_cast<int32_t>(random_() % 200001) - 100000);
    }
    return operation;
  }

  SnapshotInfo Snapshot() {
    std::promise<absl::StatusOr<SnapshotInfo>> promise;
    engine_->CreateSnapshot([&](absl::StatusOr<SnapshotInfo> info) { promise.set_value(info); });
    absl::StatusOr<SnapshotInfo> info = promise.get_future().get();
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? *info : SnapshotInfo{};
  }

  static inline int counter_ = 0;
  fs::path directory_;
  std::mt19937 random_{7};
  int64_t clock_ = 1'700'000'000'000'000;
  RecoveryReport report_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, WritesSurviveReopeningSnapshotAndReplay) {
  Open();
  EXPECT_TRUE(report_.created);
  ASSERT_TRUE(Write("create", {Create("c", 16, index::Metric::kL2)}).ok());
  for (int batch = 0; batch < 20; ++batch) {
    std::vector<Operation> operations;
    for (int i = 0; i < 10; ++i) {
      operations.push_back(Upsert("id" + std::to_string((batch * 7 + i) % 90),
                                  i % 3 == 0 ? "document " + std::to_string(batch) : ""));
    }
    auto result = Write("batch" + std::to_string(batch), std::move(operations));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->commit.outcome, Outcome::kOk);
    if (batch == 10) Snapshot();
  }
  const Position before = engine_->Read(std::nullopt)->position();
  const index::Hash log_root = engine_->log_root();

  Open();
  EXPECT_EQ(report_.snapshot_index, 12u);
  EXPECT_EQ(report_.position.log_index, before.log_index);
  EXPECT_EQ(report_.position.state_root, before.state_root);
  EXPECT_EQ(engine_->log_root(), log_root);
  auto view = engine_->Read(std::nullopt);
  const index::Collection* collection = view->FindCollection("c");
  ASSERT_NE(collection, nullptr);
  int documents = 0;
  for (const auto* node = collection->records().First(); node != nullptr; node = node->Next()) {
    const auto* version = index::FindVisible(node->payload.newest.Get(), view->n());
    if (version->document() == nullptr) continue;
    ++documents;
    auto document = view->ReadDocument(*version->document());
    ASSERT_TRUE(document.ok()) << document.status();
    EXPECT_EQ(document->substr(0, 9), "document ");
  }
  EXPECT_GT(documents, 5);
  view = absl::UnknownError("done");

  engine_.reset();
  auto replayed = ReplayLog(Options(), nullptr);
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_FALSE(replayed->snapshot_index.has_value());
  EXPECT_EQ(replayed->position.state_root, before.state_root);
  EXPECT_EQ(replayed->log_root, log_root);
}

TEST_F(EngineTest, RetriesGetTheFirstReplyAndReuseIsRefused) {
  Open();
  ASSERT_TRUE(Write("create", {Create("c", 16, index::Metric::kL2)}).ok());
  const Operation upsert = Upsert("a");
  auto first = Write("r", {upsert});
  auto again = Write("r", {upsert});
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_FALSE(first->duplicate);
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->position.log_index, first->position.log_index);
  auto reused = Write("r", {Upsert("b")});
  EXPECT_EQ(reused->commit.outcome, Outcome::kRequestIdReused);
  EXPECT_EQ(engine_->published_index(), first->position.log_index);

  Open();
  again = Write("r", {upsert});
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate);
  EXPECT_EQ(again->position.log_index, first->position.log_index);
}

TEST_F(EngineTest, ARestoredSnapshotIsANewLogThatNamesItsParent) {
  Open();
  ASSERT_TRUE(Write("create", {Create("c", 16, index::Metric::kL2)}).ok());
  ASSERT_TRUE(Write("w1", {Upsert("a", "kept document"), Upsert("b")}).ok());
  const SnapshotInfo snapshot = Snapshot();
  ASSERT_TRUE(Write("w2", {Upsert("c")}).ok());
  const std::string path = (directory_ / "data" / "snapshots" / snapshot.file_name).string();
  const storage::LogId parent = engine_->log_id();
  ASSERT_TRUE(VerifySnapshotFile(path).ok());
  engine_.reset();

  EngineOptions options = Options();
  options.data_directory = (directory_ / "restored").string();
  RecoveryReport report;
  const absl::Status restored = RestoreSnapshot(path, options, &report);
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_EQ(report.position.log_index, snapshot.log_index + 1);
  for (int time = 0; time < 2; ++time) {
    auto engine = Engine::Open(options, &(report = {}));
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_NE((*engine)->log_id(), parent);
    EXPECT_EQ((*engine)->base_index(), snapshot.log_index + 1);
    auto view = (*engine)->Read(std::nullopt);
    EXPECT_EQ(view->position().state_root, snapshot.state_root);
    const auto* version = view->FindCollection("c")->Find("a", view->n());
    ASSERT_NE(version, nullptr);
    EXPECT_EQ(*view->ReadDocument(*version->document()), "kept document");
  }
  ASSERT_TRUE(ReplayLog(options, nullptr).ok());
}

TEST_F(EngineTest, SearchEqualsSortingEverything) {
  Open();
  ASSERT_TRUE(Write("create", {Create("c", 16, index::Metric::kL2)}).ok());
  std::vector<Operation> operations;
  for (int i = 0; i < 1000; ++i) operations.push_back(Upsert("id" + std::to_string(i)));
  const std::vector<Operation> records = operations;
  ASSERT_TRUE(Write("w", std::move(operations)).ok());
  const Operation query = Upsert("query");
  std::vector<std::pair<int64_t, std::string>> expected;
  for (const Operation& record : records) {
    int64_t distance = 0;
    for (size_t i = 0; i < 16; ++i) {
      const int64_t difference = int64_t{record.vector[i]} - query.vector[i];
      distance += difference * difference;
    }
    expected.emplace_back(distance, record.id);
  }
  std::sort(expected.begin(), expected.end());
  auto view = engine_->Read(std::nullopt);
  const index::SearchQuery search{query.vector, 25, nullptr, std::nullopt};
  auto answer = engine_->Search(*view, *view->FindCollection("c"), {&search, 1}, nullptr);
  ASSERT_TRUE(answer.ok());
  const std::vector<index::SearchHit>& hits = answer->hits[0];
  ASSERT_EQ(hits.size(), 25u);
  for (size_t i = 0; i < 25; ++i) {
    EXPECT_EQ(hits[i].distance, expected[i].first);
    EXPECT_EQ(hits[i].version->id(), expected[i].second);
  }
}

// A reader of an old index sees the old records, and memory is given back once nobody does.
TEST_F(EngineTest, OldIndicesStayReadableWithinTheHistory) {
  Open();
  ASSERT_TRUE(Write("create", {Create("c", 16, index::Metric::kL2)}).ok());
  ASSERT_TRUE(Write("w0", {Upsert("a"), Upsert("b")}).ok());
  const index::LogIndex then = engine_->published_index();
  Operation gone;
  gone.kind = OperationKind::kDelete;
  gone.collection = "c";
  gone.id = "a";
  ASSERT_TRUE(Write("w1", {gone}).ok());
  auto old_view = engine_->Read(then);
  ASSERT_TRUE(old_view.ok());
  auto new_view = engine_->Read(std::nullopt);
  EXPECT_NE(old_view->FindCollection("c")->Find("a", old_view->n()), nullptr);
  EXPECT_EQ(new_view->FindCollection("c")->Find("a", new_view->n()), nullptr);
  EXPECT_EQ(old_view->FindCollection("c")->StatsAt(old_view->n()).record_count, 2u);
  EXPECT_EQ(new_view->FindCollection("c")->StatsAt(new_view->n()).record_count, 1u);
  EXPECT_EQ(engine_->Read(engine_->published_index() + 1).status().code(),
            absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace stele::server
