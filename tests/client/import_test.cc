// What breaks if these fail: an import that is interrupted loses rows, writes them twice, or goes
// on with the progress of another file, collection or server.
#include "client/cli/import.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/export.h"
#include "client/cli/resume_file.h"
#include "tests/client/fake_server.h"

namespace stele::client::cli {
namespace {

using testing::DetailedError;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::StreamFault;

constexpr int kRows = 500;

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() {
    folder_ = std::filesystem::temp_directory_path() /
              absl::StrCat("stele-import-", getpid(), "-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    server_.AddCollection("notes", 2);
    options_.collection = "notes";
    options_.source.path = WriteRows("rows.jsonl", kRows);
    options_.batch.records_max = 10;
    options_.window = 4;
  }
  ~ImportTest() override { std::filesystem::remove_all(folder_); }

  std::string WriteRows(const std::string& name, int count, double offset = 0) {
    const std::string path = folder_ / name;
    std::ofstream file(path);
    for (int i = 0; i < count; ++i) {
      file << "{\"id\": \"r" << i << "\", \"vector\": [" << i + offset << ", 0.5], "
           << "\"attributes\": {\"i\": " << i << "}}\n";
    }
    return path;
  }

  absl::StatusOr<ImportResult> Import() {
    Options options;
    options.address = server_.address();
    options.timeout = absl::Seconds(20);
    Client client = Client::Connect(options).value();
    return ImportFile(&client, options_);
  }

  std::string ResumePath() const { return options_.source.path + ".stele-progress"; }
  bool HasResumeFile() const { return std::filesystem::exists(ResumePath()); }

  // Each row written by exactly one executed entry.
  void ExpectEachRowOnce() {
    EXPECT_EQ(server_.records("notes").size(), static_cast<size_t>(kRows));
    std::map<std::string, std::set<std::string>> entries_of_row;
    for (const v1::WriteRequest& write : server_.seen().writes) {
      for (const v1::Operation& operation : write.operations()) {
        entries_of_row[operation.upsert().id()].insert(write.request_id());
      }
    }
    for (const auto& [row, entries] : entries_of_row) EXPECT_EQ(entries.size(), 1U) << row;
    EXPECT_EQ(server_.seen().request_ids.size(), static_cast<size_t>(kRows / 10));
  }

  // Fails for good, as an interrupted run does, when the n-th message of the stream arrives.
  void FailAt(uint64_t message, StreamFault fault = StreamFault::kWrongId) {
    server_.stream_fault = [message, fault](uint64_t i) {
      return i == message ? fault : StreamFault::kNone;
    };
  }

  std::filesystem::path folder_;
  FakeServer server_;
  ImportOptions options_;
};

TEST_F(ImportTest, WritesEveryRowAndRemovesTheProgressFile) {
  const auto result = Import();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->row_count, static_cast<uint64_t>(kRows));
  EXPECT_EQ(result->inserted_count, static_cast<uint64_t>(kRows));
  EXPECT_EQ(result->entry_count, static_cast<uint64_t>(kRows / 10));
  EXPECT_EQ(result->duplicate_rows, 0U);
  EXPECT_EQ(result->position.log_index(), server_.log_index());
  EXPECT_FALSE(HasResumeFile());
  ExpectEachRowOnce();
}

TEST_F(ImportTest, GoesOnAfterAnInterruptionAtEveryBatch) {
  for (uint64_t message = 0; message < kRows / 10; message += 7) {
    FakeServer fresh;
    fresh.AddCollection("notes", 2);
    fresh.stream_fault = [message](uint64_t i) {
      return i == message ? StreamFault::kWrongId : StreamFault::kNone;
    };
    Options options;
    options.address = fresh.address();
    Client client = Client::Connect(options).value();
    ASSERT_FALSE(ImportFile(&client, options_).ok());
    ASSERT_TRUE(HasResumeFile());
    const auto result = ImportFile(&client, options_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->resumed_rows, 10 * message);
    EXPECT_EQ(result->row_count, static_cast<uint64_t>(kRows));
    // The batch whose acknowledgement was lost had been executed and is not executed again.
    EXPECT_GE(result->duplicate_rows, 10U);
    EXPECT_EQ(fresh.seen().request_ids.size(), static_cast<size_t>(kRows / 10));
    EXPECT_EQ(fresh.records("notes").size(), static_cast<size_t>(kRows));
    EXPECT_FALSE(HasResumeFile());
  }
}

TEST_F(ImportTest, ALostProgressFileCostsTimeButNoDuplicates) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  std::filesystem::remove(ResumePath());
  const auto result = Import();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->resumed_rows, 0U);
  EXPECT_GE(result->duplicate_rows, 210U);
  ExpectEachRowOnce();
}

