// If this failed, the server could sign a log that is not the one on its disk, or one that does not
// begin with what it signed before, or give out proofs that do not hold.
#include "server/checkpointer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include "index/commit_record.h"
#include "index/log_proof.h"
#include "server/offline.h"
#include "storage/row_db.h"
#include "storage/rows.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;

class CheckpointerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele checkpointer " + std::to_string(::getpid()) +
                                              "-" + std::to_string(counter_++));
    fs::create_directories(directory_);
    data_ = (directory_ / "data").string();
  }
  void TearDown() override {
    Close();
    fs::remove_all(directory_);
  }
  void Close() {
    checkpointer_.reset();
    engine_.reset();
  }
  void OpenEngine() {
    Close();
    EngineOptions options;
    options.data_directory = data_;
    options.search_threads = 1;
    RecoveryReport report;
    auto engine = Engine::Open(options, &report);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  absl::Status OpenCheckpointer(uint64_t entries = 0) {
    Checkpointer::Options options;
    options.data_directory = data_;
    options.entries = entries;
    auto made = Checkpointer::Open(engine_.get(), options);
    if (made.ok()) checkpointer_ = *std::move(made);
    return made.status();
  }
  void Open() {
    OpenEngine();
    const absl::Status status = OpenCheckpointer();
    ASSERT_TRUE(status.ok()) << status;
  }
  // Logs `count` entries; refused ones are entries, too.
  void Write(int count) {
    std::vector<std::promise<absl::Status>> promises(static_cast<size_t>(count));
    for (auto& promise : promises) {
      index::Operation operation;
      operation.kind = index::OperationKind::kDelete;
      operation.collection = "none";
      operation.id = "x";
      WriteTask task;
      task.request_id = "r" + std::to_string(next_request_++);
      task.actor = "test";
      task.operations.push_back(index::Prepare(std::move(operation)));
      engine_->Submit(std::move(task), [&promise](absl::StatusOr<WriteResult> result) {
        promise.set_value(result.status());
      });
    }
    for (auto& promise : promises) ASSERT_TRUE(promise.get_future().get().ok());
  }
  uint64_t Size() const { return engine_->published_index() + 1; }

  static inline int counter_ = 0;
  fs::path directory_;
  std::string data_;
  int next_request_ = 0;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Checkpointer> checkpointer_;
};

TEST_F(CheckpointerTest, SignsTheNewestEntryAndTheSamePastAlways) {
  Open();
  std::vector<SignedCheckpoint> made;
  for (int round = 0; round < 40; ++round) {
    const auto checkpoint = checkpointer_->Make();
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->checkpoint.size, Size());
    EXPECT_EQ(checkpoint->checkpoint.root, engine_->log_root());
    EXPECT_TRUE(ReadCheckpoint(checkpoint->note, checkpointer_->key()).ok());
    made.push_back(*checkpoint);
    Write(7);
  }
  Open();
  ASSERT_TRUE(checkpointer_->Make().ok());
  for (const SignedCheckpoint& before : made) {
    const auto again = checkpointer_->Make(before.checkpoint.size);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->note, before.note);
  }
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->Make(Size() + 1).status()));
}

TEST_F(CheckpointerTest, ProofsHoldForEveryEntryAndEverySize) {
  Open();
  Write(300);
  const auto newest = checkpointer_->Make();
  ASSERT_TRUE(newest.ok());
  for (uint64_t i = 0; i < Size(); i += 3) {
    const auto proof = checkpointer_->ProveEntry(i);
    ASSERT_TRUE(proof.ok()) << proof.status();
    EXPECT_EQ(proof->checkpoint.note, newest->note);
    EXPECT_EQ(index::DecodeCommitRecord(proof->commit_record)->index, i);
    EXPECT_TRUE(index::VerifyInclusion(i, newest->checkpoint.size,
                                       index::LogLeaf(proof->commit_record), proof->hashes,
                                       newest->checkpoint.root));
    const auto older = checkpointer_->ProveEntry(i, i + 1);
    ASSERT_TRUE(older.ok()) << older.status();
    EXPECT_EQ(older->checkpoint.checkpoint.size, i + 1);
    const auto consistency = checkpointer_->ProveConsistency(i + 1);
    ASSERT_TRUE(consistency.ok()) << consistency.status();
    EXPECT_TRUE(index::VerifyConsistency(i + 1, newest->checkpoint.size, consistency->hashes,
                                         older->checkpoint.checkpoint.root,
                                         newest->checkpoint.root));
  }
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveEntry(Size()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveEntry(5, 5).status()));
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveConsistency(0).status()));
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveConsistency(Size() + 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveConsistency(9, 8).status()));
  // An entry newer than what was signed is signed first.
  Write(1);
  const auto fresh = checkpointer_->ProveEntry(Size() - 1);
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh->checkpoint.checkpoint.size, Size());
}

