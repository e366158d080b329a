// If these fail, a half-written file can appear under a final name, or a finished one can vanish.
#include "storage/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

namespace fs = std::filesystem;

size_t CountFiles(const std::string& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TEST(AtomicFileTest, AppearsWithCommitOnly) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  auto writer = AtomicFileWriter::Create(path);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string large = TestBytes(1, 3'000'000);
  ASSERT_TRUE((*writer)->Append("head").ok());
  ASSERT_TRUE((*writer)->Append(large).ok());
  ASSERT_TRUE((*writer)->Append("tail").ok());
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ((*writer)->size(), large.size() + 8);
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_EQ(ReadFile(path), "head" + large + "tail");
  EXPECT_FALSE((*writer)->Append("more").ok());
  EXPECT_FALSE((*writer)->Commit().ok());
  writer->reset();
  EXPECT_EQ(ReadFile(path), "head" + large + "tail");
  EXPECT_EQ(CountFiles(directory.path()), 1u);
}

TEST(AtomicFileTest, WithoutCommitNothingIsLeft) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  WriteFile(path, "old");
  {
    auto writer = AtomicFileWriter::Create(path);
    ASSERT_TRUE((*writer)->Append("new").ok());
    EXPECT_EQ(CountFiles(directory.path()), 2u);
  }
  EXPECT_EQ(CountFiles(directory.path()), 1u);
  auto writer = AtomicFileWriter::Create(path);
  ASSERT_TRUE((*writer)->Append("new").ok());
  (*writer)->Abort();
  EXPECT_EQ(CountFiles(directory.path()), 1u);
  EXPECT_FALSE((*writer)->Commit().ok());
  EXPECT_EQ(ReadFile(path), "old");
}

TEST(AtomicFileTest, TwoWritersOfOneNameDoNotMix) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  auto first = AtomicFileWriter::Create(path);
  auto second = AtomicFileWriter::Create(path);
  ASSERT_TRUE((*first)->Append("first").ok());
  ASSERT_TRUE((*second)->Append("second").ok());
  ASSERT_TRUE((*second)->Commit().ok());
  EXPECT_EQ(ReadFile(path), "second");
  ASSERT_TRUE((*first)->Commit().ok());
  EXPECT_EQ(ReadFile(path), "first");
}

TEST(AtomicFileTest, StaleTemporariesAreRemovedAndNothingElse) {
  TemporaryDirectory directory;
  WriteFile(directory / "file.1.0.tmp", "x");
  WriteFile(directory / "other.tmp", "x");
  WriteFile(directory / "file", "x");
  WriteFile(directory / "tmp", "x");
  ASSERT_TRUE(AtomicFileWriter::RemoveStale(directory.path()).ok());
  EXPECT_EQ(CountFiles(directory.path()), 2u);
  EXPECT_FALSE(fs::exists(directory / "other.tmp"));
}

TEST(AtomicFileTest, NoDirectory) {
  TemporaryDirectory directory;
  EXPECT_EQ(AtomicFileWriter::Create(directory / "none/file").status().code(),
            absl::StatusCode::kNotFound);
}

// One attempt at replacing a file; returns what Commit or an earlier step said.
absl::Status Replace(const std::string& path, std::shared_ptr<rocksdb::FileSystem> file_system,
                     const std::string& bytes) {
  auto writer = AtomicFileWriter::Create(path, std::move(file_system));
  if (!writer.ok()) return writer.status();
  const absl::Status status = (*writer)->Append(bytes);
  return status.ok() ? (*writer)->Commit() : status;
}

TEST(AtomicFileTest, EveryFailedOperationLeavesOldOrNew) {
  const std::string bytes = TestBytes(1, 2'500'000);
  uint64_t failures = 0;
  for (uint64_t failing = 0;; ++failing) {
    TemporaryDirectory directory;
    TemporaryDirectory graveyard;
    const std::string path = directory / "file";
    WriteFile(path, "old");
    const auto file_system = std::make_shared<FaultFileSystem>(graveyard.path());
    file_system->SetHook([&](uint64_t number, FileOperation, const std::string&) {
      return number == failing ? rocksdb::IOStatus::NoSpace("injected") : rocksdb::IOStatus::OK();
    });
    const absl::Status status = Replace(path, file_system, bytes);
    if (file_system->operation_count() <= failing) {
      EXPECT_TRUE(status.ok());
      break;
    }
    // The removal of a temporary name is the last operation where something failed before.
    ASSERT_FALSE(status.ok()) << failing;
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(ReadFile(path) == "old" || ReadFile(path) == bytes);
    EXPECT_EQ(CountFiles(directory.path()), 1u) << failing;
    ++failures;
  }
  EXPECT_GE(failures, 5u);
}

TEST(AtomicFileTest, PowerLossAtEveryOperation) {
  const std::string bytes = TestBytes(1, 2'500'000);
  std::mt19937_64 random(20);
  for (const PowerLoss loss : {PowerLoss::kDrop, PowerLoss::kKeep, PowerLoss::kTorn,
                               PowerLoss::kZeros, PowerLoss::kScattered}) {
    for (uint64_t last = 0;; ++last) {
      TemporaryDirectory directory;
      TemporaryDirectory graveyard;
      const std::string path = directory / "file";
      WriteFile(path, "old");
      const auto file_system = std::make_shared<FaultFileSystem>(graveyard.path());
      file_system->SetHook([&](uint64_t number, FileOperation, const std::string&) {
        return number < last ? rocksdb::IOStatus::OK() : rocksdb::IOStatus::IOError("no power");
      });
      const bool committed = Replace(path, file_system, bytes).ok();
      file_system->LosePower(loss, random);
      const std::string found = ReadFile(path);
      EXPECT_TRUE(found == bytes || (!committed && found == "old"))
          << "power lost after operation " << last << ", " << found.size() << " bytes";
      if (committed) break;
    }
  }
}

}  // namespace
}  // namespace stele::storage
