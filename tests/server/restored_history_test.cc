// If these fail, a log that continues a restored snapshot tells of records' past what it cannot
// know, or not what it knows.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "server/engine.h"
#include "server/offline.h"
#include "server/record_history.h"
#include "server/replay_without.h"
#include "server/state_diff.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using index::Operation;
using index::OperationKind;
using Kind = RecordChange::Kind;

const std::function<bool()> kGoOn = [] { return false; };

class RestoredHistoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele restored " + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    EngineOptions options;
    options.data_directory = (directory_ / "parent").string();
    RecoveryReport report;
    engine_ = Engine::Open(options, &report).value();
    Operation create;
    create.kind = OperationKind::kCreateCollection;
    create.collection = "c";
    create.config = {2, index::Metric::kL2, ""};
    Write({create});
    Write({Make(OperationKind::kUpsert, "a"), Make(OperationKind::kUpsert, "b"),
           Make(OperationKind::kUpsert, "kept"), Make(OperationKind::kUpsert, "gone")});
    std::promise<absl::StatusOr<SnapshotInfo>> taken;
    engine_->CreateSnapshot([&](absl::StatusOr<SnapshotInfo> info) { taken.set_value(info); });
    const SnapshotInfo info = taken.get_future().get().value();
    engine_.reset();
    const std::string path = (directory_ / "parent/snapshots" / info.file_name).string();
    options.data_directory = (directory_ / "restored").string();
    ASSERT_TRUE(RestoreSnapshot(path, options, &report).ok());
    engine_ = Engine::Open(options, &report).value();
    base_ = engine_->base_index();
    ASSERT_EQ(base_, 3u);
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(directory_);
  }

  index::LogIndex Write(std::vector<Operation> operations) {
    WriteTask task;
    task.request_id = std::to_string(++requests_);
    task.actor = "test";
    for (Operation& operation : operations) {
      task.operations.push_back(index::Prepare(std::move(operation)));
    }
    std::promise<absl::StatusOr<WriteResult>> promise;
    engine_->Submit(std::move(task),
                    [&](absl::StatusOr<WriteResult> result) { promise.set_value(result); });
    const auto result = promise.get_future().get();
    EXPECT_TRUE(result.ok()) << result.status();
    return result->commit.index;
  }

  static Operation Make(OperationKind kind, std::string id, int32_t x = 1) {
    Operation operation;
    operation.kind = kind;
    operation.collection = "c";
    operation.id = std::move(id);
    if (kind == OperationKind::kUpsert || kind == OperationKind::kInsert) operation.vector = {x, 2};
    return operation;
  }

  std::vector<Kind> Kinds(const std::string& id) {
    RecordHistory history(&engine_->journal(), "c", id, UINT64_MAX);
    std::vector<Kind> kinds;
    for (;;) {
      const auto change = history.Next();
      EXPECT_TRUE(change.ok()) << change.status();
      if (!change.ok() || !change->has_value()) return kinds;
      kinds.push_back((*change)->kind);
    }
  }

  fs::path directory_;
  std::unique_ptr<Engine> engine_;
  index::LogIndex base_ = 0;
  int requests_ = 0;
};

TEST_F(RestoredHistoryTest, TellsWhatItKnowsAndNoMore) {
  EXPECT_EQ(Kinds("kept"), std::vector<Kind>{});
  Write({Make(OperationKind::kUpdateAttributes, "a")});
  Write({Make(OperationKind::kUpsert, "b", 5)});  // replaced: nothing was inserted
  Write({Make(OperationKind::kUpsert, "new")});   // created: nothing was updated
  Write({Make(OperationKind::kUpsert, "b", 6), Make(OperationKind::kUpsert, "other")});
  Write({Make(OperationKind::kUpsert, "kept", 7), Make(OperationKind::kUpsert, "more")});
  Write({Make(OperationKind::kDelete, "gone")});
  EXPECT_EQ(Kinds("a"), (std::vector<Kind>{Kind::kAttributesUpdated}));
  EXPECT_EQ(Kinds("b"), (std::vector<Kind>{Kind::kReplaced, Kind::kReplaced}));
  EXPECT_EQ(Kinds("new"), (std::vector<Kind>{Kind::kCreated}));
  // One of them was there: which, the log does not tell.
  EXPECT_EQ(Kinds("kept"), (std::vector<Kind>{Kind::kWritten}));
  EXPECT_EQ(Kinds("more"), (std::vector<Kind>{Kind::kWritten}));
  EXPECT_EQ(Kinds("gone"), (std::vector<Kind>{Kind::kDeleted}));

  const auto then = RecordAfter(&engine_->journal(), "c", "a", engine_->published_index());
  ASSERT_TRUE(then.ok() && then->has_value());
  EXPECT_EQ((*then)->content.state, RecordContent::State::kBeforeLog);
  EXPECT_EQ((*RecordAfter(&engine_->journal(), "c", "b", base_ + 2))->content.base->vector,
            (std::vector<int32_t>{5, 2}));
}

TEST_F(RestoredHistoryTest, DifferencesKnowWhatTheEntriesTell) {
  Write({Make(OperationKind::kUpdateAttributes, "a")});
  Write({Make(OperationKind::kUpsert, "new")});
  Write({Make(OperationKind::kUpsert, "kept", 7), Make(OperationKind::kInsert, "more")});
  Write({Make(OperationKind::kDelete, "gone")});
  const auto made =
      CompareStates(engine_->journal(), base_, engine_->published_index(), "c", kGoOn);
  ASSERT_TRUE(made.ok()) << made.status();
  std::vector<std::pair<std::string, DiffKind>> found;
  for (const RecordDifference& record : made->collections.at("c").records) {
    found.push_back({record.id, record.kind});
  }
  EXPECT_EQ(found, (std::vector<std::pair<std::string, DiffKind>>{{"a", DiffKind::kChanged},
                                                                  {"gone", DiffKind::kRemoved},
                                                                  {"kept", DiffKind::kWritten},
                                                                  {"more", DiffKind::kAdded},
                                                                  {"new", DiffKind::kAdded}}));
}

TEST_F(RestoredHistoryTest, AReplayBeginsWithTheSnapshot) {
  const index::LogIndex left_out = Write({Make(OperationKind::kUpsert, "new")});
  Write({Make(OperationKind::kUpsert, "a", 9)});
  for (const bool leave_out : {false, true}) {
    const auto replayed = ReplayWithout(
        *engine_, engine_->published_index(),
        [&](index::LogIndex index, const index::CommandHeader&) {
          return leave_out && index == left_out;
        },
        kGoOn);
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    const bool same =
        replayed->state->state_root() == engine_->Read(std::nullopt)->position().state_root;
    EXPECT_EQ(same, !leave_out);
    EXPECT_EQ(replayed->state->FindCollection("c", engine_->published_index())
                  ->StatsAt(engine_->published_index())
                  .record_count,
              leave_out ? 4u : 5u);
  }
}

}  // namespace
}  // namespace stele::server
