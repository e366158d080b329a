// If these fail, erased content can still be found somewhere in the data directory, an erasure that
// was cut off is forgotten, or what is left no longer gives the roots that were proved.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <sstream>
#include <thread>

#include "server/engine.h"
#include "server/offline.h"
#include "server/recovery.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using index::Operation;
using index::OperationKind;
using index::Outcome;

constexpr size_t kDimension = 32;

// Bytes that no compression shortens and that nothing else holds. Distinct for each place.
struct Needles {
  std::mt19937_64 random{2026};
  std::vector<std::pair<std::string, std::string>> all;  // what it is, bytes

  std::string Bytes(const std::string& what, size_t size) {
    std::string bytes;
    while (bytes.size() < size) bytes += static_cast<char>(random());
    return all.emplace_back(what, bytes).second;
  }
  // As text, so that it may stand in a string.
  std::string Text(const std::string& what) {
    std::string text;
    while (text.size() < 40) text += static_cast<char>('a' + random() % 26);
    return all.emplace_back(what, text).second;
  }
  std::vector<int32_t> Vector(const std::string& what) {
    std::vector<int32_t> vector;
    for (size_t i = 0; i < kDimension; ++i) {
      vector.push_back(static_cast<int32_t>(random() % (1 << 24)) - (1 << 23));
    }
    all.emplace_back(what, std::string(reinterpret_cast<const char*>(vector.data()), 16));
    return vector;
  }
};

class ErasureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static int counter = 0;
    directory_ = fs::temp_directory_path() /
                 ("stele erasure " + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(directory_);
  }

  EngineOptions Options(const std::string& name) {
    EngineOptions options;
    options.data_directory = (directory_ / name).string();
    options.search_threads = 1;
    return options;
  }
  void Open(const std::string& name = "data") {
    engine_.reset();
    report_ = {};
    auto engine = Engine::Open(Options(name), &report_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  absl::StatusOr<WriteResult> Submit(std::string request_id, std::vector<Operation> operations) {
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
  WriteResult Write(Operation operation) {
    auto result = Submit("r" + std::to_string(requests_++), {std::move(operation)});
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : WriteResult{};
  }

  static Operation Of(OperationKind kind, std::string id, std::string collection = "c") {
    Operation operation;
    operation.kind = kind;
    operation.collection = std::move(collection);
    operation.id = std::move(id);
    operation.salted = index::TakesSalt(kind) || kind == OperationKind::kEraseByFilter;
    if (operation.salted) operation.salt = RandomSalt();
    return operation;
  }
  void Create(const std::string& name = "c") {
    Operation create;
    create.kind = OperationKind::kCreateCollection;
    create.collection = name;
    create.config = {kDimension, index::Metric::kL2, "", index::ReceiptPolicy::kOff, true};
    Write(create);
  }
  Operation Upsert(const std::string& id, const std::string& what) {
    Operation upsert = Of(OperationKind::kUpsert, id);
    upsert.vector = needles_.Vector(what + " vector");
    upsert.attributes = index::EncodeAttributes(
        {{"mail", *index::EncodeString(needles_.Text(what + " attribute"))}});
    upsert.document = needles_.Bytes(what + " document", 3000);
    needles_.all.emplace_back(what + " salt", std::string(index::AsBytes(upsert.salt)));
    return upsert;
  }
  static index::Filter Mail(const std::string& text) {
    index::Filter filter;
    filter.kind = index::Filter::Kind::kCondition;
    filter.test = index::Filter::Test::kEquals;
    filter.attribute = "mail";
    filter.literals = {*index::EncodeString(text)};
    return filter;
  }
  // Records that stay.
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      Operation upsert = Of(OperationKind::kUpsert, "other" + std::to_string(i));
      upsert.vector.assign(kDimension, i + 1);
      upsert.document = "kept document " + std::to_string(i);
      EXPECT_EQ(Write(upsert).commit.outcome, Outcome::kOk);
    }
  }
  // All that may be written of a record: versions, updates, a refused write, filters.
  void WriteNeedles() {
    Write(Upsert("x", "first"));
    Write(Upsert("x", "second"));
    Operation update = Of(OperationKind::kUpdateAttributes, "x");
    update.attributes =
        index::EncodeAttributes({{"note", *index::EncodeString(needles_.Text("update"))}});
    Write(update);
    Operation refused = Upsert("x", "refused");
    refused.kind = OperationKind::kInsert;
    EXPECT_EQ(Write(refused).commit.outcome, Outcome::kRecordExists);
    Operation by_filter = Of(OperationKind::kDeleteByFilter, "");
    by_filter.limit = 5;
    by_filter.filter = Mail(needles_.Text("filter literal"));
    Write(by_filter);
  }

  SnapshotInfo Snapshot() {
    std::promise<absl::StatusOr<SnapshotInfo>> promise;
    engine_->CreateSnapshot([&](absl::StatusOr<SnapshotInfo> info) { promise.set_value(info); });
    absl::StatusOr<SnapshotInfo> info = promise.get_future().get();
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? *info : SnapshotInfo{};
  }

  // Until the entry that says so. False where it never comes.
  bool WaitUntilDestroyed(index::LogIndex entry) {
    for (int i = 0; i < 6000; ++i) {
      const Engine::ErasureState state = engine_->FindErasure(entry);
      if (!state.pending) return true;
      if (!state.error.ok()) ADD_FAILURE() << state.error;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  // What of the needles the files of a data directory hold.
  std::set<std::string> Found(const std::string& name = "data") {
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / name)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      std::ostringstream stream;
      stream << file.rdbuf();
      const std::string bytes = stream.str();
      for (const auto& [what, needle] : needles_.all) {
        // A piece of it is as good as the whole.
        for (size_t at = 0; at + 16 <= needle.size(); at += 16) {
          if (bytes.find(needle.substr(at, 16)) == std::string::npos) continue;
          found.insert(what + " in " + entry.path().filename().string());
          break;
        }
      }
    }
    return found;
  }

  void ExpectVerifies(const std::string& name, const WriteResult& newest) {
    engine_.reset();
    const auto verified = VerifyDataDirectory(Options(name), nullptr);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->replay.position.state_root, newest.position.state_root);
    EXPECT_GT(verified->replay.given_effects, 0u);
  }

  fs::path directory_;
  std::unique_ptr<Engine> engine_;
  RecoveryReport report_;
  Needles needles_;
  int requests_ = 0;
};

