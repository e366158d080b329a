// If these fail, bytes that somebody else wrote end the process, are read beyond their end, or are
// accepted in a second form.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"
#include "tests/index/arithmetic_data.h"
#include "tests/property/commands.h"

namespace stele::fuzz {
namespace {

std::vector<std::string> CorpusOf(const Target& target) {
  std::vector<std::string> corpus;
  const std::filesystem::path folder =
      std::filesystem::path(STELE_SOURCE_DIR) / "tests/fuzz/corpus" / target.name;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// Flips, overwrites, cuts, repeats and splices, once or a few times.
std::string Mutate(const std::vector<std::string>& corpus, index::TestRandom& random) {
  std::string bytes = corpus[random.Below(corpus.size())];
  for (uint64_t left = 1 + random.Below(random.Below(4) == 0 ? 8 : 2); left > 0; --left) {
    const size_t at = random.Below(bytes.size() + 1);
    switch (random.Below(8)) {
      case 0:
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
        break;
      case 2:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.Next());
        break;
      case 3:  // a length or a count that is off by a little, or by much
        if (at < bytes.size()) {
          bytes[at] = static_cast<char>(bytes[at] + static_cast<int>(random.Below(9)) - 4);
        }
        break;
      case 4:
        bytes.resize(at);
        break;
      case 5:
        bytes.erase(at, random.Below(9));
        break;
      case 6:
        bytes.insert(at, bytes.substr(random.Below(bytes.size() + 1), random.Below(17)));
        break;
      default: {
        const std::string& other = corpus[random.Below(corpus.size())];
        bytes = bytes.substr(0, at).append(other.substr(random.Below(other.size() + 1)));
        break;
      }
    }
  }
  return bytes;
}

class FuzzReplayTest : public ::testing::TestWithParam<Target> {};

TEST_P(FuzzReplayTest, TheCorpusIsReadAsItShouldBe) {
  const std::vector<std::string> corpus = CorpusOf(GetParam());
  ASSERT_FALSE(corpus.empty());
  size_t accepted = 0;
  for (const std::string& bytes : corpus) accepted += GetParam().run(bytes) ? 1 : 0;
  EXPECT_GT(accepted, 0u) << "a corpus that is refused tests nothing";
}

// The long form: STELE_FUZZ_EXECUTIONS=n, for the cheapest targets.
TEST_P(FuzzReplayTest, MutationsOfTheCorpus) {
  const std::vector<std::string> corpus = CorpusOf(GetParam());
  ASSERT_FALSE(corpus.empty());
  const char* const wanted = std::getenv("STELE_FUZZ_EXECUTIONS");
  const uint64_t executions =
      (wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20'000) / GetParam().cost;
  index::TestRandom random(property::SeedFromEnvironment());
  uint64_t accepted = 0;
  for (uint64_t i = 0; i < executions; ++i) {
    accepted += GetParam().run(Mutate(corpus, random)) ? 1 : 0;
  }
  std::printf("%s: %llu executions, %llu accepted\n", std::string(GetParam().name).c_str(),
              static_cast<unsigned long long>(executions),
              static_cast<unsigned long long>(accepted));
}

std::vector<Target> AllTargets() {
  std::vector<Target> all;
  for (const auto& targets : {IndexTargets(), DoorTargets()}) {
    all.insert(all.end(), targets.begin(), targets.end());
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzReplayTest, ::testing::ValuesIn(AllTargets()),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace stele::fuzz
