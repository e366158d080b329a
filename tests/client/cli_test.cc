// What breaks if these fail: scripts see other exit codes or output than docs/cli.md promises, or
// an argument reaches the server as something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/cli/app.h"
#include "client/cli/context.h"
#include "tests/client/fake_server.h"

namespace stele::client::cli {
namespace {

using testing::DetailedError;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    folder_ = std::filesystem::temp_directory_path() /
              absl::StrCat("stele-cli-", getpid(), "-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    setenv("STELE_ADDRESS", server_.address().c_str(), 1);
    unsetenv("STELE_API_KEY");
    server_.AddCollection("notes", 2);
  }
  ~CliTest() override { std::filesystem::remove_all(folder_); }

  Outcome Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "stele");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.exit_code = Main(static_cast<int>(argv.size()), argv.data());
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  Json RunJson(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const Outcome outcome = Run(std::move(arguments));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return Json::parse(outcome.out, nullptr, false);
  }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::filesystem::path folder_;
  FakeServer server_;
};

TEST_F(CliTest, ExitCodesFollowTheStatus) {
  const std::vector<std::pair<grpc::StatusCode, int>> codes = {
      {grpc::StatusCode::INTERNAL, 1},
      {grpc::StatusCode::INVALID_ARGUMENT, 1},
      {grpc::StatusCode::RESOURCE_EXHAUSTED, 1},
      {grpc::StatusCode::UNIMPLEMENTED, 1},
      {grpc::StatusCode::DEADLINE_EXCEEDED, 3},
      {grpc::StatusCode::NOT_FOUND, 4},
      {grpc::StatusCode::ABORTED, 5},
      {grpc::StatusCode::ALREADY_EXISTS, 5},
      {grpc::StatusCode::FAILED_PRECONDITION, 5},
      {grpc::StatusCode::DATA_LOSS, 6},
      {grpc::StatusCode::UNAUTHENTICATED, 7},
      {grpc::StatusCode::PERMISSION_DENIED, 7}};
  for (const auto& [code, exit_code] : codes) {
    server_.failures = {grpc::Status(code, "because")};
    const Outcome outcome = Run({"count", "notes"});
    EXPECT_EQ(outcome.exit_code, exit_code) << static_cast<int>(code);
    EXPECT_THAT(outcome.err, HasSubstr("because"));
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(Run({"--address", "127.0.0.1:1", "--timeout", "0.2", "count", "notes"}).exit_code, 3);
}

TEST_F(CliTest, UsageErrorsAreTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"nonsense"},
           {"collection"},
           {"collection", "create", "x"},
           {"collection", "create", "x", "--dimension", "0", "--metric", "l2"},
           {"collection", "create", "x", "--dimension", "3", "--metric", "hamming"},
           {"collection", "drop", "notes"},
           {"count", "notes", "--filter", "{"},
           {"count", "notes", "--filter", "{\"attribute\": \"a\"}"},
           {"count", "notes", "--timeout", "-1"},
           {"upsert", "notes", "--id", "a", "--vector", "[1, \"x\"]"},
           {"upsert", "notes", "--id", "a", "--vector", "[1, 2]", "--attributes", "[]"},
           {"update", "notes", "--id", "a"},
           {"delete", "notes"},
           {"delete", "notes", "a", "--filter", "{\"all_of\": []}"},
           {"search", "notes"},
           {"search", "notes", "--vector", "[1, 2]", "-k", "0"},
           {"search", "notes", "--vector", "[1, 2]", "--row", "1"},
           {"import", "notes", "/nonexistent.jsonl"},
           {"import", "notes", "/dev/null"},
           {"export", "notes", "out.txt"},
           {"completion", "tcsh"},
       }) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << ::testing::PrintToString(arguments) << outcome.err;
    EXPECT_NE(outcome.err, "") << ::testing::PrintToString(arguments);
  }
  EXPECT_TRUE(server_.seen().request_ids.empty());
}

TEST_F(CliTest, HelpAndVersionAreZero) {
  EXPECT_THAT(Run({"--help"}).out, HasSubstr("Exit codes"));
  EXPECT_EQ(Run({"search", "--help"}).exit_code, 0);
  EXPECT_EQ(Run({"--version"}).exit_code, 0);
}