TEST_F(ErasureTest, NothingOfARecordIsLeftOnDisk) {
  Open();
  Create();
  Fill(50);
  WriteNeedles();
  const SnapshotInfo snapshot = Snapshot();
  Fill(50);
  // The search sees what is there.
  const std::set<std::string> before = Found();
  for (const auto& [what, needle] : needles_.all) {
    const bool seen = std::any_of(before.begin(), before.end(), [&, w = what](const auto& f) {
      return f.starts_with(w + " in ");
    });
    EXPECT_TRUE(seen) << what << " is not on disk to begin with";
  }
  const WriteResult erased = Write(Of(OperationKind::kErase, "x"));
  ASSERT_EQ(erased.commit.outcome, Outcome::kOk);
  EXPECT_EQ(erased.commit.deleted_count, 1u);
  ASSERT_TRUE(WaitUntilDestroyed(erased.commit.index));
  EXPECT_EQ(Found(), std::set<std::string>());
  // What was taken before is still what it was, and so is its hash.
  const auto infos = engine_->ListSnapshots();
  ASSERT_FALSE(infos.empty());
  EXPECT_EQ(infos.back().snapshot_hash, snapshot.snapshot_hash);
  EXPECT_TRUE(
      VerifySnapshotFile((directory_ / "data/snapshots" / snapshot.file_name).string()).ok());
  EXPECT_EQ(engine_->history_index(), erased.commit.index);
  ExpectVerifies("data", erased);
  Open();
  EXPECT_EQ(report_.position.state_root, erased.position.state_root);
  const auto view = engine_->Read(std::nullopt);
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->FindCollection("c")->StatsAt(view->n()).record_count, 50u);
  const auto kept = view->FindCollection("c")->Find("other7", view->n());
  EXPECT_EQ(*view->ReadDocument(*kept->document()), "kept document 7");
  EXPECT_EQ(Found(), std::set<std::string>());
}

