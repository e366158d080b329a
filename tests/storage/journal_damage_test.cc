// If these fail, a byte that changed on disk, or bytes that are gone, were not noticed: the journal
// opened and hid entries that had been acknowledged, or served other bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "storage/journal.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kEnd = 11;  // the last entry of the journals here

class JournalDamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const given = std::getenv("STELE_SEED");
    seed_ = given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
    std::printf("STELE_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    random_.seed(seed_);
  }

  Journal::Options Options(const std::string& name, bool child) {
    Journal::Options options;
    options.directory = directory_ / name;
    if (child) options.probe_path = STELE_PROBE;
    return options;
  }

  // `image`: the directory of a process that died after appending 0..kEnd, everything still in the
  // WAL. `flushed`: the same in sorted files. The watermark after entry 7 alone is kept as well.
  void MakeImages() {
    {
      auto journal = Journal::Create(Options("live", false), TestLogId(), 0);
      ASSERT_TRUE(journal.ok()) << journal.status();
      ASSERT_TRUE(AppendTestEntries(**journal, 0, 4).ok());
      ASSERT_TRUE(AppendTestEntries(**journal, 4, 4).ok());
      watermark_at_7_ = ReadFile(directory_ / "live/watermark");
      wal_size_at_7_ = ReadFile(NewestFile(directory_ / "live", ".log")).size();
      for (uint64_t index = 8; index <= kEnd; ++index) {
        ASSERT_TRUE(AppendTestEntries(**journal, index, 1).ok());
      }
      CopyDirectory(directory_ / "live", directory_ / "image");
    }
    ASSERT_TRUE(Journal::Open(Options("live", false), 0).ok());
    CopyDirectory(directory_ / "live", directory_ / "flushed");
  }

  // Opens `work`. True if it opened; then everything up to `end_min` is there and right, and the
  // journal can be written and opened again. If it did not open, the refusal is one that names what
  // is wrong.
  bool OpensWhole(bool child, uint64_t end_min) {
    auto journal = Journal::Open(Options("work", child), 0);
    if (!journal.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(journal.status()) ||
                  absl::IsFailedPrecondition(journal.status()))
          << journal.status();
      EXPECT_THAT(std::string(journal.status().message()), HasSubstr(directory_ / "work"));
      return false;
    }
    EXPECT_TRUE((*journal)->end_index().has_value());
    const uint64_t end = (*journal)->end_index().value_or(0);
    EXPECT_GE(end, end_min);
    EXPECT_LE(end, kEnd);
    ExpectTestEntries(**journal, 0, end);
    EXPECT_TRUE(AppendTestEntries(**journal, end + 1, 2).ok());
    journal->reset();
    journal = Journal::Open(Options("work", false), 0);
    EXPECT_TRUE(journal.ok()) << journal.status();
    if (journal.ok()) ExpectTestEntries(**journal, 0, end + 2);
    return true;
  }

  struct Tally {
    int opened = 0;
    int refused = 0;
  };

  // Flips one bit in each of `count` bytes of the file, drawn at random.
  Tally FlipBytes(const std::string& image, const std::string& file, size_t count) {
    Tally tally;
    for (size_t i = 0; i < count; ++i) {
      CopyDirectory(directory_ / image, directory_ / "work");
      const std::string path = directory_ / "work/" + file;
      std::string bytes = ReadFile(path);
      if (bytes.empty()) return tally;
      const size_t offset = random_() % bytes.size();
      const int bit = static_cast<int>(random_() % 8);
      SCOPED_TRACE(path + ": bit " + std::to_string(bit) + " of byte " + std::to_string(offset));
      bytes[offset] = static_cast<char>(bytes[offset] ^ (1 << bit));
      WriteFile(path, bytes);
      ++(OpensWhole(/*child=*/true, kEnd) ? tally.opened : tally.refused);
    }
    std::printf("%s %s: %d refused, %d opened whole\n", image.c_str(), file.c_str(), tally.refused,
                tally.opened);
    return tally;
  }

  std::string Newest(const std::string& image, const std::string& suffix) {
    return "journal/" +
           std::filesystem::path(NewestFile(directory_ / image, suffix)).filename().string();
  }

  TemporaryDirectory directory_;
  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::string watermark_at_7_;
  size_t wal_size_at_7_ = 0;
};