TEST_F(CliTest, ErrorsAsJson) {
  server_.failures = {DetailedError(grpc::StatusCode::ABORTED, "is at 5", "VERSION_MISMATCH",
                                    {{"current", "5"}}, "operations[0].precondition")};
  const Outcome outcome = Run({"count", "notes", "--json"});
  const Json error = Json::parse(outcome.err)["error"];
  EXPECT_EQ(error["code"], "ABORTED");
  EXPECT_EQ(error["reason"], "VERSION_MISMATCH");
  EXPECT_EQ(error["metadata"]["current"], "5");
  EXPECT_EQ(error["field_violations"][0]["field"], "operations[0].precondition");
}

TEST_F(CliTest, ErrorsAsTextNameReasonAndFields) {
  server_.failures = {DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "bad \x1b[2J", "REASON",
                                    {{"key", "value"}}, "query.k")};
  const Outcome outcome = Run({"count", "notes"});
  EXPECT_THAT(outcome.err, HasSubstr("[REASON]"));
  EXPECT_THAT(outcome.err, HasSubstr("query.k"));
  EXPECT_THAT(outcome.err, HasSubstr("key = value"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
  // What the message says already is not said twice.
  server_.failures = {
      DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "query.k: is 0", "REASON", {}, "query.k")};
  EXPECT_THAT(Run({"count", "notes"}).err, Not(HasSubstr("query.k: query.k")));
}

TEST_F(CliTest, ArgumentsFromPipes) {
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&pipe] { std::ofstream(pipe) << "[0.5, 2]"; });
  const Json written = RunJson({"upsert", "notes", "--id", "a", "--vector", "@" + pipe});
  writer.join();
  EXPECT_EQ(written["inserted_count"], 1);
}

TEST_F(CliTest, TheKeyComesFromFileOrEnvironment) {
  const std::string key_file = Write("key", "  from-file\n");
  ASSERT_EQ(Run({"--api-key-file", key_file, "count", "notes"}).exit_code, 0);
  setenv("STELE_API_KEY", "from-environment", 1);
  ASSERT_EQ(Run({"count", "notes"}).exit_code, 0);
  EXPECT_THAT(server_.seen().authorizations,
              ::testing::ElementsAre("Bearer from-file", "Bearer from-environment"));
}

TEST_F(CliTest, CollectionsFromCreateToDrop) {
  const Json created = RunJson({"collection", "create", "docs", "--dimension", "3", "--metric",
                                "cosine", "--description", "about"});
  EXPECT_EQ(created["metric"], "cosine");
  EXPECT_EQ(created["position"]["state_root"].get<std::string>().size(), 64U);
  EXPECT_EQ(RunJson({"collection", "list"}).size(), 2U);
  EXPECT_THAT(Run({"collection", "list"}).out, HasSubstr("docs"));
  EXPECT_EQ(RunJson({"collection", "show", "docs"})["description"], "about");
  EXPECT_EQ(RunJson({"collection", "show", "docs"})["receipts"], "off");
  EXPECT_EQ(RunJson({"collection", "show", "docs"})["erasable"], false);
  const Json options = RunJson({"collection", "create", "personal", "--dimension", "2", "--metric",
                                "l2", "--receipts", "logged", "--erasable"});
  EXPECT_EQ(options["receipts"], "logged");
  EXPECT_EQ(options["erasable"], true);
  EXPECT_EQ(RunJson({"collection", "show", "personal"})["receipts"], "logged");
  EXPECT_EQ(RunJson({"collection", "show", "personal"})["erasable"], true);
  RunJson({"collection", "drop", "personal", "--yes"});
  EXPECT_EQ(Run({"collection", "show", "none"}).exit_code, 4);
  EXPECT_EQ(RunJson({"collection", "drop", "docs", "--yes"})["dropped_count"], 0);
  EXPECT_EQ(Run({"collection", "show", "docs"}).exit_code, 4);
}

