// If these fail, rows on disk are no longer what docs/format-storage.md says, or a row can pass for
// another one.
#include "storage/rows.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/escaping.h"
#include "storage/bytes.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString({bytes.data(), bytes.size()});
}

template <size_t size>
std::string Text(const std::array<char, size>& bytes) {
  return {bytes.data(), size};
}

std::string EntryValue(const LogId& id, uint64_t index, uint32_t items, const std::string& bytes) {
  return Text(EncodeEntryHeader(id, index, items, bytes)) + bytes;
}

std::string ItemValue(const LogId& id, uint64_t index, uint32_t ordinal, const std::string& bytes) {
  return Text(EncodeItemHeader(id, index, ordinal, bytes)) + bytes;
}

TEST(BytesTest, BigEndianWhateverTheMachine) {
  char bytes[8];
  StoreBigEndian64(0x0102030405060788ull, bytes);
  EXPECT_EQ(Hex({bytes, 8}), "0102030405060788");
  EXPECT_EQ(LoadBigEndian64(bytes), 0x0102030405060788ull);
  StoreBigEndian32(0xfffefd80u, bytes);
  EXPECT_EQ(Hex({bytes, 4}), "fffefd80");
  EXPECT_EQ(LoadBigEndian32(bytes), 0xfffefd80u);
}

TEST(RowsTest, KeysSortAsNumbers) {
  EXPECT_EQ(Hex(Text(EncodeEntryKey(0x1234))), "0000000000001234");
  EXPECT_EQ(Hex(Text(EncodeItemKey(0x1234, 7))), "000000000000123400000007");
  EXPECT_LT(Text(EncodeEntryKey(255)), Text(EncodeEntryKey(256)));
  EXPECT_LT(Text(EncodeItemKey(1, UINT32_MAX)), Text(EncodeItemKey(2, 0)));
  EXPECT_EQ(DecodeEntryKey(Text(EncodeEntryKey(UINT64_MAX))), UINT64_MAX);
  EXPECT_EQ(DecodeItemKey(Text(EncodeItemKey(5, 6)))->index, 5u);
  EXPECT_EQ(DecodeItemKey(Text(EncodeItemKey(5, 6)))->ordinal, 6u);
  EXPECT_EQ(DecodeEntryKey("1234567"), std::nullopt);
  EXPECT_FALSE(DecodeItemKey("12345678").has_value());
}

// Frozen: computed by a separate XXH3-128 over the bytes that the document lists.
TEST(RowsTest, GoldenValues) {
  const LogId id = TestLogId();
  EXPECT_EQ(Hex(EntryValue(id, 9, 2, "entry")),
            "002b353956829402f595addaac89217400000002656e747279");
  EXPECT_EQ(Hex(ItemValue(id, 9, 1, "item")), "b532ee4c2e1149978742c43f2f1fc09d6974656d");
}

TEST(RowsTest, RoundTrip) {
  const LogId id = TestLogId();
  for (const size_t size : {0u, 1u, 240u, 241u, 5000u}) {
    const std::string bytes = TestBytes(size, size);
    const std::string entry = EntryValue(id, 3, 4096, bytes);
    const auto row = DecodeEntryRow(id, 3, entry);
    ASSERT_TRUE(row.has_value());
    EXPECT_EQ(row->item_count, 4096u);
    EXPECT_EQ(row->bytes, bytes);
    const std::string item = ItemValue(id, 3, 8, bytes);
    EXPECT_EQ(DecodeItemRow(id, 3, 8, item), bytes);
  }
}

TEST(RowsTest, AnotherPlaceIsNoticed) {
  const LogId id = TestLogId();
  const LogId other = TestLogId(1);
  const std::string entry = EntryValue(id, 3, 2, "bytes");
  EXPECT_FALSE(DecodeEntryRow(other, 3, entry).has_value());
  EXPECT_FALSE(DecodeEntryRow(id, 4, entry).has_value());
  const std::string item = ItemValue(id, 3, 2, "bytes");
  EXPECT_FALSE(DecodeItemRow(other, 3, 2, item).has_value());
  EXPECT_FALSE(DecodeItemRow(id, 4, 2, item).has_value());
  EXPECT_FALSE(DecodeItemRow(id, 3, 1, item).has_value());
  // Neither kind passes for the other, even where the numbers agree.
  EXPECT_NE(Text(EncodeEntryHeader(id, 3, 5, "bytes")).substr(0, kChecksumSize),
            Text(EncodeItemHeader(id, 3, 5, "bytes")));
}

TEST(RowsTest, EveryBitAndEveryLengthCounts) {
  const LogId id = TestLogId();
  for (const bool is_entry : {true, false}) {
    const std::string value =
        is_entry ? EntryValue(id, 3, 2, "some bytes") : ItemValue(id, 3, 2, "some bytes");
    const auto accepted = [&](const std::string& changed) {
      return is_entry ? DecodeEntryRow(id, 3, changed).has_value()
                      : DecodeItemRow(id, 3, 2, changed).has_value();
    };
    ASSERT_TRUE(accepted(value));
    for (size_t bit = 0; bit < value.size() * 8; ++bit) {
      std::string changed = value;
      changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(accepted(changed)) << "bit " << bit;
    }
    for (size_t size = 0; size < value.size(); ++size) {
      EXPECT_FALSE(accepted(value.substr(0, size))) << "size " << size;
    }
    EXPECT_FALSE(accepted(value + '\0'));
  }
}

TEST(LogIdTest, Hex) {
  EXPECT_EQ(TestLogId().ToHex(), "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf");
  EXPECT_EQ(LogId::FromHex(TestLogId().ToHex()), TestLogId());
  EXPECT_EQ(LogId::FromHex(""), std::nullopt);
  EXPECT_EQ(LogId::FromHex("a0a1a2a3a4a5a6a7a8a9aaabacadaea"), std::nullopt);
  EXPECT_EQ(LogId::FromHex("A0a1a2a3a4a5a6a7a8a9aaabacadaeaf"), std::nullopt);
  EXPECT_EQ(LogId::FromHex("g0a1a2a3a4a5a6a7a8a9aaabacadaeaf"), std::nullopt);
}

}  // namespace
}  // namespace stele::storage
