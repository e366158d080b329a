#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "storage/probe.h"

namespace stele::storage {
namespace {

constexpr size_t kOutputBytesMax = 64 * 1024;

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }
  bool open() const { return value_ >= 0; }
  void Close() {
    if (value_ >= 0) close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

struct Pipe {
  Descriptor read_end;
  Descriptor write_end;
};

absl::StatusOr<std::unique_ptr<Pipe>> MakePipe() {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return absl::InternalError(absl::StrCat("pipe to the probe: ", std::strerror(errno)));
  }
  return std::unique_ptr<Pipe>(new Pipe{Descriptor(ends[0]), Descriptor(ends[1])});
}

// Appends what is there, up to kOutputBytesMax in all; closes at the end of the stream.
void ReadSome(Descriptor& descriptor, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t size = read(descriptor.value(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) {
    descriptor.Close();
    return;
  }
  const size_t room = kOutputBytesMax - std::min(text.size(), kOutputBytesMax);
  text.append(buffer.data(), std::min(static_cast<size_t>(size), room));
}

void ReadBoth(Pipe& output, Pipe& errors, std::string& output_text, std::string& error_text) {
  while (output.read_end.open() || errors.read_end.open()) {
    // poll ignores negative descriptors.
    std::array<pollfd, 2> watched = {pollfd{output.read_end.value(), POLLIN, 0},
                                     pollfd{errors.read_end.value(), POLLIN, 0}};
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
    if (watched[0].revents != 0) ReadSome(output.read_end, output_text);
    if (watched[1].revents != 0) ReadSome(errors.read_end, error_text);
  }
}

// Starts the child with its output and errors going into the pipes and nothing else inherited.
absl::StatusOr<pid_t> Spawn(const std::string& probe_path, const std::string& directory,
                            const std::string& check_from, const Pipe& output, const Pipe& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.write_end.value(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.write_end.value(), STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  std::string arguments[] = {probe_path, directory, check_from};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, probe_path.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the probe ", probe_path, " cannot be run: ", std::strerror(error)));
  }
  return pid;
}

// The result of a child that did not report one itself.
absl::Status Judge(int wait_status, const std::string& directory, const std::string& error_text) {
  const absl::string_view said = absl::StripAsciiWhitespace(error_text);
  if (!WIFSIGNALED(wait_status)) {
    return absl::InternalError(absl::StrCat("the probe of ", directory, " ended with code ",
                                            WEXITSTATUS(wait_status), " and no result: ", said));
  }
  const int signal = WTERMSIG(wait_status);
  const std::string message = absl::StrCat("the probe of ", directory, " was ended by signal ",
                                           signal, " (", strsignal(signal), "): ", said);
  const bool from_outside = signal == SIGKILL || signal == SIGTERM || signal == SIGINT ||
                            signal == SIGHUP || signal == SIGQUIT;
  return from_outside ? absl::InternalError(message) : absl::DataLossError(message);
}

}  // namespace

absl::StatusOr<ProbeReport> ProbeInChild(const std::string& probe_path,
                                         const std::string& directory, uint64_t check_from) {
  const absl::StatusOr<std::unique_ptr<Pipe>> output = MakePipe();
  if (!output.ok()) return output.status();
  const absl::StatusOr<std::unique_ptr<Pipe>> errors = MakePipe();
  if (!errors.ok()) return errors.status();
  const absl::StatusOr<pid_t> pid =
      Spawn(probe_path, directory, absl::StrCat(check_from), **output, **errors);
  if (!pid.ok()) return pid.status();
  (*output)->write_end.Close();
  (*errors)->write_end.Close();
  std::string output_text;
  std::string error_text;
  ReadBoth(**output, **errors, output_text, error_text);
  int wait_status = 0;
  while (waitpid(*pid, &wait_status, 0) < 0) {
    if (errno != EINTR) {
      return absl::InternalError(absl::StrCat("waiting for the probe: ", std::strerror(errno)));
    }
  }
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
    std::optional<absl::StatusOr<ProbeReport>> result = DecodeProbeResult(output_text);
    if (result.has_value()) return *std::move(result);
  }
  return Judge(wait_status, directory, error_text);
}

}  // namespace stele::storage
