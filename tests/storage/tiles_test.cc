// If these fail, nodes of the log tree are lost, mixed up, or not what docs/format-storage.md says.
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

EntryWrite EntryWithTiles(uint64_t index) {
  EntryWrite write = TestEntry(index);
  write.tiles.push_back({0, TestBytes(index, 512)});
  write.tiles.push_back({1, TestBytes(index + 1000, 512)});
  return write;
}

class TilesTest : public testing::Test {
 protected:
  Journal::Options Options() const {
    Journal::Options options;
    options.directory = directory_ / "data";
    return options;
  }
  TemporaryDirectory directory_;
};

// Frozen: computed by a separate XXH3-128 over the bytes that the document lists.
TEST(TileRowsTest, GoldenValues) {
  const TileKey key = EncodeTileKey(255, 1);
  EXPECT_EQ(Hex({key.data(), key.size()}), "00000000000000ff01");
  const TileHeader header = EncodeTileHeader(TestLogId(), 255, 1, "tile");
  EXPECT_EQ(Hex({header.data(), header.size()}), "4e965e63d0e109c3c8c52366b2524998");
}

TEST(TileRowsTest, ARowPassesForNoOther) {
  const TileHeader header = EncodeTileHeader(TestLogId(), 255, 1, "tile");
  const std::string value = std::string(header.data(), header.size()) + "tile";
  ASSERT_EQ(DecodeTileRow(TestLogId(), 255, 1, value), "tile");
  EXPECT_FALSE(DecodeTileRow(TestLogId(1), 255, 1, value).has_value());
  EXPECT_FALSE(DecodeTileRow(TestLogId(), 511, 1, value).has_value());
  EXPECT_FALSE(DecodeTileRow(TestLogId(), 255, 0, value).has_value());
  for (size_t i = 0; i < value.size(); ++i) {
    for (const char bit : {'\x01', '\x80'}) {
      std::string changed = value;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      EXPECT_FALSE(DecodeTileRow(TestLogId(), 255, 1, changed).has_value());
    }
  }
  for (size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(DecodeTileRow(TestLogId(), 255, 1, value.substr(0, size)).has_value());
  }
}

TEST_F(TilesTest, ComeBackAsTheyWereWrittenWithTheirEntries) {
  {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(*(*journal)->LastTileLeaf(), std::nullopt);
    for (uint64_t i = 0; i < 20; ++i) {
      const EntryWrite write = i % 5 == 4 ? EntryWithTiles(i) : TestEntry(i);
      ASSERT_TRUE((*journal)->Append({&write, 1}, TestRoot(i)).ok());
    }
  }
  for (const bool read_only : {true, false}) {
    Journal::Options options = Options();
    options.read_only = read_only;
    auto journal = Journal::Open(options, 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(*(*journal)->LastTileLeaf(), 19u);
    EXPECT_EQ(*(*journal)->ReadTile(9, 0), TestBytes(9, 512));
    EXPECT_EQ(*(*journal)->ReadTile(9, 1), TestBytes(1009, 512));
    EXPECT_TRUE(absl::IsNotFound((*journal)->ReadTile(9, 2).status()));
    EXPECT_TRUE(absl::IsNotFound((*journal)->ReadTile(10, 0).status()));
    EXPECT_TRUE(absl::IsNotFound((*journal)->ReadTile(99, 0).status()));
    ExpectTestEntries(**journal, 0, 19);
  }
}

// A data directory from before there were tiles: it opens, for reading too, and takes them.
TEST_F(TilesTest, ADirectoryWithoutThemTakesThem) {
  {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE(AppendTestEntries(**journal, 0, 20).ok());
  }
  {
    auto rows = RowDb::Open(directory_ / "data/journal", nullptr, RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok());
    ASSERT_TRUE((*rows)->db().DropColumnFamily((*rows)->tiles()).ok());
  }
  {
    Journal::Options options = Options();
    options.read_only = true;
    auto journal = Journal::Open(options, 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(*(*journal)->LastTileLeaf(), std::nullopt);
    EXPECT_TRUE(absl::IsNotFound((*journal)->ReadTile(9, 0).status()));
    const TileRow row{9, {0, "x"}};
    EXPECT_TRUE(absl::IsFailedPrecondition((*journal)->WriteTiles({&row, 1})));
    ExpectTestEntries(**journal, 0, 19);
  }
  const TileRow row{9, {0, TestBytes(9, 512)}};
  {
    auto journal = Journal::Open(Options(), 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    ASSERT_TRUE((*journal)->WriteTiles({&row, 1}).ok());
    EXPECT_EQ(*(*journal)->ReadTile(9, 0), row.tile.bytes);
  }
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(*(*journal)->ReadTile(9, 0), row.tile.bytes);
  ExpectTestEntries(**journal, 0, 19);
}

}  // namespace
}  // namespace stele::storage
