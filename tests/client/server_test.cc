// The C++ client and the command line against the real server. What breaks if these fail: what the
// client promises (retries that run once, exports that come back to the same root, offline checks)
// holds against a stand-in only.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/context.h"
#include "client/client.h"

namespace stele::client {
namespace {

using ::testing::HasSubstr;

// One server process over one data directory. The port stays the same over restarts.
class ServerProcess {
 public:
  explicit ServerProcess(std::string data_dir) : data_dir_(std::move(data_dir)) { Start(); }
  ~ServerProcess() { Stop(SIGKILL); }

  const std::string& address() const { return address_; }

  void Start() {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      const int null = open("/dev/null", O_WRONLY);
      dup2(null, STDERR_FILENO);
      execl(STELE_SERVER, STELE_SERVER, "--data-dir", data_dir_.c_str(), "--listen",
            address_.c_str(), "--http-listen", "", nullptr);
      _exit(127);
    }
    close(ends[1]);
    // "stele-server 0.1.0 listening on 127.0.0.1:NNNN log_index ..."
    std::string line;
    char c = 0;
    while (read(ends[0], &c, 1) == 1 && c != '\n') line.push_back(c);
    close(ends[0]);
    const size_t begin = line.find("listening on ");
    ASSERT_NE(begin, std::string::npos) << line;
    address_ = line.substr(begin + 13, line.find(' ', begin + 13) - begin - 13);
  }

  void Stop(int signal) {
    if (child_ <= 0) return;
    kill(child_, signal);
    (void)waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  const std::string data_dir_;
  std::string address_ = "127.0.0.1:0";
  pid_t child_ = -1;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest()
      : folder_(std::filesystem::temp_directory_path() /
                absl::StrCat("stele-server-test-", getpid())),
        cleaned_(std::filesystem::remove_all(folder_) + 1),
        made_(std::filesystem::create_directories(folder_)),
        server_(folder_ / "data") {}
  ~ServerTest() override {
    server_.Stop(SIGKILL);
    std::filesystem::remove_all(folder_);
  }

  Client Connect(const ServerProcess& server) {
    Options options;
    options.address = server.address();
    options.timeout = absl::Seconds(60);
    return Client::Connect(options).value();
  }

  // The command line; its standard output.
  int Run(const ServerProcess& server, std::vector<std::string> arguments,
          std::string* output = nullptr) {
    arguments.insert(arguments.begin(), {"stele", "--address", server.address()});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    ::testing::internal::CaptureStdout();
    const int exit_code = cli::Main(static_cast<int>(argv.size()), argv.data());
    const std::string text = ::testing::internal::GetCapturedStdout();
    if (output != nullptr) *output = text;
    return exit_code;
  }

  std::string StateRoot(const ServerProcess& server) {
    return Connect(server).ServerInfo()->position().state_root();
  }

  static std::vector<Record> MakeRecords(size_t count) {
    std::mt19937 random(11);
    std::uniform_real_distribution<double> uniform(-2.0, 2.0);
    std::vector<Record> records(count);
    for (size_t i = 0; i < count; ++i) {
      std::vector<double> vector(8);
      for (double& component : vector) component = uniform(random);
      records[i].id = absl::StrCat("id [", i, "], \"x\"\n");
      records[i].vector = vector;
      records[i].attributes = {{"i", static_cast<int64_t>(i)},
                               {"x", uniform(random)},
                               {"even", i % 2 == 0},
                               {"name", absl::StrCat("é", i)},
                               {"raw", Bytes{std::string("\0\xff", 2)}},
                               {"at", absl::FromUnixMicros(static_cast<int64_t>(i) * 1000003 - 5)},
                               {"tags", std::vector<Value>{"a", absl::StrCat(i % 3)}}};
      records[i].document = i % 2 == 0 ? "text" : std::string("\xff\0binary", 8);
    }
    return records;
  }

  const std::filesystem::path folder_;
  const uintmax_t cleaned_;
  const bool made_;
  ServerProcess server_;
};

TEST_F(ServerTest, EveryCallOfTheClient) {
  Client client = Connect(server_);
  ASSERT_TRUE(client.CreateCollection("notes", 8, v1::METRIC_L2).ok());
  const std::vector<Record> records = MakeRecords(500);
  UpsertOptions options;
  options.batch.records_max = 64;
  const auto upserted = client.Upsert("notes", records, options);
  ASSERT_TRUE(upserted.ok()) << upserted.status();
  EXPECT_EQ(upserted->inserted_count, 500U);
  EXPECT_EQ(client.Insert("notes", records, options).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(client.Count("notes")->count(), 500U);
  EXPECT_EQ(client.Count("notes", Field("i") >= 100 && Field("even") == true)->count(), 200U);
  EXPECT_EQ(client.Count("notes", !(Field("tags").Contains("0")) || Field("i") == 0)->count(),
            334U);

  Query query;
  query.vector = records[7].vector;
  query.k = 3;
  const auto found = client.Search("notes", query, {.vector = true, .attributes = true});
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->hits_size(), 3);
  EXPECT_EQ(found->hits(0).record().id(), records[7].id);
  EXPECT_EQ(found->hits(0).distance_raw(), 0);
  const std::vector<Query> queries(2, query);
  EXPECT_EQ(client.BatchSearch("notes", queries)->results_size(), 2);
  EXPECT_FALSE(found->has_explanation());
  EXPECT_EQ(client.Search("notes", query, {}, {.explain = true})->explanation().rows_scanned(),
            500U);
  const auto explained = client.BatchSearch("notes", queries, {}, {.explain = true});
  EXPECT_EQ(explained->results(1).explanation().rows_visible(), 500U);

  const auto got = client.Get("notes", {records[1].id, "none"}, {.document = true});
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->records(0).document(), records[1].document);
  EXPECT_EQ(got->missing_ids(0), "none");
  EXPECT_EQ(client.UpdateAttributes("notes", records[1].id, {{"new", 1}}, {"x"})->updated_count(),
            1U);
  EXPECT_EQ(client.Delete("notes", {records[0].id, "none"})->missing_count(), 1U);
  EXPECT_EQ(client.DeleteByFilter("notes", Field("i") < 10)->deleted_count(), 9U);
  size_t listed = 0;
  RecordIterator iterator = client.List("notes", {.page_size = 100});
  while ((*iterator.Next()).has_value()) ++listed;
  EXPECT_EQ(listed, 490U);