TEST_F(CheckpointerTest, SignsByItselfAfterSoManyEntries) {
  OpenEngine();
  ASSERT_TRUE(OpenCheckpointer(10).ok());
  Write(25);
  for (int i = 0; i < 600 && checkpointer_->Last().checkpoint.size != Size(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(checkpointer_->Last().checkpoint.size, Size());
}

TEST_F(CheckpointerTest, AnOlderLogUnderANewerCheckpointIsRefused) {
  Open();
  Write(20);
  ASSERT_TRUE(checkpointer_->Make().ok());
  Close();
  fs::copy(data_, directory_ / "old", fs::copy_options::recursive);
  Open();
  Write(20);
  ASSERT_TRUE(checkpointer_->Make().ok());
  Close();
  fs::copy_file(fs::path(data_) / "checkpoint", directory_ / "newer");
  fs::remove_all(data_);
  fs::copy(directory_ / "old", data_, fs::copy_options::recursive);
  fs::copy_file(directory_ / "newer", fs::path(data_) / "checkpoint",
                fs::copy_options::overwrite_existing);
  OpenEngine();
  const absl::Status shorter = OpenCheckpointer();
  EXPECT_TRUE(absl::IsDataLoss(shorter)) << shorter;
  // As long, and another one.
  Write(30);
  const absl::Status forked = OpenCheckpointer();
  EXPECT_TRUE(absl::IsDataLoss(forked)) << forked;
  EXPECT_NE(forked.message().find("past was changed"), std::string::npos) << forked;
}

TEST_F(CheckpointerTest, EveryByteOfTheLastCheckpointCounts) {
  Open();
  Write(3);
  ASSERT_TRUE(checkpointer_->Make().ok());
  checkpointer_.reset();
  const std::string path = data_ + "/checkpoint";
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  // The signature's key id or name: then it is of an unknown key, and the log itself is compared.
  const size_t text_end = bytes.find("\n\n") + 1;
  for (size_t i = 0; i < text_end; ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << changed;
    EXPECT_TRUE(absl::IsDataLoss(OpenCheckpointer())) << "byte " << i;
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  EXPECT_TRUE(OpenCheckpointer().ok());
}

TEST_F(CheckpointerTest, ARestoredLogProvesWhatItHolds) {
  Open();
  Write(29);
  std::promise<absl::StatusOr<SnapshotInfo>> promise;
  engine_->CreateSnapshot([&](absl::StatusOr<SnapshotInfo> info) { promise.set_value(info); });
  const auto snapshot = promise.get_future().get();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  Close();
  const std::string file = data_ + "/snapshots/" + snapshot->file_name;
  data_ = (directory_ / "restored").string();
  EngineOptions options;
  options.data_directory = data_;
  RecoveryReport report;
  const absl::Status restored = RestoreSnapshot(file, options, &report);
  ASSERT_TRUE(restored.ok()) << restored;
  Open();
  const uint64_t base = engine_->base_index();
  ASSERT_EQ(base, snapshot->log_index + 1);
  Write(70);
  for (uint64_t i = base; i < Size(); ++i) {
    const auto proof = checkpointer_->ProveEntry(i);
    ASSERT_TRUE(proof.ok()) << i << ": " << proof.status();
  }
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveEntry(base - 1).status()));
  EXPECT_TRUE(checkpointer_->ProveConsistency(base).ok());
  EXPECT_TRUE(absl::IsOutOfRange(checkpointer_->ProveConsistency(base - 1).status()));
  EXPECT_EQ(checkpointer_->Make(base)->checkpoint.root, snapshot->log_root);
  Open();
  EXPECT_TRUE(checkpointer_->ProveEntry(Size() - 1).ok());
}

// Valid rows with other nodes in them, and rows that are gone.
TEST_F(CheckpointerTest, TilesThatLieAreNoticedAndMissingOnesAreMadeAgain) {
  Open();
  Write(600);
  ASSERT_TRUE(checkpointer_->Make().ok());
  Close();
  const auto rewrite = [&](uint64_t last_leaf, const std::string& bytes) {
    storage::Journal::Options options;
    options.directory = data_;
    auto journal = storage::Journal::Open(options, 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    const storage::TileRow row{last_leaf, {0, bytes}};
    ASSERT_TRUE((*journal)->WriteTiles({&row, 1}).ok());
  };
  // An old tile: the newest root does not come through it, proofs do.
  rewrite(31, std::string(512, 'x'));
  Open();
  EXPECT_TRUE(checkpointer_->ProveEntry(5).ok());
  EXPECT_TRUE(absl::IsDataLoss(checkpointer_->ProveEntry(20).status()));
  EXPECT_TRUE(absl::IsDataLoss(checkpointer_->Make(24).status()));
  // One of another size is as good as none: it is computed from the entries.
  Close();
  rewrite(31, "short");
  Open();
  for (const uint64_t i : {16u, 20u, 31u}) EXPECT_TRUE(checkpointer_->ProveEntry(i).ok()) << i;
  EXPECT_TRUE(checkpointer_->Make(24).ok());
  // One that the newest root comes through: all are made anew at the start.
  Close();
  rewrite(591, std::string(512, 'y'));
  Open();
  for (uint64_t i = 0; i < Size(); i += 5) EXPECT_TRUE(checkpointer_->ProveEntry(i).ok()) << i;
  // All of them gone, as in a directory that is older than tiles.
  Close();
  {
    auto rows = storage::RowDb::Open(data_ + "/journal", nullptr, storage::RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok());
    ASSERT_TRUE((*rows)->db().DropColumnFamily((*rows)->tiles()).ok());
  }
  Open();
  for (uint64_t i = 0; i < Size(); i += 5) EXPECT_TRUE(checkpointer_->ProveEntry(i).ok()) << i;
  EXPECT_EQ(checkpointer_->Make()->checkpoint.root, engine_->log_root());
  EXPECT_EQ(engine_->journal().LastTileLeaf()->value(), Size() / 16 * 16 - 1);
}

// An entry with a valid checksum, under the last snapshot, so that recovery does not apply it: its
// commit record is of its command, and not the one that was logged.
TEST_F(CheckpointerTest, AChangedEntryIsNeverSigned) {
  Open();
  Write(40);
  std::promise<absl::StatusOr<SnapshotInfo>> promise;
  engine_->CreateSnapshot([&](absl::StatusOr<SnapshotInfo> info) { promise.set_value(info); });
  ASSERT_TRUE(promise.get_future().get().ok());
  const std::string bytes = *engine_->journal().ReadEntry(20);
  const storage::LogId log_id = engine_->log_id();
  Close();
  auto row = index::DecodeEntryRow(bytes);
  auto commit = index::DecodeCommitRecord(row->commit);
  commit->missing_count += 1;
  row->commit = index::EncodeCommitRecord(*commit);
  const std::string changed = index::EncodeEntryRow(*row);
  {
    auto rows = storage::RowDb::Open(data_ + "/journal", nullptr, storage::RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok());
    const auto key = storage::EncodeEntryKey(20);
    const auto header = storage::EncodeEntryHeader(log_id, 20, 1, changed);
    const std::string value = std::string(header.data(), header.size()) + changed;
    ASSERT_TRUE((*rows)
                    ->db()
                    .Put({}, (*rows)->entries(), rocksdb::Slice(key.data(), key.size()), value)
                    .ok());
  }
  Open();
  for (const uint64_t size : {uint64_t{0}, uint64_t{21}, uint64_t{25}, Size()}) {
    const auto made = checkpointer_->Make(size);
    EXPECT_TRUE(absl::IsDataLoss(made.status())) << size << ": " << made.status();
  }
  EXPECT_TRUE(absl::IsDataLoss(checkpointer_->ProveEntry(20).status()));
  EXPECT_TRUE(absl::IsDataLoss(checkpointer_->ProveEntry(3, 25).status()));
  EXPECT_EQ(checkpointer_->Last().checkpoint.size, 0u);
}

}  // namespace
}  // namespace stele::server
