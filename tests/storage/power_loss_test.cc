// If this fails, a loss of power at some instant loses an acknowledged entry, invents one, or
// leaves a directory that does not open.
#include <gtest/gtest.h>

#include <cstdlib>

#include "storage/journal.h"
#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

constexpr uint64_t kBase = 3;

uint64_t Seed() {
  const char* const given = std::getenv("STELE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260101;
}

struct Progress {
  bool created = false;
  uint64_t acknowledged = kBase;  // entries below it
  uint64_t attempted = kBase;
};

void Append(Journal& journal, uint64_t count, Progress& progress) {
  progress.attempted += count;
  if (AppendTestEntries(journal, progress.attempted - count, count).ok()) {
    progress.acknowledged = progress.attempted;
  }
}

// Creates, writes, closes, opens again and writes, until something fails.
Progress Work(const Journal::Options& options) {
  Progress progress;
  bool carried_given = false;
  const CarriedItemSource carried = [&]() -> absl::StatusOr<std::optional<CarriedItem>> {
    if (carried_given) return std::nullopt;
    carried_given = true;
    return CarriedItem{kBase - 1, 9, "carried"};
  };
  {
    auto journal = Journal::Create(options, TestLogId(), kBase, carried);
    if (!journal.ok()) return progress;
    progress.created = true;
    Append(**journal, 1, progress);
    if (!(*journal)->poisoned()) Append(**journal, 3, progress);
    if (!(*journal)->poisoned()) Append(**journal, 2, progress);
    if ((*journal)->poisoned()) return progress;
  }
  auto journal = Journal::Open(options, 0);
  if (!journal.ok()) return progress;
  Append(**journal, 2, progress);
  return progress;
}

// Opens what the loss of power left, twice, the second time after more writing.
void ExpectWhole(const Journal::Options& options, const Progress& progress) {
  auto journal = Journal::Open(options, 0);
  if (!progress.created && absl::IsNotFound(journal.status())) {
    journal = Journal::Create(options, TestLogId(), kBase);
  }
  ASSERT_TRUE(journal.ok()) << journal.status();
  const uint64_t next = (*journal)->end_index().value_or(kBase - 1) + 1;
  EXPECT_GE(next, progress.acknowledged);
  EXPECT_LE(next, progress.attempted);
  if (next > kBase) ExpectTestEntries(**journal, kBase, next - 1);
  if (progress.created) {
    EXPECT_EQ((*journal)->ReadItem(kBase - 1, 9).value_or(""), "carried");
  }
  ASSERT_TRUE(AppendTestEntries(**journal, next, 2).ok());
  journal->reset();
  journal = Journal::Open(options, 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  ExpectTestEntries(**journal, kBase, next + 1);
}

class PowerLossTest : public ::testing::TestWithParam<PowerLoss> {};

TEST_P(PowerLossTest, AtEveryOperation) {
  const uint64_t seed = Seed();
  std::printf("STELE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  uint64_t points = 0;
  for (uint64_t last = 0;; ++last) {
    SCOPED_TRACE("power lost after operation " + std::to_string(last));
    TemporaryDirectory place;
    std::filesystem::create_directory(place / "graveyard");
    const auto file_system = std::make_shared<FaultFileSystem>(place / "graveyard");
    file_system->SetHook([&](uint64_t number, FileOperation, const std::string&) {
      return number < last ? rocksdb::IOStatus::OK() : rocksdb::IOStatus::IOError("no power");
    });
    Journal::Options options;
    options.directory = place / "data";
    options.file_system = file_system;
    const Progress progress = Work(options);
    const bool finished = file_system->operation_count() <= last;
    file_system->LosePower(GetParam(), random);
    options.file_system = nullptr;
    ExpectWhole(options, progress);
    if (HasFatalFailure() || finished) break;
    ++points;
  }
  EXPECT_GT(points, 100u);
}

// Around the rename that makes a directory a data directory, whatever subset of the renames the
// disk kept: there is a log or there is none.
TEST(PowerLossInCreationTest, AroundTheLastRename) {
  std::mt19937_64 random(Seed());
  for (uint64_t draw = 0; draw < 48; ++draw) {
    const uint64_t after = draw % 3;  // operations carried out from that rename on
    SCOPED_TRACE("draw " + std::to_string(draw));
    TemporaryDirectory place;
    std::filesystem::create_directory(place / "graveyard");
    const auto file_system = std::make_shared<FaultFileSystem>(place / "graveyard");
    uint64_t since = 0;
    file_system->SetHook([&](uint64_t, FileOperation operation, const std::string& path) {
      const bool begins = operation == FileOperation::kRename && path == place / "data/FORMAT";
      if (begins || since > 0) ++since;
      return since <= after ? rocksdb::IOStatus::OK() : rocksdb::IOStatus::IOError("no power");
    });
    Journal::Options options;
    options.directory = place / "data";
    options.file_system = file_system;
    EXPECT_FALSE(Journal::Create(options, TestLogId(), kBase).ok());
    EXPECT_GT(since, after);
    file_system->LosePower(PowerLoss::kScattered, random);
    options.file_system = nullptr;
    ExpectWhole(options, Progress());
    if (HasFatalFailure()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Losses, PowerLossTest,
                         ::testing::Values(PowerLoss::kDrop, PowerLoss::kKeep, PowerLoss::kTorn,
                                           PowerLoss::kZeros, PowerLoss::kSectors,
                                           PowerLoss::kScattered));

}  // namespace
}  // namespace stele::storage