TEST_F(CliTest, RecordsFromUpsertToDelete) {
  const std::string document = Write("doc.txt", "from a file");
  Json written = RunJson({"upsert", "notes", "--id", "a", "--vector", "[0.5, -1]", "--attributes",
                          R"({"year": 2024, "tags": ["x"]})", "--document", "@" + document});
  EXPECT_EQ(written["inserted_count"], 1);
  RunJson({"insert", "notes", "--id", "b", "--vector", "{\"q16\": [65536, 1]}"});
  EXPECT_TRUE(server_.seen().writes.back().operations(0).has_insert());
  RunJson({"update", "notes", "--id", "a", "--attributes", "{\"new\": true}", "--remove", "year",
           "--remove", "tags", "--expected-version", "9"});
  const v1::Operation update = server_.seen().writes.back().operations(0);
  EXPECT_EQ(update.update_attributes().remove_size(), 2);
  EXPECT_EQ(update.precondition().expected_version(), 9U);

  const Json got =
      RunJson({"get", "notes", "a", "b", "--with-vector", "--with-document", "--with-attributes"});
  EXPECT_EQ(got["records"][0]["vector_q16"], Json({32768, -65536}));
  EXPECT_EQ(got["records"][0]["document"], "from a file");
  EXPECT_EQ(got["records"][0]["attributes"], Json({{"new", true}}));
  EXPECT_EQ(got["records"][1]["vector_q16"], Json({65536, 1}));
  EXPECT_THAT(Run({"get", "notes", "a", "--with-vector"}).out, HasSubstr("[0.5, -1]"));

  EXPECT_EQ(RunJson({"count", "notes"})["count"], 2);
  EXPECT_EQ(Run({"count", "notes"}).out, "2\n");
  EXPECT_EQ(RunJson({"delete", "notes", "a", "zzz", "--request-id", "mine"})["missing_count"], 1);
  EXPECT_EQ(server_.seen().writes.back().request_id(), "mine");
  const Outcome missing = Run({"get", "notes", "a", "b"});
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_THAT(missing.out, HasSubstr("b"));
}

TEST_F(CliTest, IdsAreTakenAsTheyAre) {
  for (const std::string id : {"[x]", "a,b", "with blank", "{}", "ü", "%$"}) {
    RunJson({"upsert", "notes", "--id", id, "--vector", "[1, 2]"});
    EXPECT_EQ(server_.records("notes").count(id), 1U) << id;
    EXPECT_EQ(RunJson({"get", "notes", id})["records"][0]["id"], id);
    EXPECT_EQ(RunJson({"delete", "notes", id})["deleted_count"], 1);
  }
  RunJson({"upsert", "notes", "--id=-dash", "--vector", "[1, 2]"});
  EXPECT_EQ(Run({"get", "notes", "--", "-dash"}).exit_code, 0);
}

TEST_F(CliTest, DeleteByFilterGoesOnWhileThereIsMore) {
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    RunJson({"upsert", "notes", "--id", id, "--vector", "[1, 2]"});
  }
  const Json deleted =
      RunJson({"delete", "notes", "--filter", "{\"attribute\":\"x\",\"equals\":1}"});
  EXPECT_EQ(deleted["deleted_count"], 5);
  EXPECT_TRUE(server_.records("notes").empty());
}

TEST_F(CliTest, ListStopsAtItsLimit) {
  server_.page_size_max = 2;
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    RunJson({"upsert", "notes", "--id", id, "--vector", "[1, 2]"});
  }
  EXPECT_EQ(RunJson({"list", "notes"})["records"].size(), 5U);
  EXPECT_EQ(RunJson({"list", "notes"})["more"], false);
  const Json some = RunJson({"list", "notes", "--limit", "3"});
  EXPECT_EQ(some["records"].size(), 3U);
  EXPECT_EQ(some["more"], true);
  EXPECT_EQ(RunJson({"list", "notes", "--limit", "5"})["more"], false);
  EXPECT_THAT(Run({"list", "notes", "--limit", "3"}).out, HasSubstr("raise --limit"));
}

