// If this failed: the real binary would start where it must not, or tell
// its supervisor the wrong thing. Every test runs stele-server as a process of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "server/http_endpoint.h"
#include "stele/v1/memory_service.grpc.pb.h"
#include "tests/server/shell_fixture.h"

namespace stele::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST_F(ShellTest, VersionAndHelp) {
  std::string out, err;
  EXPECT_EQ(Run({"--version"}, &out, &err), 0);
  EXPECT_THAT(out, MatchesRegex("stele-server [0-9.]+\n"));
  EXPECT_EQ(Run({"--help"}, &out, &err), 0);
  EXPECT_THAT(out, HasSubstr("--data-dir"));
}

TEST_F(ShellTest, WrongUseIsExitCode2) {
  std::string out, err;
  EXPECT_EQ(Run({"--no-such-flag"}, &out, &err), 2);
  EXPECT_THAT(err, HasSubstr("--no-such-flag"));
  EXPECT_EQ(Run(ServeArguments({"--search-threads", "x"}), &out, &err), 2);
  EXPECT_EQ(Run({"--data-dir", data(), "--listen", "0.0.0.0:0"}, &out, &err), 2);
  EXPECT_THAT(err, HasSubstr("--insecure-no-auth"));
  EXPECT_EQ(Run(ServeArguments({"--keys-file", scratch_ + "/none"}), &out, &err), 2);
  EXPECT_THAT(err, HasSubstr(scratch_ + "/none"));
  EXPECT_EQ(Run(ServeArguments({"--tls-cert", "none", "--tls-key", "none"}), &out, &err), 2);
  EXPECT_EQ(Run({"--new-key", "alice", "owner"}, &out, &err), 2);
  EXPECT_FALSE(std::filesystem::exists(data())) << "a refused start must leave nothing behind";
}

TEST_F(ShellTest, KeysAreMadeAndHashed) {
  std::string out, err, hashed;
  EXPECT_EQ(Run({"--new-key", "alice", "writer"}, &out, &err), 0);
  EXPECT_THAT(out, MatchesRegex("stele_[0-9a-f]{64}\nalice writer sha256:[0-9a-f]{64}\n"));
  const std::string key = out.substr(0, out.find('\n'));
  EXPECT_EQ(Run({"--hash-key", "alice", "writer"}, &hashed, &err, key + "\n"), 0);
  EXPECT_EQ(hashed, out.substr(out.find('\n') + 1));
  EXPECT_EQ(Run({"--hash-key", "alice", "writer"}, &hashed, &err, "short\n"), 2);
  EXPECT_THAT(err, AllOf(HasSubstr("32"), Not(HasSubstr("short"))));
  EXPECT_EQ(Run({"--hash-key", "alice", "writer"}, &hashed, &err, ""), 2);
}

TEST_F(ShellTest, RestartVerifyAndKill) {
  std::string root;
  {
    Process server(scratch_, ServeArguments());
    const std::string address = server.WaitReady();
    ASSERT_NE(address, "") << server.Err();
    const std::string empty_root = server.state_root();
    ASSERT_TRUE(CreateCollection(Connect(address), "one").ok());
    ASSERT_TRUE(CreateCollection(Connect(address), "two").ok());
    server.Signal(SIGKILL);
    EXPECT_EQ(server.Wait(), 1000 + SIGKILL);
    Process again(scratch_, ServeArguments());
    ASSERT_NE(again.WaitReady(), "") << again.Err();
    EXPECT_EQ(again.log_index(), "2");
    root = again.state_root();
    EXPECT_NE(root, empty_root);
    again.Signal(SIGTERM);
    EXPECT_EQ(again.Wait(), 0);
  }
  std::string out, err;
  EXPECT_EQ(Run({"--verify", "--data-dir", data()}, &out, &err), 0) << err;
  EXPECT_THAT(out, MatchesRegex("verified [23] entries, state root " + root + "\n"));
  EXPECT_THAT(err, HasSubstr("verifying: "));
}

TEST_F(ShellTest, DirectoryInUse) {
  Process server(scratch_, ServeArguments());
  ASSERT_NE(server.WaitReady(), "") << server.Err();
  std::string out, err;
  EXPECT_EQ(Run(ServeArguments(), &out, &err), 7) << err;
  EXPECT_THAT(err, HasSubstr(data()));
  EXPECT_EQ(out, "");
}

