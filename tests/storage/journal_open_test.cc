// If these fail, a directory that is not ours, not whole or not free is opened all the same, or a
// refusal does not say what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rocksdb/db.h"
#include "storage/bytes.h"
#include "storage/checksum.h"
#include "storage/journal.h"
#include "storage/row_db.h"
#include "storage/rows.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class JournalOpenTest : public ::testing::Test {
 protected:
  // A closed journal of entries base..base + count - 1.
  void Make(const std::string& name, const LogId& id, uint64_t base, uint64_t count) {
    auto journal = Journal::Create(Options(name), id, base);
    ASSERT_TRUE(journal.ok()) << journal.status();
    if (count > 0) {
      ASSERT_TRUE(AppendTestEntries(**journal, base, count).ok());
    }
  }

  Journal::Options Options(const std::string& name = "data") {
    Journal::Options options;
    options.directory = directory_ / name;
    return options;
  }

  absl::Status OpenStatus(uint64_t check_from = 0) {
    return Journal::Open(Options(), check_from).status();
  }

  void ExpectRefusal(absl::StatusCode code, const std::vector<std::string>& parts,
                     uint64_t check_from = 0) {
    const absl::Status status = OpenStatus(check_from);
    EXPECT_EQ(status.code(), code) << status;
    for (const std::string& part : parts) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(part));
    }
  }

  void EditRows(const std::function<rocksdb::Status(RowDb&)>& edit) {
    auto rows = RowDb::Open(directory_ / "data/journal", nullptr, RowDb::Mode::kWrite);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const rocksdb::Status status = edit(**rows);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }

  void DeleteEntry(uint64_t index) {
    EditRows([&](RowDb& rows) {
      const EntryKey key = EncodeEntryKey(index);
      return rows.db().Delete({}, rows.entries(), rocksdb::Slice(key.data(), key.size()));
    });
  }

  void DeleteItem(uint64_t index, uint32_t ordinal) {
    EditRows([&](RowDb& rows) {
      const ItemKey key = EncodeItemKey(index, ordinal);
      return rows.db().Delete({}, rows.items(), rocksdb::Slice(key.data(), key.size()));
    });
  }

  void PutItem(uint64_t index, uint32_t ordinal, const std::string& value) {
    EditRows([&](RowDb& rows) {
      const ItemKey key = EncodeItemKey(index, ordinal);
      return rows.db().Put({}, rows.items(), rocksdb::Slice(key.data(), key.size()), value);
    });
  }

  TemporaryDirectory directory_;
};

TEST_F(JournalOpenTest, NothingThere) {
  ExpectRefusal(absl::StatusCode::kNotFound, {directory_ / "data", "does not exist"});
  fs::create_directory(directory_ / "data");
  ExpectRefusal(absl::StatusCode::kNotFound, {directory_ / "data", "holds no journal"});
  WriteFile(directory_ / "data/something", "x");
  ExpectRefusal(absl::StatusCode::kNotFound, {"holds no journal"});
  EXPECT_EQ(Journal::Create(Options("no/parent"), TestLogId(), 0).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(JournalOpenTest, LayoutAndExistingDirectory) {
  fs::create_directories(directory_ / "data/snapshots");
  WriteFile(directory_ / "data/key", "kept");
  Make("data", TestLogId(), 0, 1);
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(directory_ / "data")) {
    names.push_back(file.path().filename());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("FORMAT", "LOCK", "watermark", "journal",
                                                     "snapshots", "key"));
  EXPECT_EQ(Journal::Create(Options(), TestLogId(), 0).status().code(),
            absl::StatusCode::kAlreadyExists);
  ExpectTestEntries(**Journal::Open(Options(), 0), 0, 0);
}

TEST_F(JournalOpenTest, InUse) {
  Make("data", TestLogId(), 0, 1);
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok());
  ExpectRefusal(absl::StatusCode::kFailedPrecondition,
                {directory_ / "data", "in use by process " + std::to_string(getpid())});
  EXPECT_THAT(std::string(Journal::Create(Options(), TestLogId(), 0).status().message()),
              HasSubstr("in use"));
  journal->reset();
  EXPECT_TRUE(OpenStatus().ok());
}

