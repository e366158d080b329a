// If these fail, the server may believe that the log ended earlier than what it acknowledged.
#include "storage/watermark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "storage/file_util.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::HasSubstr;

constexpr size_t kSlot = 512;
constexpr size_t kSecond = 4096;

class WatermarkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(WatermarkFile::Create(fs(), path_, {TestLogId(), 5, {}}).ok());
  }

  rocksdb::FileSystem& fs() { return *rocksdb::FileSystem::Default(); }

  absl::StatusOr<WatermarkState> Read() { return WatermarkFile::Read(fs(), path_, TestLogId()); }

  void Write(uint64_t next_index) {
    const auto state = Read();
    ASSERT_TRUE(state.ok()) << state.status();
    const auto file = WatermarkFile::Open(fs(), path_, *state);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write({TestLogId(), next_index, TestRoot(next_index)}).ok());
  }

  void Flip(size_t offset) {
    std::string bytes = ReadFile(path_);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 1);
    WriteFile(path_, bytes);
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "watermark";
};

TEST_F(WatermarkTest, FreshFileHasTwoEqualSlots) {
  const std::string bytes = ReadFile(path_);
  EXPECT_EQ(bytes.size(), kSecond + kSlot);
  EXPECT_EQ(bytes.substr(0, kSlot), bytes.substr(kSecond));
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(Read()->slot, (WatermarkSlot{TestLogId(), 5, {}}));
  EXPECT_EQ(Read()->damaged_slots, 0);
}

TEST_F(WatermarkTest, SlotBytes) {
  Write(0x0102030405060708);
  const std::string bytes = ReadFile(path_).substr(kSecond);
  EXPECT_EQ(bytes.substr(0, 8), std::string("STWM\0\0\0\1", 8));
  EXPECT_EQ(bytes.substr(8, 3), "\xa0\xa1\xa2");
  EXPECT_EQ(bytes.substr(24, 8), "\1\2\3\4\5\6\7\x08");
  const auto root = TestRoot(0x0102030405060708);
  EXPECT_EQ(bytes.substr(32, 32), std::string(root.begin(), root.end()));
  EXPECT_EQ(bytes.substr(64, 432), std::string(432, '\0'));
}

// Frozen: computed by a separate XXH3-128 over the bytes that the document lists.
TEST_F(WatermarkTest, GoldenChecksum) {
  const auto file = WatermarkFile::Open(fs(), path_, *Read());
  ASSERT_TRUE((*file)->Write({TestLogId(), 6, TestRoot(5)}).ok());
  EXPECT_EQ(absl::BytesToHexString(ReadFile(path_).substr(kSecond + 496)),
            "094f869d238d4869c92cbc0b4e44b626");
}

TEST_F(WatermarkTest, SlotsTakeTurnsWithinAndAcrossOpenings) {
  for (uint64_t next = 6; next < 10; ++next) {
    const std::string before = ReadFile(path_);
    Write(next);
    const std::string after = ReadFile(path_);
    const bool first_changed = before.substr(0, kSlot) != after.substr(0, kSlot);
    const bool second_changed = before.substr(kSecond) != after.substr(kSecond);
    EXPECT_NE(first_changed, second_changed);
    EXPECT_EQ(second_changed, next % 2 == 0);
    EXPECT_EQ(Read()->slot.next_index, next);
  }
  const auto file = WatermarkFile::Open(fs(), path_, *Read());
  ASSERT_TRUE((*file)->Write({TestLogId(), 20, TestRoot(20)}).ok());
  ASSERT_TRUE((*file)->Write({TestLogId(), 21, TestRoot(21)}).ok());
  EXPECT_EQ(Read()->slot, (WatermarkSlot{TestLogId(), 21, TestRoot(21)}));
  Flip(Read()->position == 0 ? 100 : kSecond + 100);
  EXPECT_EQ(Read()->slot, (WatermarkSlot{TestLogId(), 20, TestRoot(20)}));
}

TEST_F(WatermarkTest, EveryByteOfASlotCountsAndTheOtherStands) {
  Write(6);
  Write(7);
  const std::string good = ReadFile(path_);
  const int newest = Read()->position;
  for (int position = 0; position < 2; ++position) {
    for (size_t i = 0; i < kSlot; ++i) {
      Flip(static_cast<size_t>(position) * kSecond + i);
      const auto state = Read();
      ASSERT_TRUE(state.ok()) << state.status();
      EXPECT_EQ(state->damaged_slots, 1);
      EXPECT_EQ(state->slot.next_index, position == newest ? 6u : 7u);
      WriteFile(path_, good);
    }
  }
}

TEST_F(WatermarkTest, ADamagedSlotIsTheNextToBeWritten) {
  Write(6);
  Flip(Read()->position == 0 ? 3 : kSecond + 3);
  Write(8);
  EXPECT_EQ(Read()->damaged_slots, 0);
  EXPECT_EQ(Read()->slot.next_index, 8u);
}

TEST_F(WatermarkTest, BothSlotsDamagedIsAnErrorThatNamesTheFile) {
  Flip(10);
  Flip(kSecond + 10);
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Read().status().message()), HasSubstr(path_));
}

TEST_F(WatermarkTest, ShortAndMissingFiles) {
  Write(6);
  const std::string good = ReadFile(path_);
  for (const size_t size : {size_t{0}, kSlot - 1, kSlot, kSecond, kSecond + kSlot - 1}) {
    WriteFile(path_, good.substr(0, size));
    if (size < kSlot) {
      EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss) << size;
    } else {
      ASSERT_TRUE(Read().ok()) << size;
      EXPECT_EQ(Read()->slot.next_index, 5u) << size;
    }
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Read().status().message()), HasSubstr(path_));
}

TEST_F(WatermarkTest, AnotherLogIsRefusedWithBothIds) {
  const auto state = WatermarkFile::Read(fs(), path_, TestLogId(1));
  EXPECT_EQ(state.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(state.status().message()), HasSubstr(TestLogId(1).ToHex()));
  EXPECT_THAT(std::string(state.status().message()), HasSubstr(TestLogId().ToHex()));
}

}  // namespace
}  // namespace stele::storage
