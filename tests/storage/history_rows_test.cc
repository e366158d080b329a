// If these fail, the index from records to entries is lost, mixes records up, or is not what
// docs/format-storage.md says.
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using Found = std::vector<std::pair<uint64_t, uint32_t>>;

template <size_t size>
std::string Hex(const std::array<char, size>& bytes) {
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

std::array<char, 16> Key(uint8_t first) {
  std::array<char, 16> key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<char>(first + i);
  return key;
}

// Every third entry touches key 0x10, every entry key 0x60.
EntryWrite EntryWithHistory(uint64_t index) {
  EntryWrite write = TestEntry(index);
  write.history.push_back({Key(0x60), 0});
  if (index % 3 == 0) write.history.push_back({Key(0x10), static_cast<uint32_t>(index + 1)});
  return write;
}

absl::StatusOr<Found> Scan(const Journal& journal, uint8_t first, uint64_t at_most = UINT64_MAX) {
  Found found;
  const absl::Status status =
      journal.ScanHistory(Key(first), at_most, [&](uint64_t index, uint32_t effect) {
        found.push_back({index, effect});
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return found;
}

class HistoryRowsTest : public testing::Test {
 protected:
  Journal::Options Options() const {
    Journal::Options options;
    options.directory = directory_ / "data";
    return options;
  }
  TemporaryDirectory directory_;
};

// Frozen: computed by a separate XXH3-128 over the bytes that the document lists.
TEST(HistoryRowTest, GoldenValues) {
  const HistoryKey key = EncodeHistoryKey(Key(0x10), 9);
  EXPECT_EQ(Hex(key), "101112131415161718191a1b1c1d1e1f0000000000000009");
  EXPECT_EQ(Hex(EncodeHistoryValue(TestLogId(), key, 1)), "00000001a5a11f5adaf354d9");
  EXPECT_EQ(DecodeHistoryKey({key.data(), key.size()}), 9u);
  EXPECT_FALSE(DecodeHistoryKey("complete").has_value());
}

TEST(HistoryRowTest, ARowPassesForNoOther) {
  const HistoryKey key = EncodeHistoryKey(Key(0x10), 9);
  const HistoryValue bytes = EncodeHistoryValue(TestLogId(), key, 7);
  const std::string value(bytes.data(), bytes.size());
  ASSERT_EQ(DecodeHistoryRow(TestLogId(), key, value), 7u);
  EXPECT_FALSE(DecodeHistoryRow(TestLogId(1), key, value).has_value());
  EXPECT_FALSE(DecodeHistoryRow(TestLogId(), EncodeHistoryKey(Key(0x10), 10), value).has_value());
  EXPECT_FALSE(DecodeHistoryRow(TestLogId(), EncodeHistoryKey(Key(0x11), 9), value).has_value());
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string changed = value;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeHistoryRow(TestLogId(), key, changed).has_value()) << "bit " << bit;
  }
  EXPECT_FALSE(DecodeHistoryRow(TestLogId(), key, value.substr(1)).has_value());
  EXPECT_FALSE(DecodeHistoryRow(TestLogId(), key, value + '\0').has_value());
}

TEST_F(HistoryRowsTest, ComeNewestFirstAndOfOneKeyOnly) {
  {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_FALSE((*journal)->HistoryComplete());
    EXPECT_TRUE(absl::IsFailedPrecondition(Scan(**journal, 0x10).status()));
    ASSERT_TRUE((*journal)->MarkHistoryComplete().ok());
    for (uint64_t i = 0; i < 10; ++i) {
      const EntryWrite write = EntryWithHistory(i);
      ASSERT_TRUE((*journal)->Append({&write, 1}, TestRoot(i)).ok());
    }
    EXPECT_EQ(*Scan(**journal, 0x10), (Found{{9, 10}, {6, 7}, {3, 4}, {0, 1}}));
  }
  for (const bool read_only : {true, false}) {
    Journal::Options options = Options();
    options.read_only = read_only;
    auto journal = Journal::Open(options, 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_TRUE((*journal)->HistoryComplete());
    EXPECT_EQ(*Scan(**journal, 0x10), (Found{{9, 10}, {6, 7}, {3, 4}, {0, 1}}));
    EXPECT_EQ(*Scan(**journal, 0x10, 8), (Found{{6, 7}, {3, 4}, {0, 1}}));
    EXPECT_EQ(*Scan(**journal, 0x10, 6), (Found{{6, 7}, {3, 4}, {0, 1}}));
    EXPECT_EQ(*Scan(**journal, 0x10, 0), (Found{{0, 1}}));
    EXPECT_EQ(*Scan(**journal, 0x11), Found{});
    EXPECT_EQ(Scan(**journal, 0x60)->size(), 10u);
    EXPECT_TRUE(*(*journal)->HasHistoryRow({9, {Key(0x10), 10}}));
    EXPECT_FALSE(*(*journal)->HasHistoryRow({9, {Key(0x10), 11}}));
    EXPECT_FALSE(*(*journal)->HasHistoryRow({8, {Key(0x10), 9}}));
    ExpectTestEntries(**journal, 0, 9);
  }
}

TEST_F(HistoryRowsTest, ACallbackStopsTheScan) {
  auto journal = Journal::Create(Options(), TestLogId(), 0);
  ASSERT_TRUE(journal.ok());
  ASSERT_TRUE((*journal)->MarkHistoryComplete().ok());
  for (uint64_t i = 0; i < 4; ++i) {
    const EntryWrite write = EntryWithHistory(i);
    ASSERT_TRUE((*journal)->Append({&write, 1}, TestRoot(i)).ok());
  }
  int calls = 0;
  const absl::Status status =
      (*journal)->ScanHistory(Key(0x60), UINT64_MAX, [&](uint64_t, uint32_t) {
        ++calls;
        return absl::AbortedError("enough");
      });
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(calls, 1);
}

TEST_F(HistoryRowsTest, ADamagedRowIsNamed) {
  {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE((*journal)->MarkHistoryComplete().ok());
    for (uint64_t i = 0; i < 10; ++i) {
      const EntryWrite write = EntryWithHistory(i);
      ASSERT_TRUE((*journal)->Append({&write, 1}, TestRoot(i)).ok());
    }
  }
  {
    auto rows = RowDb::Open(directory_ / "data/journal", nullptr, RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok());
    const HistoryKey key = EncodeHistoryKey(Key(0x10), 6);
    const HistoryValue other = EncodeHistoryValue(TestLogId(1), key, 7);
    ASSERT_TRUE(
        (*rows)
            ->db()
            .Put({}, (*rows)->history(), {key.data(), key.size()}, {other.data(), other.size()})
            .ok());
  }
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_TRUE(absl::IsDataLoss(Scan(**journal, 0x10).status()));
  EXPECT_EQ(Scan(**journal, 0x10).status().message().find("a history row of entry 6"), 0u);
  EXPECT_EQ(*Scan(**journal, 0x10, 5), (Found{{3, 4}, {0, 1}}));
}

// A data directory from before there was the index: it opens, for reading too, and takes it.
TEST_F(HistoryRowsTest, ADirectoryWithoutThemTakesThem) {
  {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE((*journal)->MarkHistoryComplete().ok());
    ASSERT_TRUE(AppendTestEntries(**journal, 0, 20).ok());
  }
  {
    auto rows = RowDb::Open(directory_ / "data/journal", nullptr, RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok());
    ASSERT_TRUE((*rows)->db().DropColumnFamily((*rows)->history()).ok());
  }
  const HistoryRow row{9, {Key(0x10), 0}};
  {
    Journal::Options options = Options();
    options.read_only = true;
    auto journal = Journal::Open(options, 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_FALSE((*journal)->HistoryComplete());
    EXPECT_TRUE(absl::IsFailedPrecondition(Scan(**journal, 0x10).status()));
    EXPECT_TRUE(absl::IsFailedPrecondition((*journal)->WriteHistory({&row, 1})));
    EXPECT_TRUE(absl::IsFailedPrecondition((*journal)->MarkHistoryComplete()));
    EXPECT_FALSE(*(*journal)->HasHistoryRow(row));
    ExpectTestEntries(**journal, 0, 19);
  }
  for (int time = 0; time < 2; ++time) {
    auto journal = Journal::Open(Options(), 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    // Rows without the mark are not trusted to be all.
    EXPECT_EQ((*journal)->HistoryComplete(), false);
    ASSERT_TRUE((*journal)->WriteHistory({&row, 1}).ok());
    if (time == 1) {
      ASSERT_TRUE((*journal)->MarkHistoryComplete().ok());
    }
  }
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(*Scan(**journal, 0x10), (Found{{9, 0}}));
  ExpectTestEntries(**journal, 0, 19);
}

}  // namespace
}  // namespace stele::storage
