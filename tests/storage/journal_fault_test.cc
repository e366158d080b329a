// If these fail, an entry is acknowledged that a failed write or sync may have lost, or one failure
// makes the server unreadable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/journal.h"
#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::HasSubstr;

class JournalFaultTest : public ::testing::Test {
 protected:
  void SetUp() override { Reset(); }

  // An empty place, with a file system that works.
  void Reset() {
    place_ = std::make_unique<TemporaryDirectory>();
    std::filesystem::create_directory(*place_ / "graveyard");
    file_system_ = std::make_shared<FaultFileSystem>(*place_ / "graveyard");
  }

  Journal::Options Options(bool faulty = true) {
    Journal::Options options;
    options.directory = *place_ / "data";
    if (faulty) options.file_system = file_system_;
    return options;
  }

  std::unique_ptr<Journal> Create() {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }

  // Every operation of that kind on files whose name contains `name` fails.
  void FailAll(FileOperation failing, const std::string& name, rocksdb::IOStatus error) {
    file_system_->SetHook([=](uint64_t, FileOperation operation, const std::string& path) {
      return operation == failing && path.find(name) != std::string::npos ? error
                                                                          : rocksdb::IOStatus::OK();
    });
  }

  // The journal, whose Append of entries 4..5 has failed, is poisoned and readable; opened again it
  // has at least the entries 0..3.
  void ExpectPoisoned(std::unique_ptr<Journal> journal, const absl::Status& failure) {
    EXPECT_TRUE(journal->poisoned());
    EXPECT_EQ(journal->end_index(), 3u);
    EXPECT_EQ(journal->watermark()->index, 3u);
    file_system_->SetHook(nullptr);
    const uint64_t before = file_system_->operation_count();
    EXPECT_EQ(AppendTestEntries(*journal, 4, 1), failure);
    EXPECT_EQ(journal->AdvanceWatermark({TestLogId(), 3, TestRoot(3)}), failure);
    EXPECT_EQ(file_system_->operation_count(), before) << "something was tried again";
    ExpectTestEntries(*journal, 0, 3);
    EXPECT_EQ(*journal->ReadItem(3, 2), TestEntry(3).items[2]);
    EXPECT_EQ(journal->ReadEntry(4).status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(journal->Scan(0, 4, nullptr).code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(journal->stats().appends, 1u);
    journal.reset();
    auto reopened = Journal::Open(Options(/*faulty=*/false), 0);
    ASSERT_TRUE(reopened.ok()) << reopened.status();
    // The failed batch is there as a whole or not at all.
    const uint64_t end = *(*reopened)->end_index();
    EXPECT_TRUE(end == 3 || end == 5) << end;
    ExpectTestEntries(**reopened, 0, end);
    ASSERT_TRUE(AppendTestEntries(**reopened, end + 1, 2).ok());
  }

  std::unique_ptr<TemporaryDirectory> place_;
  std::shared_ptr<FaultFileSystem> file_system_;
};

TEST_F(JournalFaultTest, NamedFailuresPoison) {
  struct Case {
    FileOperation operation;
    std::string name;
    bool no_space;
  };
  const Case cases[] = {
      {FileOperation::kSync, ".log", false},         {FileOperation::kAppend, ".log", false},
      {FileOperation::kAppend, ".log", true},        {FileOperation::kSync, "watermark", false},
      {FileOperation::kWriteAt, "watermark", false}, {FileOperation::kWriteAt, "watermark", true},
      {FileOperation::kSync, "watermark", true},
  };
  for (const Case& one : cases) {
    Reset();
    auto journal = Create();
    ASSERT_TRUE(AppendTestEntries(*journal, 0, 4).ok());
    FailAll(one.operation, one.name,
            one.no_space ? rocksdb::IOStatus::NoSpace("injected")
                         : rocksdb::IOStatus::IOError("injected"));
    const absl::Status failure = AppendTestEntries(*journal, 4, 2);
    EXPECT_EQ(failure.code(),
              one.no_space ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal)
        << failure;
    EXPECT_THAT(std::string(failure.message()), HasSubstr("injected"));
    EXPECT_THAT(std::string(failure.message()), HasSubstr(*place_ / "data"));
    ExpectPoisoned(std::move(journal), failure);
  }
}

// Whatever single operation fails once: no OK, and a clean restart.
TEST_F(JournalFaultTest, EveryOperationOfAnAppend) {
  for (uint64_t failing = 0;; ++failing) {
    Reset();
    auto journal = Create();
    ASSERT_TRUE(AppendTestEntries(*journal, 0, 4).ok());
    const uint64_t start = file_system_->operation_count();
    file_system_->SetHook([&](uint64_t number, FileOperation, const std::string&) {
      return number == start + failing ? rocksdb::IOStatus::IOError("injected")
                                       : rocksdb::IOStatus::OK();
    });
    const absl::Status status = AppendTestEntries(*journal, 4, 2);
    const uint64_t operations = file_system_->operation_count() - start;
    if (failing >= operations) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(operations, 4u) << "write and sync of the WAL, write and sync of the watermark";
      break;
    }
    ASSERT_FALSE(status.ok()) << "operation " << failing;
    ExpectPoisoned(std::move(journal), status);
  }
}

TEST_F(JournalFaultTest, AdvancingTheWatermarkPoisonsToo) {
  std::unique_ptr<Journal> journal = Create();
  ASSERT_TRUE(AppendTestEntries(*journal, 0, 4).ok());
  const std::string watermark = ReadFile(*place_ / "data/watermark");
  ASSERT_TRUE(AppendTestEntries(*journal, 4, 1).ok());
  journal.reset();
  WriteFile(*place_ / "data/watermark", watermark);
  auto reopened = Journal::Open(Options(), 0);
  ASSERT_TRUE(reopened.ok()) << reopened.status();
  FailAll(FileOperation::kSync, "watermark", rocksdb::IOStatus::IOError("injected"));
  const absl::Status failure = (*reopened)->AdvanceWatermark({TestLogId(), 4, TestRoot(4)});
  EXPECT_FALSE(failure.ok());
  EXPECT_TRUE((*reopened)->poisoned());
  EXPECT_EQ((*reopened)->watermark()->index, 3u);
  EXPECT_EQ(AppendTestEntries(**reopened, 5, 1), failure);
  ExpectTestEntries(**reopened, 0, 4);
}

// Once, and from then on for ever.
TEST_F(JournalFaultTest, EveryOperationOfACreation) {
  for (const bool for_ever : {false, true}) {
    for (uint64_t failing = 0;; ++failing) {
      Reset();
      file_system_->SetHook([&](uint64_t number, FileOperation, const std::string&) {
        const bool fails = for_ever ? number >= failing : number == failing;
        return fails ? rocksdb::IOStatus::NoSpace("injected") : rocksdb::IOStatus::OK();
      });
      auto journal = Journal::Create(Options(), TestLogId(), 0);
      const bool reached = file_system_->operation_count() > failing;
      const bool created = journal.ok();
      if (created) journal->reset();
      if (!reached) {
        ASSERT_TRUE(created);
        break;
      }
      auto opened = Journal::Open(Options(/*faulty=*/false), 0);
      if (!opened.ok()) {
        EXPECT_FALSE(created);
        EXPECT_EQ(opened.status().code(), absl::StatusCode::kNotFound) << opened.status();
        opened = Journal::Create(Options(/*faulty=*/false), TestLogId(), 0);
      }
      ASSERT_TRUE(opened.ok()) << failing << ": " << opened.status();
      ASSERT_TRUE(AppendTestEntries(**opened, 0, 2).ok());
    }
  }
}

TEST_F(JournalFaultTest, EveryOperationOfAnOpening) {
  for (const bool for_ever : {false, true}) {
    for (uint64_t failing = 0;; ++failing) {
      Reset();
      ASSERT_TRUE(AppendTestEntries(*Create(), 0, 4).ok());
      const uint64_t start = file_system_->operation_count();
      file_system_->SetHook([&](uint64_t number, FileOperation, const std::string&) {
        const bool fails = for_ever ? number >= start + failing : number == start + failing;
        return fails ? rocksdb::IOStatus::IOError("injected") : rocksdb::IOStatus::OK();
      });
      auto journal = Journal::Open(Options(), 0);
      const bool reached = file_system_->operation_count() > start + failing;
      const bool opened = journal.ok();
      if (opened) journal->reset();
      if (!reached) {
        ASSERT_TRUE(opened);
        break;
      }
      auto again = Journal::Open(Options(/*faulty=*/false), 0);
      ASSERT_TRUE(again.ok()) << failing << ": " << again.status();
      EXPECT_EQ((*again)->end_index(), 3u);
      ExpectTestEntries(**again, 0, 3);
    }
  }
}

}  // namespace
}  // namespace stele::storage
