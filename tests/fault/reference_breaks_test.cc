// Fourteen ways in which the reference implementation of the paper breaks, as tests that Stele must
// pass; docs/reliability.md numbers them and names those that are elsewhere.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <map>

#include "absl/strings/str_cat.h"
#include "index/kernels.h"
#include "index/quantize.h"
#include "server/offline.h"
#include "server/recovery.h"
#include "tests/fault/world.h"
#include "tests/index/available_kernels.h"
#include "tests/storage/testing.h"

namespace stele::fault {
namespace {

using index::Operation;
using index::OperationKind;
using index::Outcome;

class ReferenceBreaksTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  // Stops the engine, as a server that is terminated, and opens it again.
  server::RecoveryReport Reopen() {
    engine_.reset();
    server::RecoveryReport report;
    auto engine = server::Engine::Open(Options(directory_ / "data", nullptr), &report);
    EXPECT_TRUE(engine.ok()) << engine.status();
    if (engine.ok()) engine_ = *std::move(engine);
    return report;
  }

  index::CommitRecord Write(std::vector<Operation> operations) {
    std::promise<absl::StatusOr<server::WriteResult>> promise;
    engine_->Submit(MakeTask({absl::StrCat(requests_++), std::move(operations)}),
                    [&](absl::StatusOr<server::WriteResult> result) { promise.set_value(result); });
    const auto result = promise.get_future().get();
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->commit : index::CommitRecord();
  }

  static Operation Create(std::string collection, uint32_t dimension) {
    Operation operation;
    operation.kind = OperationKind::kCreateCollection;
    operation.collection = std::move(collection);
    operation.config.dimension = dimension;
    return operation;
  }

  static Operation Upsert(std::string collection, std::string id, std::vector<int32_t> vector,
                          std::string attributes = {}) {
    Operation operation;
    operation.collection = std::move(collection);
    operation.id = std::move(id);
    operation.vector = std::move(vector);
    operation.attributes = std::move(attributes);
    return operation;
  }

  static Operation Delete(std::string collection, std::string id) {
    Operation operation = Upsert(std::move(collection), std::move(id), {});
    operation.kind = OperationKind::kDelete;
    return operation;
  }

  std::vector<std::string> Search(const std::string& collection, std::vector<int32_t> vector,
                                  uint32_t k) {
    const auto view = engine_->Read(std::nullopt);
    const index::SearchQuery query{vector, k, nullptr, std::nullopt};
    const auto answer =
        engine_->Search(*view, *view->FindCollection(collection), {&query, 1}, nullptr);
    std::vector<std::string> ids;
    for (const index::SearchHit& hit : answer->hits[0]) ids.emplace_back(hit.version->id());
    return ids;
  }

  index::Hash Root() { return engine_->Read(std::nullopt)->position().state_root; }

