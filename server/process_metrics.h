// What this process uses, from Linux' /proc. Thread safety: a pure function of the machine.
#pragma once

#include <cstdint>

namespace stele::server {

struct ProcessSample {
  double cpu_seconds = 0;    // user and system
  double start_seconds = 0;  // Unix time
  uint64_t resident_bytes = 0;
  uint64_t open_files = 0;
};

// What cannot be read stays 0.
ProcessSample SampleProcess();

}  // namespace stele::server