TEST_F(ShellTest, AddressInUse) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  std::string out, err;
  EXPECT_EQ(Run({"--data-dir", data() + "2", "--http-listen=", "--listen", address}, &out, &err),
            1);
  EXPECT_THAT(err, AllOf(HasSubstr(address), HasSubstr("Address already in use")));
  EXPECT_FALSE(std::filesystem::exists(data() + "2"));
}

TEST_F(ShellTest, VerifyAndRestoreOfNothing) {
  std::string out, err;
  EXPECT_EQ(Run({"--verify", "--data-dir", data()}, &out, &err), 7) << err;
  EXPECT_THAT(err, HasSubstr(data()));
  EXPECT_NE(Run({"--restore", scratch_ + "/none", "--data-dir", data()}, &out, &err), 0);
  EXPECT_THAT(err, HasSubstr("none"));
}

// While the log is replayed /healthz says how far it is.
TEST_F(ShellTest, RecoveryTellsItsProgress) {
  constexpr int kEntries = 6000;
  {
    Process server(scratch_, ServeArguments());
    const std::string address = server.WaitReady();
    ASSERT_NE(address, "") << server.Err();
    ASSERT_TRUE(CreateCollection(Connect(address), "c").ok());
    grpc::ClientContext context;
    const auto stream = v1::MemoryService::NewStub(Connect(address))->WriteStream(&context);
    std::thread sender([&] {
      for (int i = 0; i < kEntries; ++i) {
        v1::WriteStreamRequest message;
        message.mutable_write()->set_request_id(std::to_string(i));
        v1::Operation* operation = message.mutable_write()->add_operations();
        operation->set_collection("c");
        operation->mutable_delete_record()->set_id("nobody");
        ASSERT_TRUE(stream->Write(message));
      }
      stream->WritesDone();
    });
    v1::WriteStreamResponse response;
    while (stream->Read(&response)) {
    }
    sender.join();
    ASSERT_TRUE(stream->Finish().ok());
    server.Signal(SIGKILL);
    server.Wait();
  }
  Process server(scratch_, ServeArguments());
  ASSERT_TRUE(server.WaitForErr("metrics and health are served"));
  const absl::StatusOr<Address> http = ParseAddress(HttpAddress(server));
  ASSERT_TRUE(http.ok()) << server.Err();
  std::set<std::string> said;
  for (absl::Status status = QueryHealth(*http); !status.ok(); status = QueryHealth(*http)) {
    said.insert(std::string(status.message()));
    ASSERT_TRUE(server.IsRunning()) << server.Err();
  }
  const std::string total = std::to_string(kEntries + 2);
  int with_progress = 0;
  for (const std::string& text : said) {
    EXPECT_THAT(text, MatchesRegex("HTTP 503: recovering(: entry [0-9]+ of " + total + ")?"));
    if (text.find(" of ") != std::string::npos) ++with_progress;
  }
  EXPECT_GE(with_progress, 1) << "of " << said.size();
}

// Whoever put it there took the directory for something else: it is told, and left alone.
TEST_F(ShellTest, WhatIsNotStelesIsNamedAndLeftAlone) {
  std::filesystem::create_directories(data() + "/snapshots");
  std::filesystem::create_directories(data() + "/lost+found");
  const std::string foreign[] = {"notes.txt", "snapshots/holiday.jpg",
                                 "snapshots/snapshot-1.stele"};
  for (const std::string& name : foreign) std::ofstream(data() + "/" + name) << "mine";
  for (int start = 0; start < 2; ++start) {
    Process server(scratch_, ServeArguments());
    const std::string address = server.WaitReady();
    ASSERT_NE(address, "") << server.Err();
    for (const std::string& name : foreign) {
      EXPECT_THAT(server.Err(), HasSubstr("not Stele's, and left alone data_directory=" + data() +
                                          " name=" + name + "\n"));
      EXPECT_EQ(ReadFile(data() + "/" + name), "mine");
    }
    EXPECT_THAT(server.Err(), Not(HasSubstr("lost+found")));
    EXPECT_THAT(server.Err(), Not(HasSubstr("name=FORMAT")));
    EXPECT_THAT(server.Err(), Not(HasSubstr("name=snapshots\n")));
    if (start == 0) {
      grpc::ClientContext context;
      v1::CreateSnapshotResponse response;
      ASSERT_TRUE(v1::AdminService::NewStub(Connect(address))
                      ->CreateSnapshot(&context, {}, &response)
                      .ok());
      std::filesystem::copy(data() + "/snapshots/" + response.snapshot().file_name(),
                            scratch_ + "/backup");
    }
    server.Signal(SIGTERM);
    EXPECT_EQ(server.Wait(), 0);
  }

  // A restored directory begins as Stele's alone.
  std::string out, err;
  const std::string other = scratch_ + "/other";
  std::filesystem::create_directories(other + "/lost+found");
  std::ofstream(other + "/notes.txt") << "mine";
  EXPECT_EQ(Run({"--restore", scratch_ + "/backup", "--data-dir", other}, &out, &err), 7);
  EXPECT_THAT(err, AllOf(HasSubstr(other), HasSubstr("notes.txt")));
  EXPECT_EQ(ReadFile(other + "/notes.txt"), "mine");
  std::filesystem::remove(other + "/notes.txt");
  EXPECT_EQ(Run({"--restore", scratch_ + "/backup", "--data-dir", other}, &out, &err), 0) << err;
}