TEST_F(ImportTest, ResumeKeepsTheBatchesOfTheFirstRun) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  options_.batch.records_max = 33;
  ASSERT_TRUE(Import().ok());
  ExpectEachRowOnce();
}

TEST_F(ImportTest, RowsThatMayHaveBeenSentKeepTheIndexOfTheirFirstSending) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  const uint64_t known = (*LoadResumeFile(ResumePath()))->known_index;
  EXPECT_GT(known, 0U);
  const size_t before = server_.seen().writes.size();
  std::map<std::string, uint64_t> first_known;
  for (const v1::WriteRequest& write : server_.seen().writes) {
    first_known[write.request_id()] = write.known_index();
  }
  server_.AddCollection("other", 2);  // the log goes on meanwhile
  ASSERT_TRUE(Import().ok());
  const auto writes = server_.seen().writes;
  size_t repeated = 0;
  for (size_t i = before; i < writes.size(); ++i) {
    const auto found = first_known.find(writes[i].request_id());
    if (found == first_known.end()) continue;
    ++repeated;
    EXPECT_LE(writes[i].known_index(), found->second);
  }
  EXPECT_GT(repeated, 0U);
}

TEST_F(ImportTest, AChangedFileIsNotContinued) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  WriteRows("rows.jsonl", kRows, 0.25);
  const auto result = Import();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("--restart"));
  options_.restart = true;
  ASSERT_TRUE(Import().ok());
  EXPECT_EQ(DecodeDoubles(server_.records("notes")["r0"].vector_q16()).value()[0], 0.25);
}

TEST_F(ImportTest, AnotherServerOrCollectionIsNotContinued) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  server_.AddCollection("notes", 2);  // dropped and created again
  EXPECT_EQ(Import().status().code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::remove(ResumePath());
  FailAt(server_.seen().stream_messages + 5);
  ASSERT_FALSE(Import().ok());
  server_.ForgetRequests();
  EXPECT_EQ(Import().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ImportTest, TheSameImportAgainIsReportedAndCanBeForced) {
  ASSERT_TRUE(Import().ok());
  const auto repeated = Import();
  ASSERT_TRUE(repeated.ok());
  EXPECT_EQ(repeated->duplicate_rows, static_cast<uint64_t>(kRows));
  EXPECT_EQ(repeated->updated_count, 0U);
  options_.again = true;
  const auto again = Import();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->duplicate_rows, 0U);
  EXPECT_EQ(again->updated_count, static_cast<uint64_t>(kRows));
}

TEST_F(ImportTest, AForcedImportIsResumedWithoutForce) {
  ASSERT_TRUE(Import().ok());
  options_.again = true;
  FailAt(server_.seen().stream_messages + 20);
  ASSERT_FALSE(Import().ok());
  options_.again = false;
  ASSERT_TRUE(Import().ok());
  EXPECT_EQ(server_.seen().request_ids.size(), static_cast<size_t>(2 * kRows / 10));
}

TEST_F(ImportTest, ForcingIsOnDiskBeforeAnythingIsSentWithIt) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  options_.again = true;
  std::optional<std::string> nonce_when_sent;
  server_.stream_fault = [&](uint64_t) {
    if (!nonce_when_sent.has_value()) nonce_when_sent = (*LoadResumeFile(ResumePath()))->nonce;
    return StreamFault::kNone;
  };
  ASSERT_TRUE(Import().ok());
  EXPECT_NE(nonce_when_sent.value(), "");
}

