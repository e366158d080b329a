#include "server/process_metrics.h"

#include <sys/resource.h>
#include <sys/time.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

#include "server/memory_limit.h"

namespace stele::server {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

uint64_t OpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (error) return 0;
  return static_cast<uint64_t>(std::distance(begin(files), end(files)));
}

const double kStartSeconds =
    std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

}  // namespace

ProcessSample SampleProcess() {
  ProcessSample sample;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    sample.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  sample.start_seconds = kStartSeconds;
  sample.resident_bytes = ResidentBytes();
  sample.open_files = OpenFiles();
  return sample;
}

}  // namespace stele::server
