// Random commands over a small world, so that everything meets everything: few collections, few
// ids, few values, and every way of being wrong. The same seed gives the same commands on every
// machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "index/command.h"
#include "tests/index/arithmetic_data.h"
#include "tests/reference/machine.h"

namespace stele::property {

// STELE_SEED if set, else fresh from the clock; printed, so that a failure can be repeated.
uint64_t SeedFromEnvironment();

class CommandSource {
 public:
  explicit CommandSource(uint64_t seed) : random_(seed) {}

  // The next command for a machine in `state`. The first is the genesis.
  index::Command Next(const reference::State& state);

  index::Filter RandomFilter(unsigned depth = 0);
  // Of `dimension`, fit for `metric`.
  std::vector<int32_t> RandomVector(uint32_t dimension, index::Metric metric);
  std::string RandomAttributes();
  index::TestRandom& random() { return random_; }

 private:
  bool OneIn(uint64_t n) { return random_.Below(n) == 0; }
  std::string RandomName();
  std::string RandomId();
  std::string RandomScalar();
  std::string RandomValue();
  index::Operation RecordOperation(const reference::State& state);
  index::Operation SingleOperation(const reference::State& state);
  // As the operation's collection wants it; sometimes not.
  void Salt(const reference::State& state, index::Operation* operation);
  void AddOperations(const reference::State& state, index::Command* command);

  index::TestRandom random_;
  uint64_t count_ = 0;
  int64_t clock_ = 1'700'000'000'000'000;
  std::vector<index::Command> past_;
};

}  // namespace stele::property
