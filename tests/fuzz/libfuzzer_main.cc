// Coverage-guided: STELE_FUZZ_TARGET names the target, everything else is libFuzzer's. Two
// programs: of all targets, and, with STELE_FUZZ_INDEX_ONLY, of those that need neither gRPC nor
// protobuf.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace {

using stele::fuzz::Target;

std::vector<Target> Targets() {
  std::vector<Target> all(stele::fuzz::IndexTargets().begin(), stele::fuzz::IndexTargets().end());
#ifndef STELE_FUZZ_INDEX_ONLY
  const auto more = stele::fuzz::DoorTargets();
  all.insert(all.end(), more.begin(), more.end());
#endif
  return all;
}

Target Chosen() {
  const char* const name = std::getenv("STELE_FUZZ_TARGET");
  for (const Target& target : Targets()) {
    if (name != nullptr && target.name == name) return target;
  }
  std::fputs("set STELE_FUZZ_TARGET to one of:", stderr);
  for (const Target& one : Targets()) std::fprintf(stderr, " %s", std::string(one.name).c_str());
  std::fputs("\n", stderr);
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Target target = Chosen();
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