TEST_F(CliTest, SearchSendsWhatWasAsked) {
  for (const char* id : {"a", "b", "c"}) {
    RunJson({"upsert", "notes", "--id", id, "--vector", "[1, 2]"});
  }
  const Json found =
      RunJson({"search", "notes", "--vector", "[1, 2]", "-k", "2", "--threshold", "0.5", "--filter",
               R"({"attribute": "year", "greater_or_equal": 2020})", "--at-index", "4"});
  EXPECT_EQ(found["results"][0]["hits"].size(), 2U);
  EXPECT_EQ(found["algorithm"], "exact");
  const v1::SearchRequest search = server_.seen().searches.back();
  EXPECT_EQ(search.query().threshold().score(), 0.5);
  EXPECT_EQ(search.query().filter().condition().greater_or_equal().int64_value(), 2020);
  EXPECT_EQ(search.at_index(), 4U);
  const Outcome table = Run({"search", "notes", "--vector", "[1, 2]", "--distance-raw-max", "-5"});
  EXPECT_THAT(table.out,
              HasSubstr("#  ID     SCORE  DISTANCE RAW\n1  a   1.000000             0\n"));
  EXPECT_EQ(server_.seen().searches.back().query().threshold().distance_raw_max(), -5);
}

TEST_F(CliTest, SearchExplains) {
  RunJson({"upsert", "notes", "--id", "a", "--vector", "[1, 2]"});
  const std::vector<std::string> plain = {"search", "notes", "--vector", "[1, 2]"};
  std::vector<std::string> explained = plain;
  explained.push_back("--explain");
  v1::SearchExplanation& explanation = server_.explanation.emplace();
  explanation.set_algorithm("exact");
  explanation.set_kernel("avx2");
  explanation.set_search_threads(2);
  explanation.set_rows_visible(20'000);
  explanation.set_rows_scanned(19'999);
  explanation.set_rows_kept_4bit(512);
  explanation.set_rows_kept_8bit(31);
  explanation.set_rows_filter_tested(95);
  explanation.set_rows_computed(1);
  explanation.set_bytes_read(1'300'000);
  explanation.set_filter_strategy(v1::FILTER_STRATEGY_SCAN);
  // Not asked for: not sent, not shown.
  EXPECT_FALSE(RunJson(plain)["results"][0].contains("explanation"));
  EXPECT_FALSE(server_.seen().searches.back().explain());
  EXPECT_THAT(Run(plain).out, ::testing::Not(HasSubstr("STEP")));

  const Json json = RunJson(explained)["results"][0]["explanation"];
  EXPECT_TRUE(server_.seen().searches.back().explain());
  EXPECT_EQ(json, Json::parse(R"({"algorithm": "exact", "kernel": "avx2", "search_threads": 2,
      "rows_visible": 20000, "rows_scanned": 19999, "rows_kept_4bit": 512, "rows_kept_8bit": 31,
      "rows_filter_tested": 95, "rows_computed": 1, "bytes_read": 1300000,
      "filter_strategy": "scan", "filter_candidates": 0})"));
  EXPECT_THAT(Run(explained).out,
              HasSubstr("1  a   1.000000             0\n"
                        "\n"
                        "STEP                        ROWS    SHARE\n"
                        "visible in the collection  20000  100.00%\n"
                        "met by the scan            19999  100.00%\n"
                        "kept by 4-bit readings       512    2.56%\n"
                        "kept by 8-bit readings        31    0.15%\n"
                        "filter evaluated              95    0.47%\n"
                        "computed exactly               1   <0.01%\n"
                        "read 1.2 MiB, filter: scan, exact search, kernel avx2, 2 threads\n"));

  explanation.set_filter_strategy(v1::FILTER_STRATEGY_POSTINGS);
  explanation.set_filter_candidates(5000);
  EXPECT_EQ(RunJson(explained)["results"][0]["explanation"]["filter_candidates"], 5000);
  EXPECT_THAT(Run(explained).out, HasSubstr("left by the filter's indexes   5000   25.00%\n"));
}

TEST_F(CliTest, SearchExplainsWhatItCan) {
  const std::vector<std::string> command = {"search", "notes", "--vector", "[1, 2]", "--explain"};
  // An older server ignores the question.
  EXPECT_TRUE(RunJson(command)["results"][0]["explanation"].is_null());
  EXPECT_THAT(Run(command).out, HasSubstr("not explained: the server does not know how\n"));
  // A newer one knows more strategies; an empty collection has no shares.
  server_.explanation.emplace().set_filter_strategy(static_cast<v1::FilterStrategy>(99));
  EXPECT_EQ(RunJson(command)["results"][0]["explanation"]["filter_strategy"], "unknown");
  EXPECT_THAT(Run(command).out, HasSubstr("computed exactly              0      -\nread 0 B, "));
}

TEST_F(CliTest, SearchOfAFileIsOnOneState) {
  RunJson({"upsert", "notes", "--id", "a", "--vector", "[1, 2]"});
  server_.limits.set_max_batch_queries(2);
  const std::string file = Write("q.jsonl",
                                 "[1, 2]\n{\"id\": \"second\", \"vector\": [3, 4]}\n\n"
                                 "{\"vector_q16\": [5, 6]}\n");
  const Json all = RunJson({"search", "notes", "--file", file});
  ASSERT_EQ(all["results"].size(), 3U);
  EXPECT_EQ(all["results"][1]["query"], "second");
  EXPECT_EQ(server_.seen().searches[2].at_index(), server_.log_index());
  const Json one = RunJson({"search", "notes", "--file", file, "--row", "2"});
  ASSERT_EQ(one["results"].size(), 1U);
  EXPECT_TRUE(server_.seen().searches.back().query().vector().has_q16());
  EXPECT_EQ(Run({"search", "notes", "--file", file, "--row", "3"}).exit_code, 2);
}

TEST_F(CliTest, ServerSnapshotAndOutcome) {
  server_.limits.set_max_k(10000);
  const Json info = RunJson({"server", "info"});
  EXPECT_EQ(info["version"], "9.9.9");
  EXPECT_EQ(info["limits"]["max_k"], 10000);
  EXPECT_THAT(Run({"server", "info"}).out, HasSubstr("9.9.9"));
  EXPECT_EQ(RunJson({"snapshot", "create"})["snapshot_hash"], "0102");
  RunJson({"delete", "notes", "a", "--request-id", "known"});
  EXPECT_EQ(RunJson({"outcome", "known"})["state"], "executed");
  EXPECT_EQ(RunJson({"outcome", "other"})["state"], "not_seen");
}

TEST_F(CliTest, ImportOfSeveralFilesCountsIdsOn) {
  const std::string row = std::string("\x02\0\0\0", 4) + std::string(8, '\0');
  const std::string one = Write("1.fvecs", row + row);
  const std::string two = Write("2.fvecs", row);
  const Json imported = RunJson({"import", "notes", one, two, "--first-id", "5"});
  EXPECT_EQ(imported[0]["row_count"], 2);
  EXPECT_EQ(imported[1]["row_count"], 1);
  std::vector<std::string> ids;
  for (const auto& [id, record] : server_.records("notes")) ids.push_back(id);
  EXPECT_THAT(ids, ::testing::ElementsAre("5", "6", "7"));
}

TEST_F(CliTest, ExportIsImportedAgain) {
  RunJson({"upsert", "notes", "--id", "a", "--vector", "[1, 2]", "--document", "text"});
  const std::string file = folder_ / "out.jsonl";
  EXPECT_EQ(RunJson({"export", "notes", file})["row_count"], 1);
  EXPECT_EQ(RunJson({"import", "notes", file})[0]["updated_count"], 1);
}

TEST_F(CliTest, BashCompletionKnowsTheCommands) {
  Context context;
  const std::string script = Write("completion.bash", BashCompletion(*BuildApp(&context)));
  const auto complete = [&script](const std::string& line) {
    const std::string command =
        absl::StrCat("bash -c 'source ", script, "; COMP_WORDS=(", line,
                     "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _stele; echo \"${COMPREPLY[@]}\"'");
    std::FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096] = {};
    const size_t size = std::fread(buffer, 1, sizeof(buffer) - 1, pipe);
    EXPECT_EQ(pclose(pipe), 0);
    return std::string(buffer, size);
  };
  EXPECT_EQ(complete("stele coll"), "collection\n");
  EXPECT_EQ(complete("stele collection \"\""), "create list show drop\n");
  EXPECT_EQ(complete("stele --json collection cr"), "create\n");
  EXPECT_THAT(complete("stele collection create x --"), HasSubstr("--dimension"));
  EXPECT_THAT(complete("stele search --with"), HasSubstr("--with-document"));
  EXPECT_EQ(complete("stele collection create x --metric c"), "cosine\n");
  EXPECT_THAT(complete("stele search --addr"), HasSubstr("--address"));
}

}  // namespace
}  // namespace stele::client::cli