TEST_F(ImportTest, ASecondInterruptionKeepsTheIndexOfTheFirstSending) {
  FailAt(20);
  ASSERT_FALSE(Import().ok());
  const ResumeState first = **LoadResumeFile(ResumePath());
  server_.AddCollection("other", 2);  // the log goes on meanwhile
  server_.reject = [](const v1::WriteRequest& request) {
    return request.operations(0).upsert().id() == "r250"
               ? grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no")
               : grpc::Status::OK;
  };
  ASSERT_FALSE(Import().ok());
  const ResumeState second = **LoadResumeFile(ResumePath());
  EXPECT_GT(second.acknowledged_rows, first.acknowledged_rows);
  ASSERT_LT(second.acknowledged_rows, first.sent_rows);
  EXPECT_LE(second.known_index, first.known_index);
}

TEST_F(ImportTest, ARejectionNamesTheLine) {
  server_.reject = [](const v1::WriteRequest& request) {
    return request.operations(0).upsert().id() == "r40"
               ? DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "attribute too long",
                               "ATTRIBUTE_TOO_LONG", {}, "operations[3].upsert.attributes")
               : grpc::Status::OK;
  };
  const auto result = Import();
  EXPECT_EQ(ErrorReason(result.status()), "ATTRIBUTE_TOO_LONG");
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("rows.jsonl:44: attribute too long"));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("rows before 40 are written"));
  EXPECT_EQ((*LoadResumeFile(ResumePath()))->acknowledged_rows, 40U);
}

TEST_F(ImportTest, RowsThatAreTooOldSayWhatToDo) {
  server_.reject = [](const v1::WriteRequest&) {
    return DetailedError(grpc::StatusCode::FAILED_PRECONDITION, "too old", "REQUEST_TOO_OLD");
  };
  EXPECT_THAT(std::string(Import().status().message()), HasSubstr("--again"));
}

TEST_F(ImportTest, ABadRowIsNamedAndNothingOfItIsSent) {
  std::ofstream(options_.source.path, std::ios::app) << "{\"id\": \"x\", \"vector\": [1]}\n";
  const auto result = Import();
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("rows.jsonl:501: the vector has 1 components"));
  std::ofstream(options_.source.path) << "{\"id\": \"a\", \"vector\": [1, 2]}\nnonsense\n";
  options_.restart = true;
  EXPECT_THAT(std::string(Import().status().message()), HasSubstr("rows.jsonl:2: not valid JSON"));
  EXPECT_EQ(server_.records("notes").count("x"), 0U);
}

TEST_F(ImportTest, ARepeatedIdTakesTheLastRow) {
  std::ofstream(options_.source.path) << "{\"id\": \"a\", \"vector\": [1, 0]}\n"
                                      << "{\"id\": \"a\", \"vector\": [2, 0]}\n";
  const auto result = Import();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->entry_count, 2U);
  EXPECT_EQ(DecodeDoubles(server_.records("notes")["a"].vector_q16()).value()[0], 2.0);
}

TEST_F(ImportTest, AnUnwritableProgressFileIsAnErrorBeforeAnythingIsSent) {
  options_.resume_path = folder_ / "none" / "progress";
  EXPECT_THAT(std::string(Import().status().message()), HasSubstr("--resume-file"));
  EXPECT_TRUE(server_.records("notes").empty());
}

TEST_F(ImportTest, AnEmptyFileIsFine) {
  std::ofstream(options_.source.path).flush();
  const auto result = Import();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->row_count, 0U);
  EXPECT_FALSE(HasResumeFile());
}

TEST_F(ImportTest, AnUnknownCollectionIsNotFound) {
  options_.collection = "none";
  EXPECT_EQ(Import().status().code(), absl::StatusCode::kNotFound);
}

