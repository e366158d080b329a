#include "tests/fault/reader.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace stele::fault {
namespace {

// A line without its end; empty at the end of the file.
std::string ReadLine(std::FILE* file) {
  std::string line;
  for (int c = std::getc(file); c != EOF && c != '\n'; c = std::getc(file)) {
    line.push_back(static_cast<char>(c));
  }
  return line;
}

// Where the build has put a program, or where the environment says.
const char* Program(const char* variable, const char* built) {
  const char* const given = std::getenv(variable);
  return given != nullptr ? given : built;
}

}  // namespace

Reader::~Reader() { Stop(); }

void Reader::Start() {
  std::signal(SIGPIPE, SIG_IGN);
  int questions[2], answers[2];
  if (pipe(questions) != 0 || pipe(answers) != 0) std::abort();
  child_ = fork();
  if (child_ == 0) {
    dup2(questions[0], STDIN_FILENO);
    dup2(answers[1], STDOUT_FILENO);
    for (const int end : {questions[0], questions[1], answers[0], answers[1]}) close(end);
    const char* const reader = Program("STELE_FAULT_READER", STELE_FAULT_READER);
    execl(reader, reader, Program("STELE_PROBE", STELE_PROBE), nullptr);
    _exit(127);
  }
  close(questions[0]);
  close(answers[1]);
  questions_ = fdopen(questions[1], "w");
  answers_ = fdopen(answers[0], "r");
}

void Reader::Stop() {
  if (child_ == 0) return;
  std::fclose(questions_);
  std::fclose(answers_);
  waitpid(child_, nullptr, 0);
  child_ = 0;
}

absl::StatusOr<std::string> Reader::Read(const std::string& directory) {
  if (child_ == 0) Start();
  std::fprintf(questions_, "%s\n", directory.c_str());
  std::fflush(questions_);
  const std::string answer = ReadLine(answers_);
  const size_t space = answer.find(' ');
  int code = 0;
  if (space == std::string::npos || !absl::SimpleAtoi(answer.substr(0, space), &code)) {
    Stop();
    return absl::AbortedError(absl::StrCat("the reader ended: ", answer));
  }
  if (code == 0) return answer.substr(space + 1);
  return absl::Status(static_cast<absl::StatusCode>(code), answer.substr(space + 1));
}

}  // namespace stele::fault
