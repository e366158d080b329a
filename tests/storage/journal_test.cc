// If these fail, what was acknowledged cannot be read back, or readers see what was not.
#include "storage/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::HasSubstr;

class JournalTest : public ::testing::Test {
 protected:
  Journal::Options Options(bool read_only = false) {
    Journal::Options options;
    options.directory = directory_ / "data";
    options.read_only = read_only;
    return options;
  }

  std::unique_ptr<Journal> Create(uint64_t base_index = 0) {
    auto journal = Journal::Create(Options(), TestLogId(), base_index);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }

  std::unique_ptr<Journal> Open(uint64_t check_from = 0, bool read_only = false) {
    auto journal = Journal::Open(Options(read_only), check_from);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }

  TemporaryDirectory directory_;
};

TEST_F(JournalTest, FreshJournal) {
  const auto journal = Create();
  EXPECT_EQ(journal->log_id(), TestLogId());
  EXPECT_EQ(journal->base_index(), 0u);
  EXPECT_EQ(journal->end_index(), std::nullopt);
  EXPECT_EQ(journal->watermark(), std::nullopt);
  EXPECT_FALSE(journal->poisoned());
  EXPECT_EQ(journal->ReadEntry(0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal->ReadItem(0, 0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal->Scan(0, 0, nullptr).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(JournalTest, AppendsSurviveReopening) {
  {
    const auto journal = Create();
    ASSERT_TRUE(AppendTestEntries(*journal, 0, 1).ok());
    ASSERT_TRUE(AppendTestEntries(*journal, 1, 8).ok());
    ExpectTestEntries(*journal, 0, 8);
    EXPECT_EQ(journal->watermark(), (Watermark{TestLogId(), 8, TestRoot(8)}));
  }
  for (int i = 0; i < 2; ++i) {
    const auto journal = Open();
    EXPECT_EQ(journal->end_index(), 8u);
    EXPECT_EQ(journal->watermark(), (Watermark{TestLogId(), 8, TestRoot(8)}));
    ExpectTestEntries(*journal, 0, 8);
    EXPECT_EQ(*journal->ReadEntry(5), TestEntry(5).entry);
    EXPECT_EQ(*journal->ReadItem(7, 2), TestEntry(7).items[2]);
    EXPECT_TRUE(journal->VerifyFiles().ok());
  }
  const auto journal = Open();
  ASSERT_TRUE(AppendTestEntries(*journal, 9, 3).ok());
  ExpectTestEntries(*journal, 0, 11);
}

TEST_F(JournalTest, SettlingLeavesNothingToRecover) {
  const auto logged_bytes = [this] {
    uintmax_t bytes = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(directory_.path())) {
      if (file.path().extension() == ".log") bytes += file.file_size();
    }
    return bytes;
  };
  {
    const auto journal = Create();
    ASSERT_TRUE(AppendTestEntries(*journal, 0, 20).ok());
    EXPECT_GT(logged_bytes(), 0u);
    ASSERT_TRUE(journal->Settle().ok());
    ExpectTestEntries(*journal, 0, 19);
    ASSERT_TRUE(AppendTestEntries(*journal, 20, 1).ok());
    ASSERT_TRUE(journal->Settle().ok());
  }
  // Not before it is closed: RocksDB removes its old logs behind.
  EXPECT_EQ(logged_bytes(), 0u);
  const auto journal = Open(0, /*read_only=*/true);
  EXPECT_EQ(journal->end_index(), 20u);
  EXPECT_EQ(journal->watermark(), (Watermark{TestLogId(), 20, TestRoot(20)}));
  ExpectTestEntries(*journal, 0, 20);
  EXPECT_EQ(journal->Settle().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(JournalTest, EmptyAndLargeRowsAndManyItems) {
  const auto journal = Create();
  EntryWrite write;
  write.index = 0;
  ASSERT_TRUE(journal->Append({&write, 1}, TestRoot(0)).ok());
  write.index = 1;
  write.entry = TestBytes(1, 3'000'000);
  write.items.assign(Journal::kItemsPerEntryMax, "i");
  write.items[17].clear();
  write.items[4000] = TestBytes(2, 1 << 20);
  ASSERT_TRUE(journal->Append({&write, 1}, TestRoot(1)).ok());
  EXPECT_EQ(*journal->ReadEntry(0), "");
  EXPECT_EQ(*journal->ReadEntry(1), write.entry);
  EXPECT_EQ(*journal->ReadItem(1, 17), "");
  EXPECT_EQ(*journal->ReadItem(1, 4000), write.items[4000]);
  EXPECT_EQ(*journal->ReadItem(1, 4095), "i");
  EXPECT_EQ(journal->ReadItem(1, 4096).status().code(), absl::StatusCode::kNotFound);
  size_t items_seen = 0;
  ASSERT_TRUE(journal
                  ->Scan(1, 1,
                         [&](uint64_t, std::string_view, std::span<const std::string_view> items) {
                           items_seen = items.size();
                           EXPECT_EQ(items[4000], write.items[4000]);
                           return absl::OkStatus();
                         })
                  .ok());
  EXPECT_EQ(items_seen, Journal::kItemsPerEntryMax);
}

TEST_F(JournalTest, WrongAppendsChangeNothing) {
  const auto journal = Create();
  ASSERT_TRUE(AppendTestEntries(*journal, 0, 3).ok());
  std::vector<EntryWrite> hole = {TestEntry(3), TestEntry(5)};
  std::vector<EntryWrite> crowded = {TestEntry(3)};
  crowded[0].items.assign(Journal::kItemsPerEntryMax + 1, "");
  const std::vector<std::vector<EntryWrite>> wrong = {
      {}, {TestEntry(4)}, {TestEntry(2)}, hole, {TestEntry(3), TestEntry(3)}, crowded};
  for (const auto& entries : wrong) {
    EXPECT_EQ(journal->Append(entries, TestRoot(3)).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(journal->poisoned());
  EXPECT_EQ(journal->end_index(), 2u);
  ASSERT_TRUE(AppendTestEntries(*journal, 3, 1).ok());
  ExpectTestEntries(*journal, 0, 3);
}

TEST_F(JournalTest, AbsentRowsAreNotFound) {
  const auto journal = Create(10);
  ASSERT_TRUE(AppendTestEntries(*journal, 10, 3).ok());
  for (const uint64_t index : {9u, 13u}) {
    EXPECT_EQ(journal->ReadEntry(index).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(journal->ReadItem(index, 0).status().code(), absl::StatusCode::kNotFound);
  }
  EXPECT_TRUE(journal->ReadItem(11, 2).ok());
  EXPECT_EQ(journal->ReadItem(11, 3).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal->ReadItem(12, 0).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, ScanBoundsAndCallbackErrors) {
  const auto journal = Create(10);
  ASSERT_TRUE(AppendTestEntries(*journal, 10, 10).ok());
  ExpectTestEntries(*journal, 10, 19);
  ExpectTestEntries(*journal, 13, 13);
  EXPECT_TRUE(journal->Scan(15, 14, nullptr).ok());
  EXPECT_EQ(journal->Scan(9, 12, nullptr).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(journal->Scan(15, 20, nullptr).code(), absl::StatusCode::kOutOfRange);
  std::vector<uint64_t> seen;
  const absl::Status status = journal->Scan(
      10, 19, [&](uint64_t index, std::string_view, std::span<const std::string_view>) {
        seen.push_back(index);
        return index == 12 ? absl::AbortedError("enough") : absl::OkStatus();
      });
  EXPECT_EQ(status, absl::AbortedError("enough"));
  EXPECT_EQ(seen, (std::vector<uint64_t>{10, 11, 12}));
}

TEST_F(JournalTest, WatermarkMovesForwardOverSyncedEntriesOnly) {
  const auto journal = Create(10);
  const auto advance = [&](uint64_t index, uint64_t root, const LogId& id = TestLogId()) {
    return journal->AdvanceWatermark({id, index, TestRoot(root)}).code();
  };
  EXPECT_EQ(advance(10, 10), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(AppendTestEntries(*journal, 10, 3).ok());
  EXPECT_EQ(advance(12, 12), absl::StatusCode::kOk);
  EXPECT_EQ(advance(12, 13), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(advance(13, 13), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(advance(11, 11), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(advance(9, 9), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(advance(12, 12, TestLogId(1)), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(journal->poisoned());
}

// What a crash between the two syncs of an Append leaves.
TEST_F(JournalTest, EntriesBeyondTheWatermarkAreRecovered) {
  Create().reset();
  AppendTestEntries(*Open(), 0, 4).IgnoreError();
  const std::string old_watermark = ReadFile(directory_ / "data/watermark");
  AppendTestEntries(*Open(), 4, 3).IgnoreError();
  WriteFile(directory_ / "data/watermark", old_watermark);
  {
    const auto journal = Open();
    EXPECT_EQ(journal->end_index(), 6u);
    EXPECT_EQ(journal->watermark()->index, 3u);
    ASSERT_TRUE(journal->AdvanceWatermark({TestLogId(), 6, TestRoot(6)}).ok());
    EXPECT_EQ(journal->watermark()->index, 6u);
  }
  const auto journal = Open();
  EXPECT_EQ(journal->watermark(), (Watermark{TestLogId(), 6, TestRoot(6)}));
  ASSERT_TRUE(AppendTestEntries(*journal, 7, 1).ok());
  ExpectTestEntries(*journal, 0, 7);
}

TEST_F(JournalTest, CarriedItemsLieBelowTheBase) {
  uint64_t given = 0;
  const CarriedItemSource source = [&]() -> absl::StatusOr<std::optional<CarriedItem>> {
    if (given == 50) return std::nullopt;
    const uint64_t i = given++;
    // Two MiB each: more than one batch. Not in order.
    return CarriedItem{(i * 7) % 50, static_cast<uint32_t>(i), TestBytes(i, 200'000)};
  };
  {
    auto journal = Journal::Create(Options(), TestLogId(), 50, source);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ((*journal)->end_index(), std::nullopt);
    ASSERT_TRUE(AppendTestEntries(**journal, 50, 2).ok());
  }
  const auto journal = Open();
  EXPECT_EQ(journal->base_index(), 50u);
  EXPECT_EQ(journal->end_index(), 51u);
  ExpectTestEntries(*journal, 50, 51);
  for (uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(*journal->ReadItem((i * 7) % 50, static_cast<uint32_t>(i)), TestBytes(i, 200'000));
  }
  EXPECT_EQ(journal->ReadItem(7, 0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal->ReadEntry(7).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, AFailedSourceLeavesNoJournal) {
  int given = 0;
  const CarriedItemSource failing = [&]() -> absl::StatusOr<std::optional<CarriedItem>> {
    if (given++ == 3) return absl::DataLossError("snapshot ends early");
    return CarriedItem{1, static_cast<uint32_t>(given), "bytes"};
  };
  EXPECT_EQ(Journal::Create(Options(), TestLogId(), 5, failing).status(),
            absl::DataLossError("snapshot ends early"));
  EXPECT_EQ(Journal::Open(Options(), 0).status().code(), absl::StatusCode::kNotFound);
  const CarriedItemSource above = []() -> absl::StatusOr<std::optional<CarriedItem>> {
    return CarriedItem{5, 0, "bytes"};
  };
  EXPECT_EQ(Journal::Create(Options(), TestLogId(), 5, above).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto journal = Create(5);
  EXPECT_EQ(journal->ReadItem(1, 1).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalTest, ReadOnlyChangesNoByte) {
  {
    const auto journal = Create();
    ASSERT_TRUE(AppendTestEntries(*journal, 0, 6).ok());
  }
  const auto listing = [&] {
    std::string text;
    for (const auto& file : std::filesystem::recursive_directory_iterator(directory_ / "data")) {
      if (file.is_regular_file()) text += file.path().string() + ReadFile(file.path()) + "\n";
    }
    return text;
  };
  const std::string before = listing();
  {
    const auto journal = Open(0, /*read_only=*/true);
    const auto another = Open(0, /*read_only=*/true);
    ExpectTestEntries(*journal, 0, 5);
    EXPECT_EQ(journal->watermark()->index, 5u);
    EXPECT_EQ(AppendTestEntries(*journal, 6, 1).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(journal->AdvanceWatermark({TestLogId(), 5, TestRoot(5)}).code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_FALSE(journal->poisoned());
    const auto writer = Journal::Open(Options(), 0);
    EXPECT_EQ(writer.status().code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(listing(), before);
  // Of a copy without the LOCK file, too.
  std::filesystem::remove(directory_ / "data/LOCK");
  ExpectTestEntries(*Open(0, /*read_only=*/true), 0, 5);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "data/LOCK"));
}

TEST_F(JournalTest, StatsCount) {
  const auto journal = Create();
  ASSERT_TRUE(AppendTestEntries(*journal, 0, 3).ok());
  ASSERT_TRUE(AppendTestEntries(*journal, 3, 1).ok());
  const Journal::Stats stats = journal->stats();
  EXPECT_EQ(stats.appends, 2u);
  EXPECT_EQ(stats.entries, 4u);
  EXPECT_EQ(stats.bytes, 4u * 40 + (0 + 1 + 2 + 3) * 60);
  EXPECT_EQ(stats.syncs, 4u);
  EXPECT_GT(stats.last_sync_micros, 0u);
  EXPECT_EQ(stats.damaged_slots, 0u);
}

TEST_F(JournalTest, SpaceIsAskedForBefore) {
  const auto journal = Create();
  EXPECT_TRUE(journal->CheckSpace(1000).ok());
  EXPECT_EQ(journal->CheckSpace(UINT64_MAX).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(journal->CheckSpace(uint64_t{1} << 60).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(journal->poisoned());
}

// Readers on other threads see whole appends, in order, and nothing else.
TEST_F(JournalTest, ReadersDuringAppends) {
  const auto journal = Create();
  ASSERT_TRUE(AppendTestEntries(*journal, 0, 3).ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done.load()) {
        const uint64_t end = *journal->end_index();
        EXPECT_EQ(end % 3, 2u);
        EXPECT_GE(journal->watermark()->index, end);
        EXPECT_EQ(*journal->ReadEntry(end), TestEntry(end).entry);
        ExpectTestEntries(*journal, end - 2, end);
      }
    });
  }
  for (uint64_t from = 3; from < 300; from += 3) {
    ASSERT_TRUE(AppendTestEntries(*journal, from, 3).ok());
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  ExpectTestEntries(*journal, 0, 299);
}

}  // namespace
}  // namespace stele::storage