  WriteOptions write_options;
  write_options.request_id = "mine";
  const auto first = client.Delete("notes", {records[20].id}, write_options);
  const auto second = client.Delete("notes", {records[20].id}, write_options);
  EXPECT_TRUE(second->duplicate());
  EXPECT_EQ(first->position().log_index(), second->position().log_index());
  EXPECT_EQ(client.GetOutcome("mine")->state(), v1::GetOutcomeResponse::STATE_EXECUTED);
  EXPECT_EQ(ErrorReason(client.Delete("notes", {records[21].id}, write_options).status()),
            "REQUEST_ID_REUSED");

  ASSERT_TRUE(client.CreateSnapshot().ok());
  EXPECT_EQ(client.ListSnapshots()->snapshots_size(), 1);
  EXPECT_EQ(client.ListCollections()->size(), 1U);
  EXPECT_EQ(client.DropCollection("notes")->dropped_count(), 489U);
  EXPECT_EQ(client.GetCollection("notes").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ServerTest, BatchesRunOnceWhileTheServerIsKilled) {
  Client client = Connect(server_);
  ASSERT_TRUE(client.CreateCollection("notes", 8, v1::METRIC_COSINE).ok());
  const std::vector<Record> records = MakeRecords(20000);
  std::thread killer([this] {
    for (int i = 0; i < 4; ++i) {
      absl::SleepFor(absl::Milliseconds(150));
      server_.Stop(SIGKILL);
      server_.Start();
    }
  });
  UpsertOptions options;
  options.batch.records_max = 50;
  const auto result = client.Upsert("notes", records, options);
  killer.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->entry_count, 400U);
  EXPECT_EQ(client.Count("notes")->count(), 20000U);
  // One entry for the collection and one for each batch, however often it was sent.
  EXPECT_EQ(client.ServerInfo()->position().state_index(), 401U);
}

TEST_F(ServerTest, AnExportComesBackToTheSameRoot) {
  for (const v1::Metric metric : {v1::METRIC_L2, v1::METRIC_COSINE}) {
    Client client = Connect(server_);
    (void)client.DropCollection("notes");
    v1::CollectionOptions collection_options;
    collection_options.set_description("d");
    ASSERT_TRUE(client.CreateCollection("notes", 8, metric, collection_options).ok());
    ASSERT_TRUE(client.Upsert("notes", MakeRecords(3000)).ok());
    // A history that the other server does not have.
    ASSERT_TRUE(client.DeleteByFilter("notes", Field("i") < 100).ok());
    const std::string jsonl = folder_ / "out.jsonl";
    const std::string npy = folder_ / "out.npy";
    ASSERT_EQ(Run(server_, {"export", "notes", jsonl}), 0);
    ASSERT_EQ(Run(server_, {"export", "notes", npy, "--raw-q16"}), 0);
    const std::vector<std::vector<std::string>> imports = {
        {"import", "notes", jsonl},
        {"import", "notes", npy, "--ids", npy + ".ids.jsonl", "--raw-q16"}};
    for (size_t i = 0; i < imports.size(); ++i) {
      ServerProcess other(folder_ / absl::StrCat("other-", metric, "-", i));
      Client other_client = Connect(other);
      ASSERT_TRUE(other_client.CreateCollection("notes", 8, metric, collection_options).ok());
      ASSERT_EQ(Run(other, imports[i]), 0);
      EXPECT_EQ(StateRoot(other), StateRoot(server_));
    }
  }
}

TEST_F(ServerTest, OfflineCommandsAgreeAndSeeDamage) {
  Client client = Connect(server_);
  ASSERT_TRUE(client.CreateCollection("notes", 8, v1::METRIC_L2).ok());
  ASSERT_TRUE(client.Upsert("notes", MakeRecords(1000)).ok());
  const auto snapshot = client.CreateSnapshot();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const std::string root = cli::Hex(StateRoot(server_));
  const std::string data_dir = folder_ / "data";
  EXPECT_NE(Run(server_, {"verify", "--data-dir", data_dir}), 0) << "the server still runs";
  server_.Stop(SIGTERM);
  std::string output;
  EXPECT_EQ(Run(server_, {"verify", "--data-dir", data_dir, "--json"}, &output), 0);
  EXPECT_THAT(output, HasSubstr(root));
  EXPECT_EQ(Run(server_, {"replay", "--data-dir", data_dir, "--json"}, &output), 0);
  EXPECT_THAT(output, HasSubstr(root));
  const std::string file = folder_ / "data" / "snapshots" / snapshot->snapshot().file_name();
  EXPECT_EQ(Run(server_, {"snapshot", "verify", file, "--json"}, &output), 0);
  EXPECT_THAT(output, HasSubstr(cli::Hex(snapshot->snapshot().snapshot_hash())));
  {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekg(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
    const int byte = damaged.peek();
    damaged.put(static_cast<char>(byte ^ 1));
  }
  EXPECT_EQ(Run(server_, {"snapshot", "verify", file}), 6);
  EXPECT_EQ(Run(server_, {"verify", "--data-dir", data_dir}), 6);
}

// Whatever byte of a table file has changed: what is said names that file.
TEST_F(ServerTest, TheDamagedTableIsNamed) {
  ASSERT_TRUE(Connect(server_).CreateCollection("notes", 8, v1::METRIC_L2).ok());
  ASSERT_TRUE(Connect(server_).Upsert("notes", MakeRecords(200)).ok());
  server_.Stop(SIGTERM);
  server_.Start();  // what it recovers goes into table files
  server_.Stop(SIGTERM);
  const std::string data_dir = folder_ / "data";
  int tables = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "data" / "journal")) {
    if (entry.path().extension() != ".sst") continue;
    ++tables;
    const auto size = static_cast<std::streamoff>(entry.file_size());
    std::fstream table(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff place = 3; place < size; place += std::max<std::streamoff>(size / 25, 1)) {
      table.seekg(place);
      const int byte = table.peek();
      table.put(static_cast<char>(byte ^ (1 << (place % 8)))).flush();
      ::testing::internal::CaptureStderr();
      const int exit_code = Run(server_, {"verify", "--data-dir", data_dir});
      const std::string error = ::testing::internal::GetCapturedStderr();
      EXPECT_EQ(exit_code, 6) << entry.path() << " at " << place;
      EXPECT_THAT(error, HasSubstr(entry.path().filename().string())) << " at " << place;
      table.seekp(place);
      table.put(static_cast<char>(byte)).flush();
    }
  }
  EXPECT_GE(tables, 2);
  EXPECT_EQ(Run(server_, {"verify", "--data-dir", data_dir}), 0);
}

