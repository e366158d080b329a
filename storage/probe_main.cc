// stele-probe DIRECTORY [CHECK_FROM]: checks a data directory that no server has open, changing
// nothing, and writes the result to standard output. Exit code 0 means that there is a result, be
// it good or bad; 2 that the arguments are wrong.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "storage/probe.h"

int main(int argc, char** argv) {
  uint64_t check_from = 0;
  if (argc < 2 || argc > 3 || (argc == 3 && !absl::SimpleAtoi(argv[2], &check_from))) {
    std::fputs("usage: stele-probe DIRECTORY [CHECK_FROM]\n", stderr);
    return 2;
  }
  // Ends with whoever started it, and an abort on damaged files leaves no core file behind.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);

  const std::string text =
      stele::storage::EncodeProbeResult(stele::storage::Probe(argv[1], check_from, nullptr));
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  return written && std::fflush(stdout) == 0 ? 0 : 1;
}