TEST_F(ErasureTest, ByFilterTooAndWhatWasDeletedBefore) {
  Open();
  Create();
  WriteNeedles();
  Operation upsert = Of(OperationKind::kUpsert, "y");
  upsert.vector = needles_.Vector("y vector");
  const std::string mail = needles_.Text("y attribute");
  upsert.attributes = index::EncodeAttributes({{"mail", *index::EncodeString(mail)}});
  Write(upsert);
  Write(Of(OperationKind::kDelete, "x"));
  Fill(3);
  const WriteResult deleted = Write(Of(OperationKind::kErase, "x"));
  EXPECT_EQ(deleted.commit.missing_count, 1u) << "it had been deleted: its past goes all the same";
  Operation by_filter = Of(OperationKind::kEraseByFilter, "");
  by_filter.limit = 10;
  by_filter.filter = Mail(mail);
  const WriteResult erased = Write(by_filter);
  EXPECT_EQ(erased.commit.deleted_count, 1u);
  ASSERT_TRUE(WaitUntilDestroyed(deleted.commit.index));
  ASSERT_TRUE(WaitUntilDestroyed(erased.commit.index));
  EXPECT_EQ(Found(), std::set<std::string>());
  ExpectVerifies("data", erased);
}

// Erasures that are done together mean what was written before each, not what came after.
TEST_F(ErasureTest, WhatIsWrittenAfterAnErasureStays) {
  Open();
  Create();
  Write(Upsert("x", "old x"));
  Write(Upsert("y", "old y"));
  WriteResult first, second;
  {
    // Nothing is destroyed while somebody reads, so both wait for the next start.
    auto read = engine_->Read(std::nullopt);
    ASSERT_TRUE(read.ok());
    std::optional<ReadView> view(*std::move(read));
    first = Write(Of(OperationKind::kErase, "x"));
    Operation upsert = Of(OperationKind::kUpsert, "x");
    upsert.vector.assign(kDimension, 77);
    upsert.document = "new document of x";
    Write(upsert);
    Snapshot();
    second = Write(Of(OperationKind::kErase, "y"));
    EXPECT_TRUE(engine_->FindErasure(first.commit.index).pending);
    view.reset();
    engine_.reset();
  }
  EXPECT_FALSE(Found().empty());
  Open();
  ASSERT_TRUE(WaitUntilDestroyed(first.commit.index));
  ASSERT_TRUE(WaitUntilDestroyed(second.commit.index));
  EXPECT_EQ(Found(), std::set<std::string>());
  const auto view = engine_->Read(std::nullopt);
  const index::RecordVersion* x = view->FindCollection("c")->Find("x", view->n());
  ASSERT_NE(x, nullptr);
  ASSERT_FALSE(x->erased());
  EXPECT_EQ(*view->ReadDocument(*x->document()), "new document of x");
  EXPECT_EQ(view->FindCollection("c")->vectors().Row(x->slot()),
            std::vector<int32_t>(kDimension, 77));
}

TEST_F(ErasureTest, AnErasureWithoutAnErasableCollectionIsRefused) {
  Open();
  Operation create;
  create.kind = OperationKind::kCreateCollection;
  create.collection = "plain";
  create.config = {kDimension, index::Metric::kL2, ""};
  Write(create);
  EXPECT_EQ(Write(Of(OperationKind::kErase, "x", "plain")).commit.outcome, Outcome::kNotErasable);
  Operation upsert = Of(OperationKind::kUpsert, "x", "plain");
  upsert.vector.assign(kDimension, 1);
  EXPECT_EQ(Write(upsert).commit.outcome, Outcome::kOptionsMismatch);
  upsert.salted = false;
  upsert.salt = {};
  EXPECT_EQ(Write(upsert).commit.outcome, Outcome::kOk);
  EXPECT_EQ(engine_->stats().pending_erasures, 0u);
}

