// Coverage-guided: STELE_FUZZ_TARGET names the target, everything else is libFuzzer's.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace {

const stele::fuzz::Target* Chosen() {
  const char* const name = std::getenv("STELE_FUZZ_TARGET");
  const stele::fuzz::Target* const target = stele::fuzz::FindTarget(name != nullptr ? name : "");
  if (target != nullptr) return target;
  std::fputs("set STELE_FUZZ_TARGET to one of:", stderr);
  for (const auto& targets : {stele::fuzz::IndexTargets(), stele::fuzz::DoorTargets()}) {
    for (const auto& one : targets) std::fprintf(stderr, " %s", std::string(one.name).c_str());
  }
  std::fputs("\n", stderr);
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const stele::fuzz::Target* const target = Chosen();
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
