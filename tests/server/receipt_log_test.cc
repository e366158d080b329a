// If this failed, digests of receipts would be lost without a word, would change the state, or
// searches could fill the log.
#include "server/receipt_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "index/commit_record.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::milliseconds;

class ReceiptLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele receipt log " + std::to_string(::getpid()));
    fs::create_directories(directory_);
    EngineOptions options;
    options.data_directory = (directory_ / "data").string();
    options.search_threads = 1;
    RecoveryReport report;
    engine_ = Engine::Open(options, &report).value();
    first_ = engine_->published_index() + 1;
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(directory_);
  }

  // The digests of each entry since the beginning of the test.
  std::vector<std::vector<index::Hash>> Logged() {
    std::vector<std::vector<index::Hash>> entries;
    if (engine_->published_index() < first_) return entries;
    const absl::Status status = engine_->journal().Scan(
        first_, engine_->published_index(),
        [&](index::LogIndex, std::string_view, std::span<const std::string_view> items) {
          for (const std::string_view item : items) {
            const auto operation = index::DecodeOperation(item);
            EXPECT_TRUE(operation.has_value());
            EXPECT_EQ(operation->kind, index::OperationKind::kReceipts);
            entries.push_back(operation->receipts);
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return entries;
  }
  void WaitForEntries(uint64_t count) {
    while (engine_->published_index() + 1 < first_ + count) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  fs::path directory_;
  std::unique_ptr<Engine> engine_;
  index::LogIndex first_ = 0;
};

index::Hash Digest(uint8_t a, uint8_t b = 0) { return index::Hash{a, b}; }

TEST_F(ReceiptLogTest, WritesWhenEnoughWaitAndAtTheEnd) {
  const Position before = engine_->Read(std::nullopt)->position();
  {
    ReceiptLog log(engine_.get(), {3, hours(1), milliseconds(0)});
    for (const int value : {5, 2, 5, 2}) log.Add(Digest(static_cast<uint8_t>(value)));
    log.Add(Digest(9));
    WaitForEntries(1);
    log.Add(Digest(1));
  }
  WaitForEntries(2);
  const auto entries = Logged();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0], (std::vector{Digest(2), Digest(5), Digest(9)}));
  EXPECT_EQ(entries[1], std::vector{Digest(1)});
  const Position after = engine_->Read(std::nullopt)->position();
  EXPECT_EQ(after.state_root, before.state_root);
  EXPECT_EQ(after.state_index, before.state_index);
  EXPECT_EQ(after.log_index, before.log_index + 2);
}

TEST_F(ReceiptLogTest, WritesWhenTheOldestHasWaited) {
  ReceiptLog log(engine_.get(), {1000, milliseconds(5), milliseconds(0)});
  log.Add(Digest(7));
  WaitForEntries(1);
  EXPECT_EQ(Logged(), std::vector<std::vector<index::Hash>>({{Digest(7)}}));
}

// However many searches there are: the second entry has to wait, and what does not fit is counted.
TEST_F(ReceiptLogTest, SearchesCannotFillTheLog) {
  {
    ReceiptLog log(engine_.get(), {1, milliseconds(0), hours(1)});
    log.Add(Digest(1));
    WaitForEntries(1);
    for (uint32_t i = 0; i < index::kLoggedReceiptsMax; ++i) {
      log.Add({static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8), 3});
    }
    EXPECT_EQ(log.lost(), 0u);
    log.Add(Digest(1, 1));
    log.Add(Digest(1, 2));
    log.Add({0, 0, 3});  // waits already
    EXPECT_EQ(log.lost(), 2u);
    EXPECT_EQ(Logged().size(), 1u);
  }
  WaitForEntries(2);
  const auto entries = Logged();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].size(), index::kLoggedReceiptsMax);
}

TEST_F(ReceiptLogTest, NothingIsWrittenWithoutReceipts) {
  { ReceiptLog log(engine_.get(), {1, milliseconds(0), milliseconds(0)}); }
  EXPECT_TRUE(Logged().empty());
}

}  // namespace
}  // namespace stele::server