TEST_F(JournalDamageTest, TruncatedWal) {
  MakeImages();
  const std::string wal = Newest("image", ".log");
  const std::string bytes = ReadFile(directory_ / "image/" + wal);
  ASSERT_GT(bytes.size(), 1500u);
  for (size_t size = 0; size <= bytes.size(); size += (size + 3 < bytes.size() ? 3 : 1)) {
    SCOPED_TRACE("WAL cut to " + std::to_string(size) + " of " + std::to_string(bytes.size()));
    CopyDirectory(directory_ / "image", directory_ / "work");
    WriteFile(directory_ / "work/" + wal, bytes.substr(0, size));
    auto journal = Journal::Open(Options("work", false), 0);
    EXPECT_EQ(journal.ok(), size == bytes.size());
    if (!journal.ok()) {
      EXPECT_EQ(journal.status().code(), absl::StatusCode::kDataLoss) << journal.status();
      EXPECT_THAT(std::string(journal.status().message()), HasSubstr("..11 are missing: the log "));
    }
  }
}

// Cut beyond the watermark: nothing acknowledged is gone, so it opens, and a second time.
TEST_F(JournalDamageTest, TornTailBeyondTheWatermark) {
  MakeImages();
  const std::string wal = Newest("image", ".log");
  const std::string bytes = ReadFile(directory_ / "image/" + wal);
  for (size_t size = wal_size_at_7_; size <= bytes.size(); size += 13) {
    for (const bool zeros : {false, true}) {
      SCOPED_TRACE("WAL good up to " + std::to_string(size) + " of " +
                   std::to_string(bytes.size()) + (zeros ? ", then zeros" : ""));
      CopyDirectory(directory_ / "image", directory_ / "work");
      WriteFile(directory_ / "work/watermark", watermark_at_7_);
      WriteFile(directory_ / "work/" + wal,
                bytes.substr(0, size) + std::string(zeros ? bytes.size() - size : 0, '\0'));
      EXPECT_TRUE(OpensWhole(/*child=*/false, 7));
    }
  }
}

TEST_F(JournalDamageTest, FlippedBitsInTheWal) {
  MakeImages();
  const Tally tally = FlipBytes("image", Newest("image", ".log"), 60);
  EXPECT_EQ(tally.refused, 60) << "every byte of this WAL was acknowledged";
}

TEST_F(JournalDamageTest, FlippedBitsInSortedFiles) {
  MakeImages();
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(directory_ / "flushed/journal")) {
    if (file.path().extension() == ".sst")
      files.push_back("journal/" + file.path().filename().string());
  }
  ASSERT_GE(files.size(), 2u);
  int refused = 0;
  for (const std::string& file : files) refused += FlipBytes("flushed", file, 40).refused;
  EXPECT_GT(refused, 40);
}

TEST_F(JournalDamageTest, FlippedBitsElsewhere) {
  MakeImages();
  EXPECT_EQ(FlipBytes("image", "FORMAT", 20).refused, 20);
  // One damaged slot is what two slots are for.
  EXPECT_EQ(FlipBytes("image", "watermark", 20).opened, 20);
  for (const auto& file : std::filesystem::directory_iterator(directory_ / "flushed/journal")) {
    const std::string name = file.path().filename();
    if (name.ends_with(".sst") || name.ends_with(".log")) continue;
    FlipBytes("flushed", "journal/" + name, name.starts_with("MANIFEST") ? 60 : 8);
  }
}

}  // namespace
}  // namespace stele::storage
