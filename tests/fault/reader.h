// Reader: a process that opens data directories and reads all of each, so that the test outlives
// what damaged files do to it. It has the real probe.
//
// Thread safety: none.
#pragma once

#include <cstdio>
#include <string>

#include "absl/status/statusor.h"

namespace stele::fault {

class Reader {
 public:
  Reader() = default;
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // A digest of everything in the directory, and the checkpoint signed over it. ABORTED: the
  // process ended; the next call starts another. Other errors are the engine's.
  absl::StatusOr<std::string> Read(const std::string& directory);

 private:
  void Start();
  void Stop();

  int child_ = 0;
  std::FILE* questions_ = nullptr;
  std::FILE* answers_ = nullptr;
};

}  // namespace stele::fault
