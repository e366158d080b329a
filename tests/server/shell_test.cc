// If this failed: the real binary would start where it must not, stop without finishing, or tell
// its supervisor the wrong thing. Every test runs stele-server as a process of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/address.h"
#include "server/http_endpoint.h"
#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"

extern char** environ;

namespace stele::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// One stele-server. Its outputs go to files; the process is killed if the test forgets it.
class Process {
 public:
  Process(const std::string& scratch, std::vector<std::string> arguments,
          const std::string& input = "")
      : out_(scratch + "/out" + std::to_string(++count_)), err_(out_ + ".err") {
    const std::string in = out_ + ".in";
    std::ofstream(in) << input;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_.c_str(), kWrite, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err_.c_str(), kWrite, 0600);
    arguments.insert(arguments.begin(), STELE_SERVER_BINARY);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, STELE_SERVER_BINARY, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  void Signal(int number) const { kill(pid_, number); }
  // The exit code; 1000 + signal if a signal ended it.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  bool IsRunning() {
    if (pid_ <= 0) return false;
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == 0;
  }
  std::string Out() const { return ReadFile(out_); }
  std::string Err() const { return ReadFile(err_); }
  // Until `text` stands on standard error, or 30 s have gone.
  bool WaitForErr(const std::string& text) {
    const auto deadline = Clock::now() + std::chrono::seconds(30);
    while (Clock::now() < deadline) {
      if (Err().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // The address in the ready line; empty if the process ended without one.
  std::string WaitReady() {
    while (true) {
      const bool running = IsRunning();
      std::smatch match;
      const std::string text = Out();
      static const std::regex ready(
          "stele-server \\S+ listening on (\\S+) log_index (\\d+) state_root ([0-9a-f]{64})\n");
      if (std::regex_search(text, match, ready)) {
        log_index_ = match[2];
        state_root_ = match[3];
        return match[1];
      }
      if (!running) return "";
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  const std::string& log_index() const { return log_index_; }
  const std::string& state_root() const { return state_root_; }

 private:
  static inline int count_ = 0;
  const std::string out_;
  const std::string err_;
  pid_t pid_ = 0;
  std::string log_index_;
  std::string state_root_;
};

class ShellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch_ = ::testing::TempDir() + "shell_test_" + std::to_string(getpid());
    std::filesystem::remove_all(scratch_);
    std::filesystem::create_directory(scratch_);
  }
  void TearDown() override { std::filesystem::remove_all(scratch_); }

  std::string data() const { return scratch_ + "/data"; }
  std::vector<std::string> ServeArguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--data-dir",  data(),          "--listen",
                                          "127.0.0.1:0", "--http-listen", "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  int Run(const std::vector<std::string>& arguments, std::string* out, std::string* err,
          const std::string& input = "") const {
    Process process(scratch_, arguments, input);
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    while (process.IsRunning() && Clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    process.Signal(SIGKILL);  // one that serves instead of refusing
    const int code = process.Wait();
    *out = process.Out();
    *err = process.Err();
    return code;
  }
  static std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }
  // Where HTTP listens, from the log.
  static std::string HttpAddress(const Process& process) {
    std::smatch match;
    const std::string text = process.Err();
    const std::regex line("metrics and health are served address=(\\S+)");
    return std::regex_search(text, match, line) ? match[1] : std::string();
  }
  static grpc::Status GetInfo(const std::shared_ptr<grpc::Channel>& channel, const std::string& key,
                              stele::v1::GetServerInfoResponse* response) {
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    return stele::v1::AdminService::NewStub(channel)->GetServerInfo(&context, {}, response);
  }
  static grpc::Status CreateCollection(const std::shared_ptr<grpc::Channel>& channel,
                                       const std::string& name, const std::string& key = "") {
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    stele::v1::CreateCollectionRequest request;
    request.set_request_id("create " + name);
    request.mutable_config()->set_name(name);
    request.mutable_config()->set_dimension(4);
    request.mutable_config()->set_metric(stele::v1::METRIC_L2);
    stele::v1::CreateCollectionResponse response;
    return stele::v1::CollectionService::NewStub(channel)->CreateCollection(&context, request,
                                                                            &response);
  }

  std::string scratch_;
};

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

TEST_F(ShellTest, ServesAndStops) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  EXPECT_THAT(server.Out(), MatchesRegex("[^\n]*\n")) << "exactly one line";
  const auto channel = Connect(address);
  grpc::ClientContext context;
  HealthCheckResponse health;
  ASSERT_TRUE(Health::NewStub(channel)->Check(&context, {}, &health).ok());
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  const absl::StatusOr<Address> http = ParseAddress(HttpAddress(server));
  ASSERT_TRUE(http.ok()) << server.Err();
  EXPECT_TRUE(QueryHealth(*http).ok());
  stele::v1::GetServerInfoResponse info;
  ASSERT_TRUE(GetInfo(channel, "", &info).ok());
  EXPECT_EQ(std::to_string(info.position().log_index()), server.log_index());
  struct stat mode {};
  ASSERT_EQ(stat(data().c_str(), &mode), 0);
  EXPECT_EQ(mode.st_mode & 077, 0u) << "others may look into the data directory";

  grpc::ClientContext watching;
  const auto watch = Health::NewStub(channel)->Watch(&watching, {});
  ASSERT_TRUE(watch->Read(&health));
  grpc::ClientContext idle_context;
  const auto idle = stele::v1::MemoryService::NewStub(channel)->WriteStream(&idle_context);
  const auto began = Clock::now();
  server.Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(10)) << "an idle stream held it back";
  EXPECT_THAT(server.Err(), HasSubstr("stopped"));
}

TEST_F(ShellTest, SigintStopsToo) {
  Process server(scratch_, ServeArguments());
  ASSERT_NE(server.WaitReady(), "") << server.Err();
  server.Signal(SIGUSR2);  // means nothing
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
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

// What was acknowledged before and during a stop is there afterwards; what was not may be.
TEST_F(ShellTest, StopsUnderLoad) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  std::atomic<int> acknowledged{0};
  std::atomic<bool> refused{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      const auto channel = Connect(address);
      for (int i = 0; !refused.load(); ++i) {
        const std::string name = std::to_string(w) + "-" + std::to_string(i);
        if (CreateCollection(channel, name).ok()) {
          ++acknowledged;
        } else {
          refused.store(true);
        }
      }
    });
  }
  while (acknowledged.load() < 50 && !refused.load()) std::this_thread::yield();
  EXPECT_FALSE(refused.load());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  for (std::thread& writer : writers) writer.join();
  Process again(scratch_, ServeArguments());
  ASSERT_NE(again.WaitReady(), "") << again.Err();
  EXPECT_GE(std::stoi(again.log_index()), acknowledged.load());
  EXPECT_LE(std::stoi(again.log_index()), acknowledged.load() + 4);
}

TEST_F(ShellTest, ASecondSignalEndsAtOnce) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  std::thread waiting([&address] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(50));
    stele::v1::ListCollectionsRequest request;
    request.set_min_index(1'000'000);
    stele::v1::ListCollectionsResponse response;
    EXPECT_FALSE(stele::v1::CollectionService::NewStub(Connect(address))
                     ->ListCollections(&context, request, &response)
                     .ok());
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  server.Signal(SIGTERM);
  EXPECT_TRUE(server.WaitForErr("stopping"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_TRUE(server.IsRunning()) << "a call that runs was not waited for";
  const auto began = Clock::now();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 128 + SIGTERM);
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(5));
  waiting.join();
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