  storage::TemporaryDirectory directory_;
  std::unique_ptr<server::Engine> engine_;
  int requests_ = 0;
};

TEST_F(ReferenceBreaksTest, N02KernelsAgreeWhereItsDiffer) {
  for (const uint32_t dimension : {1u, 7u, 64u, 384u, 1000u}) {
    // Components of 20000 against -20000, and the largest admitted.
    for (const int32_t raw : {20000, 20000 << 8, index::AdmittedBound(dimension) - 1}) {
      if (int64_t{raw} >= index::kComponentLimit) continue;
      const std::vector<int32_t> a(dimension, raw), b(dimension, -raw);
      const int64_t dot = -int64_t{raw} * raw * dimension;
      for (const index::Kernels* const kernels : index::AvailableKernels()) {
        EXPECT_EQ(kernels->dot(a.data(), b.data(), dimension), dot);
        EXPECT_EQ(kernels->squared_l2(a.data(), b.data(), dimension), -4 * dot);
      }
    }
  }
}

TEST_F(ReferenceBreaksTest, N04EveryFieldIsInTheHash) {
  Write({Create("c", 2)});
  std::map<index::Hash, std::string> seen;
  const auto note = [&](const std::string& what) {
    const auto [place, fresh] = seen.try_emplace(Root(), what);
    EXPECT_TRUE(fresh) << what << " hashes like " << place->second;
  };
  note("empty");
  const auto attribute = [](const char* name, int64_t value) {
    return index::EncodeAttributes({{name, index::EncodeInt64(value)}});
  };
  const std::pair<const char*, Operation> records[] = {
      {"a record", Upsert("c", "a", {1, 2})},
      {"another vector", Upsert("c", "a", {1, 3})},
      {"another id", Upsert("c", "b", {1, 2})},
      {"an attribute", Upsert("c", "a", {1, 2}, attribute("n", 1))},
      {"another value", Upsert("c", "a", {1, 2}, attribute("n", 2))},
      {"another name", Upsert("c", "a", {1, 2}, attribute("m", 1))}};
  for (const auto& [what, record] : records) {
    Write({record});
    note(what);
    Write({Delete("c", record.id)});
  }
  Operation with_document = Upsert("c", "a", {1, 2});
  with_document.document = "text";
  Write({with_document});
  note("a document");
  Write({Delete("c", "a")});
  Write({Create("d", 2)});
  note("another collection");
  Write({Upsert("d", "a", {1, 2})});
  note("the record in the other collection");
}

TEST_F(ReferenceBreaksTest, N05SnapshotsAfterDeletes) {
  Write({Create("c", 1)});
  for (const char* const id : {"a", "b", "c", "d"}) Write({Upsert("c", id, {id[0]})});
  Write({Delete("c", "b")});  // not the last
  ASSERT_TRUE(TakeSnapshot(*engine_).ok());
  const index::Hash root = Root();
  EXPECT_TRUE(Reopen().snapshot_index.has_value());
  EXPECT_EQ(Root(), root);
  Write({Delete("c", "d")});  // the last
  ASSERT_TRUE(TakeSnapshot(*engine_).ok());
  Reopen();
  Write({Upsert("c", "e", {'e'})});  // takes nobody's place
  EXPECT_EQ(Search("c", {'a'}, 10), (std::vector<std::string>{"a", "c", "e"}));
  const auto snapshots = engine_->ListSnapshots();
  engine_.reset();
  for (const server::SnapshotInfo& snapshot : snapshots) {
    EXPECT_TRUE(
        server::VerifySnapshotFile(directory_ / ("data/snapshots/" + snapshot.file_name)).ok());
  }
}

TEST_F(ReferenceBreaksTest, N06RefusalsLeaveNothingBehind) {
  Write({Create("c", 2)});
  // A first insert that is refused does not set the dimension; the collection's is its own.
  EXPECT_EQ(Write({Upsert("c", "a", {1, 2, 3})}).outcome, Outcome::kDimensionMismatch);
  EXPECT_EQ(Write({Upsert("c", "a", {})}).outcome, Outcome::kDimensionMismatch);
  EXPECT_EQ(Write({Upsert("c", "a", {1, 2})}).outcome, Outcome::kOk);
  // A second delete changes nothing.
  EXPECT_EQ(Write({Delete("c", "a")}).deleted_count, 1u);
  const index::Hash root = Root();
  const index::CommitRecord again = Write({Delete("c", "a")});
  EXPECT_EQ(again.deleted_count, 0u);
  EXPECT_EQ(again.missing_count, 1u);
  EXPECT_EQ(Root(), root);
  Write({Upsert("c", "b", {1, 1})});
  EXPECT_EQ(Search("c", {0, 0}, 10), (std::vector<std::string>{"b"}));
}

TEST_F(ReferenceBreaksTest, N07SinglesAndBatchesInterleavedReplay) {
  Write({Create("c", 1)});
  for (int32_t round = 0; round < 5; ++round) {
    Write({Upsert("c", absl::StrCat("single ", round), {round})});
    Write({Upsert("c", absl::StrCat("x ", round), {round}),
           Upsert("c", absl::StrCat("y ", round), {round}), Delete("c", "x 0")});
  }
  const index::Hash root = Root();
  Reopen();
  EXPECT_EQ(Root(), root);
  engine_.reset();
  const auto replayed = server::ReplayLog(Options(directory_ / "data", nullptr), nullptr);
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_EQ(replayed->position.state_root, root);
}

TEST_F(ReferenceBreaksTest, N09ALogThatCannotBeOpenedIsAnError) {
  Write({Create("c", 1)});
  engine_.reset();
  std::filesystem::remove(directory_ / "data/FORMAT");
  server::RecoveryReport report;
  const auto engine = server::Engine::Open(Options(directory_ / "data", nullptr), &report);
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(report.created);
}

TEST_F(ReferenceBreaksTest, N11SmallCollectionsGetTheirHits) {
  Write({Create("large", 1)});
  Write({Create("small", 1)});
  std::vector<Operation> many;
  for (int32_t i = 0; i < 1000; ++i) many.push_back(Upsert("large", absl::StrCat("l", i), {i}));
  Write(std::move(many));
  Write({Upsert("small", "s1", {500'000}), Upsert("small", "s2", {600'000})});
  EXPECT_EQ(Search("small", {0}, 2), (std::vector<std::string>{"s1", "s2"}));
}

TEST_F(ReferenceBreaksTest, N12TimesSurviveARestart) {
  Write({Create("c", 1)});
  Write({Upsert("c", "a", {1})});
  const auto timestamp = [&] {
    std::promise<int64_t> promise;
    engine_->Inspect(
        [&](const index::StateMachine& state) { promise.set_value(state.last_timestamp_micros()); },
        [](const absl::Status&) {});
    return promise.get_future().get();
  };
  const int64_t before = timestamp();
  EXPECT_GT(before, 0);
  ASSERT_TRUE(TakeSnapshot(*engine_).ok());
  Reopen();
  EXPECT_EQ(timestamp(), before);
}

}  // namespace
}  // namespace stele::fault