TEST_F(JournalOpenTest, NotWritable) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to change the user";
  Make("data", TestLogId(), 0, 1);
  fs::permissions(directory_.path(), fs::perms(0755));
  const pid_t child = fork();
  if (child == 0) {
    if (seteuid(65534) != 0) _exit(9);
    const absl::Status open = OpenStatus();
    const absl::Status create = Journal::Create(Options("new"), TestLogId(), 0).status();
    const bool right = absl::IsPermissionDenied(open) && absl::IsPermissionDenied(create) &&
                       open.message().find(directory_ / "data") != absl::string_view::npos &&
                       create.message().find(directory_ / "new") != absl::string_view::npos;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(JournalOpenTest, InterruptedCreationIsReplaced) {
  // As it stands after the journal was moved into place.
  Make("data", TestLogId(), 0, 3);
  fs::create_directory(directory_ / "data/creating");
  fs::rename(directory_ / "data/FORMAT", directory_ / "data/creating/FORMAT");
  ExpectRefusal(absl::StatusCode::kNotFound, {"holds no journal"});
  Make("data", TestLogId(1), 7, 2);
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ((*journal)->log_id(), TestLogId(1));
  ExpectTestEntries(**journal, 7, 8);
  EXPECT_FALSE(fs::exists(directory_ / "data/creating"));
}

TEST_F(JournalOpenTest, CreationInterruptedAfterItsEndIsTidied) {
  Make("data", TestLogId(), 0, 3);
  fs::create_directory(directory_ / "data/creating");
  EXPECT_EQ(Journal::Create(Options(), TestLogId(), 0).status().code(),
            absl::StatusCode::kAlreadyExists);
  ExpectTestEntries(**Journal::Open(Options(), 0), 0, 2);
  EXPECT_FALSE(fs::exists(directory_ / "data/creating"));
}

TEST_F(JournalOpenTest, MissingFiles) {
  for (const std::string name : {"FORMAT", "watermark", "journal", "journal/CURRENT"}) {
    fs::remove_all(directory_ / "data");
    Make("data", TestLogId(), 0, 3);
    fs::remove_all(directory_ / ("data/" + name));
    ExpectRefusal(absl::StatusCode::kDataLoss, {directory_ / "data"});
    if (name == "FORMAT") {
      ExpectRefusal(absl::StatusCode::kDataLoss, {"FORMAT file is missing"});
      EXPECT_EQ(Journal::Create(Options(), TestLogId(), 0).status().code(),
                absl::StatusCode::kDataLoss);
      EXPECT_TRUE(fs::exists(directory_ / "data/journal"));
    }
  }
}

TEST_F(JournalOpenTest, NewerFormat) {
  Make("data", TestLogId(), 0, 3);
  std::string bytes = ReadFile(directory_ / "data/FORMAT");
  StoreBigEndian32(2, bytes.data() + 8);
  bytes.resize(bytes.size() - kChecksumSize);
  const Checksum checksum = ComputeChecksum(bytes);
  WriteFile(directory_ / "data/FORMAT", bytes + std::string(checksum.data(), checksum.size()));
  ExpectRefusal(absl::StatusCode::kFailedPrecondition,
                {directory_ / "data/FORMAT", "format version 2", "reads version 1"});
}

TEST_F(JournalOpenTest, FilesOfAnotherLog) {
  for (const std::string name : {"FORMAT", "watermark", "journal"}) {
    fs::remove_all(directory_ / "data");
    fs::remove_all(directory_ / "other");
    Make("data", TestLogId(), 0, 3);
    Make("other", TestLogId(1), 0, 3);
    fs::remove_all(directory_ / ("data/" + name));
    fs::rename(directory_ / ("other/" + name), directory_ / ("data/" + name));
    ExpectRefusal(absl::StatusCode::kFailedPrecondition,
                  {TestLogId().ToHex(), TestLogId(1).ToHex()});
  }
}

TEST_F(JournalOpenTest, JournalOfTheSameLogWithAnotherBase) {
  Make("data", TestLogId(), 0, 3);
  Make("other", TestLogId(), 2, 3);
  fs::remove_all(directory_ / "data/journal");
  fs::rename(directory_ / "other/journal", directory_ / "data/journal");
  ExpectRefusal(absl::StatusCode::kDataLoss, {"begins at entry 2", "at entry 0"});
}

TEST_F(JournalOpenTest, MissingEnd) {
  Make("data", TestLogId(), 0, 135);
  const std::string watermark = ReadFile(directory_ / "data/watermark");
  for (uint64_t index = 120; index < 135; ++index) {
    DeleteEntry(index);
    for (uint32_t i = 0; i < index % 4; ++i) DeleteItem(index, i);
  }
  const std::string expected =
      "entries 120..134 are missing: the log ends at 119, the watermark says 134";
  ExpectRefusal(absl::StatusCode::kDataLoss, {expected});
  ExpectRefusal(absl::StatusCode::kDataLoss, {expected}, 130);
  ExpectRefusal(absl::StatusCode::kDataLoss, {expected}, 1000);
}

TEST_F(JournalOpenTest, EmptyLogUnderAWatermark) {
  Make("data", TestLogId(), 5, 1);
  DeleteEntry(5);
  DeleteItem(5, 0);
  ExpectRefusal(absl::StatusCode::kDataLoss,
                {"entries 5..5 are missing: the log is empty, the watermark says 5"});
}

TEST_F(JournalOpenTest, Hole) {
  Make("data", TestLogId(), 0, 10);
  DeleteEntry(3);
  DeleteEntry(4);
  ExpectRefusal(absl::StatusCode::kDataLoss,
                {"entries 3..4 are missing: the log continues at 5", directory_ / "data"});
  // Where nobody asked to look it is found by the first read.
  auto journal = Journal::Open(Options(), 5);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_THAT(std::string((*journal)->ReadEntry(4).status().message()),
              AllOf(HasSubstr("entry 4"), HasSubstr("missing")));
  EXPECT_EQ((*journal)->ReadEntry(4).status().code(), absl::StatusCode::kDataLoss);
  std::vector<uint64_t> seen;
  const absl::Status status = (*journal)->Scan(
      0, 9, [&](uint64_t index, std::string_view, std::span<const std::string_view>) {
        seen.push_back(index);
        return absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(seen, (std::vector<uint64_t>{0, 1, 2}));
}

TEST_F(JournalOpenTest, MissingAndSurplusItems) {
  struct Case {
    std::function<void()> damage;
    std::string message;
  };
  const std::string any(40, 'x');
  const std::vector<Case> cases = {
      {[&] { DeleteItem(7, 0); }, "item 0 of entry 7 is missing"},
      {[&] { DeleteItem(7, 2); }, "item 2 of entry 7 is missing"},
      {[&] { PutItem(7, 3, any); }, "entry 7 has more item rows than the 3 it counts"},
      {[&] { PutItem(8, 0, any); }, "entry 8 has more item rows than the 0 it counts"},
      {[&] { PutItem(10, 0, any); }, "item rows beyond the end"},
      {[&] { PutItem(7, 1, any); }, "item 1 of entry 7 is damaged"},
      {[&] { PutItem(7, 1, ""); }, "item 1 of entry 7 is damaged"},
  };
  for (const Case& one : cases) {
    fs::remove_all(directory_ / "data");
    Make("data", TestLogId(), 0, 10);
    one.damage();
    if (one.message.find("beyond") == std::string::npos) {
      ExpectRefusal(absl::StatusCode::kDataLoss, {one.message, directory_ / "data"});
      EXPECT_TRUE(OpenStatus(9).ok());
    } else {
      ExpectRefusal(absl::StatusCode::kDataLoss, {one.message}, 9);
    }
  }
  // Read singly, a lost item is told from one that never was.
  fs::remove_all(directory_ / "data");
  Make("data", TestLogId(), 0, 10);
  DeleteItem(7, 1);
  auto journal = Journal::Open(Options(), 8);
  ASSERT_TRUE(journal.ok());
  EXPECT_EQ((*journal)->ReadItem(7, 1).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*journal)->ReadItem(7, 3).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JournalOpenTest, EntryOfAnotherPlace) {
  Make("data", TestLogId(), 0, 10);
  EditRows([&](RowDb& rows) {
    std::string value;
    const EntryKey from = EncodeEntryKey(2);
    const EntryKey to = EncodeEntryKey(6);
    rocksdb::Status status =
        rows.db().Get({}, rows.entries(), rocksdb::Slice(from.data(), from.size()), &value);
    if (!status.ok()) return status;
    return rows.db().Put({}, rows.entries(), rocksdb::Slice(to.data(), to.size()), value);
  });
  ExpectRefusal(absl::StatusCode::kDataLoss, {"entry 6 is damaged"});
  auto journal = Journal::Open(Options(), 7);
  ASSERT_TRUE(journal.ok());
  EXPECT_EQ((*journal)->ReadEntry(6).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(JournalOpenTest, RefusalLeavesTheDirectoryAsItWas) {
  Make("data", TestLogId(), 0, 10);
  DeleteEntry(3);
  const auto listing = [&] {
    std::string text;
    for (const auto& file : fs::recursive_directory_iterator(directory_ / "data")) {
      if (!file.is_regular_file() || file.path().filename() == "LOCK") continue;
      text += file.path().string() + ReadFile(file.path()) + "\n";
    }
    return text;
  };
  const std::string before = listing();
  EXPECT_FALSE(OpenStatus().ok());
  EXPECT_EQ(listing(), before);
}

}  // namespace
}  // namespace stele::storage