TEST_F(ShellTest, HealthCheck) {
  std::string out, err;
  const int free_port = 20000 + getpid() % 20000;
  const std::vector<std::string> settings = {"--http-listen",
                                             "127.0.0.1:" + std::to_string(free_port)};
  std::vector<std::string> ask = settings;
  ask.emplace_back("--health-check");
  EXPECT_EQ(Run(ask, &out, &err), 1);
  std::vector<std::string> serve = {"--data-dir", data(), "--listen", "127.0.0.1:0"};
  serve.insert(serve.end(), settings.begin(), settings.end());
  Process server(scratch_, serve);
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  EXPECT_EQ(Run(ask, &out, &err), 0) << err;
  EXPECT_EQ(out, "serving\n");
  EXPECT_EQ(Run({"--health-check", "--http-listen=", "--listen", address}, &out, &err), 0) << err;
  EXPECT_EQ(Run({"--health-check", "--http-listen", "127.0.0.1:0"}, &out, &err), 2);
}

// A bad file keeps the old keys; a good one takes the place of the old one.
TEST_F(ShellTest, KeysAreReadAgainOnSighup) {
  const std::string keys = scratch_ + "/keys";
  std::string made, other, err;
  ASSERT_EQ(Run({"--new-key", "alice", "admin"}, &made, &err), 0);
  ASSERT_EQ(Run({"--new-key", "bob", "reader"}, &other, &err), 0);
  const std::string alice = made.substr(0, made.find('\n'));
  const std::string bob = other.substr(0, other.find('\n'));
  std::ofstream(keys) << made.substr(made.find('\n') + 1);
  Process server(scratch_, ServeArguments({"--keys-file", keys}));
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  const auto channel = Connect(address);
  stele::v1::GetServerInfoResponse info;
  EXPECT_TRUE(GetInfo(channel, alice, &info).ok());
  EXPECT_EQ(GetInfo(channel, bob, &info).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(GetInfo(channel, "", &info).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  std::ofstream(keys) << "nonsense\n";
  server.Signal(SIGHUP);
  ASSERT_TRUE(server.WaitForErr("the keys stay as they were"));
  EXPECT_TRUE(GetInfo(channel, alice, &info).ok());
  std::ofstream(keys) << other.substr(other.find('\n') + 1);
  server.Signal(SIGHUP);
  ASSERT_TRUE(server.WaitForErr("keys read again"));
  EXPECT_EQ(GetInfo(channel, alice, &info).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(GetInfo(channel, bob, &info).ok());
  EXPECT_EQ(CreateCollection(channel, "x", bob).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const std::string log = server.Err() + server.Out();
  EXPECT_THAT(log, AllOf(Not(HasSubstr(alice)), Not(HasSubstr(bob))));
}

TEST_F(ShellTest, JsonLogsAreOneObjectALine) {
  Process server(scratch_, ServeArguments({"--log-format", "json"}));
  ASSERT_NE(server.WaitReady(), "") << server.Err();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  std::istringstream lines(server.Err());
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    ++count;
    EXPECT_THAT(line,
                MatchesRegex("\\{\"ts\":\"[0-9T:.-]+Z\",\"level\":\"[a-z]+\",\"msg\":\".*\\}"));
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace stele::server
