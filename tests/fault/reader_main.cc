// Reads lines with data directories, answers each with a line: a status code and, for 0, a digest
// of all that can be read there, else the message. See reader.h.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "index/hash.h"
#include "server/checkpointer.h"
#include "server/recovery.h"
#include "tests/fault/world.h"

namespace {

absl::StatusOr<std::string> Read(const std::string& directory, const std::string& probe) {
  stele::server::EngineOptions options = stele::fault::Options(directory, nullptr);
  options.probe_path = probe;
  stele::server::RecoveryReport report;
  const auto engine = stele::server::Engine::Open(options, &report);
  if (!engine.ok()) return engine.status();
  if (report.created) return absl::InternalError("a new log was begun");
  const absl::StatusOr<std::string> all = stele::fault::Everything(**engine);
  if (!all.ok()) return all;
  stele::server::Checkpointer::Options signing;
  signing.data_directory = directory;
  const auto checkpointer = stele::server::Checkpointer::Open(engine->get(), signing);
  if (!checkpointer.ok()) return checkpointer.status();
  const auto checkpoint = (*checkpointer)->Make();
  if (!checkpoint.ok()) return checkpoint.status();
  return absl::StrCat(stele::server::Hex(stele::index::Hasher().Bytes(*all).Finish()), " ",
                      checkpoint->note);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (std::string directory; std::getline(std::cin, directory);) {
    const absl::StatusOr<std::string> read = Read(directory, argv[1]);
    std::string text = absl::StrCat(static_cast<int>(read.status().code()), " ",
                                    read.ok() ? *read : std::string(read.status().message()));
    while (!text.empty() && text.back() == '\n') text.pop_back();
    std::replace(text.begin(), text.end(), '\n', '|');
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }
}
