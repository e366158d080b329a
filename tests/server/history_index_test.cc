// If these fail, a record's history is not all there, or names entries that did not touch it.
#include "server/history_index.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <future>

#include "server/engine.h"
#include "server/offline.h"
#include "server/record_history.h"
#include "storage/row_db.h"
#include "storage/rows.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using index::Effect;
using index::Operation;
using index::OperationKind;
using Indices = std::vector<uint64_t>;

index::Hash HashOf(uint8_t first) {
  index::Hash hash{};
  hash[0] = first;
  return hash;
}

TEST(HistoryOfTest, RecordsAndCollectionsThatChangedThemselves) {
  const Effect a{Effect::Kind::kRecord, HashOf(1), HashOf(9)};
  const Effect b{Effect::Kind::kRecord, HashOf(2), index::kZeroHash};
  const Effect changed{Effect::Kind::kCollection, HashOf(3), HashOf(9)};
  const Effect dropped{Effect::Kind::kCollection, HashOf(4), index::kZeroHash};
  const auto effects_of = [](const std::vector<Effect>& effects) {
    std::vector<uint32_t> places;
    for (const storage::HistoryWrite& write : HistoryOf(effects)) {
      EXPECT_EQ(write.key, HistoryKeyOf(effects[write.effect].key));
      places.push_back(write.effect);
    }
    return places;
  };
  EXPECT_EQ(effects_of({}), std::vector<uint32_t>{});
  EXPECT_EQ(effects_of({a, b, changed}), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(effects_of({changed}), (std::vector<uint32_t>{0}));
  EXPECT_EQ(effects_of({a, changed, dropped}), (std::vector<uint32_t>{0, 2}));
}

class HistoryIndexTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele history " + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(directory_);
  }

  void Open() {
    engine_.reset();
    EngineOptions options;
    options.data_directory = (directory_ / "data").string();
    RecoveryReport report;
    auto engine = Engine::Open(options, &report);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  void Write(std::vector<Operation> operations) {
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
    ASSERT_TRUE(result.ok()) << result.status();
  }

  static Operation Make(OperationKind kind, std::string id = {}) {
    Operation operation;
    operation.kind = kind;
    operation.collection = "c";
    operation.id = std::move(id);
    if (kind == OperationKind::kCreateCollection) operation.config = {2, index::Metric::kL2, ""};
    if (kind == OperationKind::kUpsert) operation.vector = {1, 2};
    if (kind == OperationKind::kDeleteByFilter) operation.limit = 10;
    return operation;
  }

  Indices History(const index::Hash& key) {
    Indices indices;
    const absl::Status status = engine_->journal().ScanHistory(
        HistoryKeyOf(key), UINT64_MAX, [&](uint64_t index, uint32_t effect) {
          const auto row = index::DecodeEntryRow(*engine_->journal().ReadEntry(index));
          EXPECT_EQ(index::DecodeEffects(row->effects)->at(effect).key, key);
          indices.push_back(index);
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return indices;
  }

  void ExpectWhole() {
    EXPECT_EQ(History(index::RecordKey("c", "a")), (Indices{8, 7, 4, 3, 2}));
    EXPECT_EQ(History(index::RecordKey("c", "b")), (Indices{8, 3}));
    EXPECT_EQ(History(index::RecordKey("c", "none")), Indices{});
    EXPECT_EQ(History(index::CollectionKey("c")), (Indices{10, 9, 1}));
  }

  // Entries 1 to 10; the deletion in 5 finds nothing, and 6 is refused.
  void WriteAll() {
    Write({Make(OperationKind::kCreateCollection)});
    Write({Make(OperationKind::kUpsert, "a")});
    Write({Make(OperationKind::kUpsert, "b"), Make(OperationKind::kUpsert, "a")});
    Write({Make(OperationKind::kDelete, "none"), Make(OperationKind::kDelete, "a")});
    Write({Make(OperationKind::kDelete, "none")});
    Write({Make(OperationKind::kCreateCollection)});
    Write({Make(OperationKind::kUpsert, "a")});
    Write({Make(OperationKind::kDeleteByFilter)});
    Write({Make(OperationKind::kDropCollection)});
    Write({Make(OperationKind::kCreateCollection)});
  }

  // Changes the database behind the journal's back.
  void Behind(const std::function<rocksdb::Status(storage::RowDb&)>& change) {
    engine_.reset();
    auto rows = storage::RowDb::Open((directory_ / "data/journal").string(), nullptr,
                                     storage::RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_TRUE(change(**rows).ok());
  }

  fs::path directory_;
  std::unique_ptr<Engine> engine_;
  int requests_ = 0;
};

TEST_F(HistoryIndexTest, NamesEveryEntryThatTouchedTheKey) {
  Open();
  WriteAll();
  ExpectWhole();
  Open();
  ExpectWhole();
}

// What is missing far from the end is found by verification.
TEST_F(HistoryIndexTest, VerificationLooksForEveryRow) {
  Open();
  WriteAll();
  EXPECT_TRUE(VerifyHistory(engine_->journal()).ok());
  Behind([](storage::RowDb& rows) {
    const auto key = storage::EncodeHistoryKey(HistoryKeyOf(index::RecordKey("c", "b")), 3);
    return rows.db().Delete({}, rows.history(), {key.data(), key.size()});
  });
  EngineOptions options;
  options.data_directory = (directory_ / "data").string();
  const auto verified = VerifyDataDirectory(options, nullptr);
  EXPECT_TRUE(absl::IsDataLoss(verified.status())) << verified.status();
  EXPECT_EQ(verified.status().message().find("entry 3:"), 0u);
}

TEST_F(HistoryIndexTest, ADirectoryWithoutTheFamilyGetsItsRows) {
  Open();
  WriteAll();
  Behind([](storage::RowDb& rows) { return rows.db().DropColumnFamily(rows.history()); });
  Open();
  ExpectWhole();
}

// An item that is no operation any more: its content has been destroyed, and the rest is told.
TEST_F(HistoryIndexTest, ErasedContentIsToldAsErased) {
  Open();
  WriteAll();
  const storage::LogId log_id = engine_->log_id();
  Behind([&](storage::RowDb& rows) {
    const std::string stub = "\x81";
    const auto header = storage::EncodeItemHeader(log_id, 3, 1, stub);
    const auto key = storage::EncodeItemKey(3, 1);
    return rows.db().Put({}, rows.items(), {key.data(), key.size()},
                         std::string(header.data(), header.size()) + stub);
  });
  storage::Journal::Options options;
  options.directory = (directory_ / "data").string();
  options.read_only = true;
  const auto journal = storage::Journal::Open(options, 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  RecordHistory history(journal->get(), "c", "a", 7);
  std::vector<RecordChange> changes;
  for (;;) {
    auto change = history.Next();
    ASSERT_TRUE(change.ok()) << change.status();
    if (!change->has_value()) break;
    changes.push_back(**std::move(change));
  }
  ASSERT_EQ(changes.size(), 4u);
  EXPECT_EQ(changes[2].index, 3u);
  EXPECT_EQ(changes[2].operation, nullptr);
  EXPECT_TRUE(changes[2].commitment.has_value());
  EXPECT_EQ(changes[2].actor, "test");
  EXPECT_EQ((*RecordAfter(journal->get(), "c", "a", 3))->content.state,
            RecordContent::State::kErased);
  EXPECT_EQ((*RecordAfter(journal->get(), "c", "a", 2))->content.state,
            RecordContent::State::kGiven);
  // The other record of that entry is as it was.
  EXPECT_EQ((*RecordAfter(journal->get(), "c", "b", 3))->content.state,
            RecordContent::State::kGiven);
}

TEST_F(HistoryIndexTest, MissingRowsAreWrittenAnew) {
  Open();
  WriteAll();
  Behind([](storage::RowDb& rows) {
    rocksdb::Status status;
    for (const uint64_t index : {2, 3, 8}) {
      const auto key = storage::EncodeHistoryKey(HistoryKeyOf(index::RecordKey("c", "a")), index);
      if (status.ok()) status = rows.db().Delete({}, rows.history(), {key.data(), key.size()});
    }
    return status;
  });
  Open();
  ExpectWhole();
}

}  // namespace
}  // namespace stele::server