// A retry has other salts and is the same request; also when nothing is left to compare with.
TEST_F(ErasureTest, ARetryGetsTheFirstReplyWhateverItsSalt) {
  Open();
  Create();
  Operation upsert = Upsert("x", "retried");
  const auto first = Submit("same", {upsert});
  ASSERT_TRUE(first.ok());
  upsert.salt = RandomSalt();
  for (const bool erased : {false, true}) {
    const auto again = Submit("same", {upsert});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->duplicate) << erased;
    EXPECT_EQ(again->commit.index, first->commit.index);
    Operation other = upsert;
    other.id = "z";
    EXPECT_EQ(Submit("same", {other})->commit.outcome, Outcome::kRequestIdReused);
    other = upsert;
    other.document = "other";
    EXPECT_EQ(Submit("same", {other})->commit.outcome,
              erased ? Outcome::kOk : Outcome::kRequestIdReused);
    if (erased) break;
    ASSERT_TRUE(WaitUntilDestroyed(Write(Of(OperationKind::kErase, "x")).commit.index));
  }
}

// A log that continues a snapshot carries the documents of records from before.
TEST_F(ErasureTest, ARestoredLogLosesWhatItCarries) {
  Open();
  Create();
  WriteNeedles();
  Fill(5);
  const SnapshotInfo snapshot = Snapshot();
  engine_.reset();
  RecoveryReport report;
  const std::string file = (directory_ / "data/snapshots" / snapshot.file_name).string();
  ASSERT_TRUE(RestoreSnapshot(file, Options("restored"), &report).ok());
  EXPECT_FALSE(Found("restored").empty());
  Open("restored");
  const WriteResult erased = Write(Of(OperationKind::kErase, "x"));
  EXPECT_EQ(erased.commit.deleted_count, 1u);
  ASSERT_TRUE(WaitUntilDestroyed(erased.commit.index));
  EXPECT_EQ(Found("restored"), std::set<std::string>());
  engine_.reset();
  const auto verified = VerifyDataDirectory(Options("restored"), nullptr);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->replay.position.state_root, erased.position.state_root);
  // From what is left nothing can be restored that would be missing its content.
  const std::string scrubbed = (directory_ / "restored/snapshots" / snapshot.file_name).string();
  EXPECT_EQ(RestoreSnapshot(scrubbed, Options("again"), &report).code(),
            absl::StatusCode::kFailedPrecondition);
}

// The process is killed again and again, at random moments of the destruction; whoever opens the
// directory next goes on with it.
TEST_F(ErasureTest, AnErasureSurvivesKills) {
  Open();
  Create();
  Fill(200);
  WriteNeedles();
  Snapshot();
  Fill(200);
  engine_.reset();
  std::mt19937 random(7);
  WriteResult erased;
  for (int kill = 0; kill < 12; ++kill) {
    const pid_t child = fork();
    if (child == 0) {
      RecoveryReport report;
      auto engine = Engine::Open(Options("data"), &report);
      if (!engine.ok()) _exit(3);
      if (kill == 0) {
        WriteTask task;
        task.request_id = "erase";
        task.actor = "test";
        task.operations.push_back(index::Prepare(Of(OperationKind::kErase, "x")));
        std::promise<void> promise;
        (*engine)->Submit(std::move(task),
                          [&](const absl::StatusOr<WriteResult>&) { promise.set_value(); });
        promise.get_future().get();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
      ::kill(getpid(), SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the directory could not be opened after " << kill;
    random.discard(1);
  }
  Open();
  const auto again = Submit("erase", {Of(OperationKind::kErase, "x")});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->duplicate);
  ASSERT_TRUE(WaitUntilDestroyed(again->commit.index));
  EXPECT_EQ(Found(), std::set<std::string>());
  ExpectVerifies("data", *again);
}

}  // namespace
}  // namespace stele::server