TEST_F(ServerTest, WhatWasWhatChangedAndWhatWouldHaveBeen) {
  Client client = Connect(server_);
  ASSERT_TRUE(client.CreateCollection("c", 2, v1::METRIC_L2).ok());
  const auto put = [&](const std::string& id, double x) {
    return client.Upsert("c", {{.id = id, .vector = {x, 0}}})->position.log_index();
  };
  const uint64_t first = put("a", 1);
  const uint64_t second = put("a", 2);
  const uint64_t third = put("b", 0.5);
  std::vector<v1::RecordChange> changes;
  Client::HistoryOptions history;
  history.page_size = 1;
  history.select.vector = true;
  const absl::Status told = client.History("c", "a", history, [&](const v1::RecordChange& change) {
    changes.push_back(change);
    return absl::OkStatus();
  });
  ASSERT_TRUE(told.ok()) << told;
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].log_index(), second);
  EXPECT_EQ(changes[1].kind(), v1::CHANGE_KIND_CREATED);
  EXPECT_EQ(*DecodeQ16(changes[1].record().vector_q16()), (std::vector<int32_t>{1 << 16, 0}));

  ReadOptions then;
  then.at_time = absl::FromUnixMicros(changes[1].timestamp_micros());
  EXPECT_LE(client.Count("c", std::nullopt, then)->count(), 2u);
  then.at_time = absl::UnixEpoch();
  EXPECT_TRUE(absl::IsOutOfRange(client.Count("c", std::nullopt, then).status()));

  const auto diff = client.DiffStates(first, third, "c");
  ASSERT_TRUE(diff.ok()) << diff.status();
  ASSERT_EQ(diff->records_size(), 2);
  EXPECT_EQ(diff->records(0).kind(), v1::DIFF_KIND_CHANGED);
  EXPECT_EQ(diff->records(1).kind(), v1::DIFF_KIND_ADDED);
  const Query query = {.vector = {0, 0}, .k = 1};
  const auto searches = client.DiffSearch("c", query, second, third);
  ASSERT_TRUE(searches.ok()) << searches.status();
  ASSERT_EQ(searches->differences_size(), 2);
  EXPECT_EQ(searches->differences(1).reason(), v1::HIT_REASON_PUSHED_OUT);
  Client::Without without;
  without.entries.emplace().set_first_index(third);
  without.entries->set_last_index(third);
  const auto other = client.SearchWithout("c", query, without);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->counterfactual(0).record().id(), "a");
  EXPECT_TRUE(absl::IsInvalidArgument(client.SearchWithout("c", query, {}).status()));

  WriteOptions write;
  write.request_id = "back";
  const auto reverted = client.Revert("c", "a", first, write);
  ASSERT_TRUE(reverted.ok()) << reverted.status();
  EXPECT_EQ(reverted->updated_count(), 1u);
  EXPECT_TRUE(client.Revert("c", "a", first, write)->duplicate());
}

}  // namespace
}  // namespace stele::client
