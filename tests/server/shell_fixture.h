// stele-server as a process of its own, and a directory to run it in.
#pragma once

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"

extern char** environ;

namespace stele::server {

inline std::string ReadFile(const std::string& path) {
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
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < deadline) {
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
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (process.IsRunning() && std::chrono::steady_clock::now() < deadline) {
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

}  // namespace stele::server