// The real thing: the program is killed again and again, without any chance to clean up.
TEST_F(ImportTest, SurvivesBeingKilledAtAnyMoment) {
  const std::string path = WriteRows("many.jsonl", 20000);
  int kills = 0;
  int exit_code = -1;
  for (int run = 0; run < 200 && exit_code != 0; ++run) {
    const pid_t child = fork();
    if (child == 0) {
      const int null = open("/dev/null", O_WRONLY);
      dup2(null, STDOUT_FILENO);
      dup2(null, STDERR_FILENO);
      execl(STELE_CLI, STELE_CLI, "--address", server_.address().c_str(), "import", "notes",
            path.c_str(), "--batch", "10", nullptr);
      _exit(127);
    }
    // Longer and longer, so that it completes some day.
    absl::SleepFor(absl::Milliseconds(40 + 7 * run));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) ++kills;
    exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ASSERT_TRUE(exit_code == -1 || exit_code == 0) << exit_code;
  }
  EXPECT_EQ(exit_code, 0);
  EXPECT_GT(kills, 2);
  EXPECT_EQ(server_.records("notes").size(), 20000U);
  EXPECT_EQ(server_.seen().request_ids.size(), 2000U);
  EXPECT_FALSE(std::filesystem::exists(path + ".stele-progress"));
}

// Exporting and importing again gives the same records, in every exact format.
TEST_F(ImportTest, ExportsComeBack) {
  ASSERT_TRUE(Import().ok());
  server_.page_size_max = 37;
  const auto original = server_.records("notes");
  Options client_options;
  client_options.address = server_.address();
  Client client = Client::Connect(client_options).value();
  for (const bool raw : {false, true}) {
    for (const std::string format : {"jsonl", "npy", "fvecs"}) {
      if (raw && format != "npy") continue;
      ExportOptions export_options;
      export_options.collection = "notes";
      export_options.path = folder_ / absl::StrCat("out", raw ? "-raw." : ".", format);
      export_options.raw_q16 = raw;
      if (format == "fvecs") export_options.ids_path = folder_ / "out.fvecs.ids.jsonl";
      const auto exported = ExportCollection(&client, export_options);
      ASSERT_TRUE(exported.ok()) << exported.status();
      EXPECT_EQ(exported->row_count, static_cast<uint64_t>(kRows));
      EXPECT_EQ(exported->rounded_components, 0U);

      FakeServer other;
      other.AddCollection("notes", 2);
      client_options.address = other.address();
      Client other_client = Client::Connect(client_options).value();
      ImportOptions import_options;
      import_options.collection = "notes";
      import_options.source = {export_options.path, "", exported->ids_path, 0, raw};
      const auto imported = ImportFile(&other_client, import_options);
      ASSERT_TRUE(imported.ok()) << imported.status();
      const auto copy = other.records("notes");
      ASSERT_EQ(copy.size(), original.size()) << format;
      for (const auto& [id, record] : original) {
        EXPECT_EQ(copy.at(id).vector_q16(), record.vector_q16()) << format << id;
        EXPECT_EQ(copy.at(id).attributes().at("i").int64_value(),
                  record.attributes().at("i").int64_value());
      }
    }
  }
}

TEST_F(ImportTest, AnExportThatFailsLeavesNothing) {
  ASSERT_TRUE(Import().ok());
  server_.page_size_max = 100;
  Options client_options;
  client_options.address = server_.address();
  Client client = Client::Connect(client_options).value();
  ExportOptions export_options;
  export_options.collection = "notes";
  export_options.path = folder_ / "out.npy";
  export_options.on_progress = [this](const ProgressState&) {
    server_.failures = {grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "history ends")};
  };
  EXPECT_EQ(ExportCollection(&client, export_options).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.npy"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.npy.ids.jsonl"));
  // Pages of different states are no export.
  export_options.on_progress = [this](const ProgressState&) { server_.AddCollection("x", 2); };
  EXPECT_EQ(ExportCollection(&client, export_options).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace stele::client::cli
