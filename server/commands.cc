#include "server/commands.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <istream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/engine.h"
#include "server/http_endpoint.h"
#include "server/key_ring.h"
#include "server/offline.h"
#include "server/recovery.h"
#include "server/runner.h"

namespace stele::server {
namespace {

constexpr std::chrono::seconds kHealthTimeout{5};
constexpr std::chrono::milliseconds kProgressPeriod{200};

ExitCode Fail(ExitCode code, absl::string_view what) {
  std::fprintf(stderr, "stele-server: %.*s\n", static_cast<int>(what.size()), what.data());
  return code;
}

ExitCode Fail(const absl::Status& status) { return Fail(ExitCodeOf(status), status.message()); }

// Rewrites one line of standard error, at most a few times a second.
class ProgressLine {
 public:
  void Show(uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (done != total ? now - shown_ < kProgressPeriod : ended_) return;
    shown_ = now;
    ended_ = done == total;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const double percent =
        total == 0 ? 100.0 : 100.0 * static_cast<double>(done) / static_cast<double>(total);
    std::fprintf(stderr, "%sverifying: %llu of %llu entries (%.0f %%), %.0f entries/s%s",
                 terminal_ ? "\r" : "", static_cast<unsigned long long>(done),
                 static_cast<unsigned long long>(total), percent,
                 seconds > 0 ? static_cast<double>(done) / seconds : 0.0, terminal_ ? "" : "\n");
    open_ = terminal_;
  }
  ~ProgressLine() {
    if (open_) std::fputc('\n', stderr);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_{};
  bool open_ = false;
  bool ended_ = false;
};

ExitCode Verify(const Config& config) {
  absl::StatusOr<VerifiedDirectory> verified;
  {
    ProgressLine progress;
    verified = VerifyDataDirectory(
        ToEngineOptions(config),
        [&progress](uint64_t done, uint64_t total) { progress.Show(done, total); });
  }
  if (!verified.ok()) return Fail(verified.status());
  const RecoveryReport& report = verified->replay;
  std::printf("verified %llu entries, state root %s\n",
              static_cast<unsigned long long>(report.replayed_entries),
              Hex(report.position.state_root).c_str());
  if (report.given_effects > 0) {
    std::printf("%llu effects were taken from the log, since their content was erased\n",
                static_cast<unsigned long long>(report.given_effects));
  }
  return ExitCode::kOk;
}

ExitCode Restore(const CommandLine& line) {
  umask(077);
  RecoveryReport report;
  const absl::Status status =
      RestoreSnapshot(line.snapshot_path, ToEngineOptions(line.config), &report);
  if (!status.ok()) return Fail(status);
  std::printf("restored log index %llu into %s, state root %s\n",
              static_cast<unsigned long long>(report.position.log_index),
              line.config.data_directory.c_str(), Hex(report.position.state_root).c_str());
  return ExitCode::kOk;
}

ExitCode NewKey(const CommandLine& line) {
  const absl::StatusOr<std::string> key = MakeApiKey();
  if (!key.ok()) return Fail(key.status());
  const absl::StatusOr<std::string> text = KeysFileLine(line.key_name, line.key_role, *key);
  if (!text.ok()) return Fail(text.status());
  std::fprintf(stderr,
               "The first line is the key: give it to the caller, it is shown only now.\n"
               "Add the second line to the keys file and send SIGHUP to the server.\n");
  std::printf("%s\n%s\n", key->c_str(), text->c_str());
  return ExitCode::kOk;
}

// A line of input; typed ones are not shown on the terminal.
std::string ReadSecret(std::istream& input) {
  termios before{};
  const bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    std::fprintf(stderr, "API key: ");
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  }
  std::string key;
  std::getline(input, key);
  if (terminal) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    std::fputc('\n', stderr);
  }
  absl::StripAsciiWhitespace(&key);
  return key;
}

ExitCode HashKey(const CommandLine& line, std::istream& input) {
  const absl::StatusOr<std::string> text =
      KeysFileLine(line.key_name, line.key_role, ReadSecret(input));
  if (!text.ok()) return Fail(text.status());
  std::printf("%s\n", text->c_str());
  return ExitCode::kOk;
}

absl::Status QueryGrpcHealth(const Address& address) {
  const auto channel = grpc::CreateChannel(address.ToString(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kHealthTimeout);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &response);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("no answer at ", address.ToString(), ": ", status.error_message()));
  }
  if (response.status() != grpc::health::v1::HealthCheckResponse::SERVING) {
    return absl::UnavailableError("the server answers and does not serve (yet)");
  }
  return absl::OkStatus();
}

ExitCode HealthCheck(const Config& config) {
  const bool http = config.http_listen.has_value();
  const Address address = (http ? *config.http_listen : config.listen).ForClient();
  if (!http && !config.tls_cert.empty()) {
    return Fail(ExitCode::kUsage,
                "--health-check asks over HTTP where gRPC needs TLS: turn http-listen on");
  }
  if (address.port == 0) {
    return Fail(ExitCode::kUsage, "--health-check needs a fixed port: the settings say 0");
  }
  const absl::Status status = http ? QueryHealth(address) : QueryGrpcHealth(address);
  if (!status.ok()) return Fail(ExitCode::kFailure, status.message());
  std::printf("serving\n");
  return ExitCode::kOk;
}

}  // namespace

ExitCode RunCommand(const CommandLine& line, std::istream& input) {
  switch (line.mode) {
    case Mode::kVerify:
      return Verify(line.config);
    case Mode::kRestore:
      return Restore(line);
    case Mode::kNewKey:
      return NewKey(line);
    case Mode::kHashKey:
      return HashKey(line, input);
    case Mode::kHealthCheck:
      return HealthCheck(line.config);
    case Mode::kPrintText:
      std::fputs(line.text.c_str(), stdout);
      return ExitCode::kOk;
    case Mode::kServe:
      break;
  }
  return Fail(ExitCode::kUsage, "this mode is no command");
}

}  // namespace stele::server
