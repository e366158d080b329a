// If these fail, an operation of the file system that fails makes the engine lose or invent
// something, go on writing after a failed write, stop reading, or a bit that is read wrongly is
// served.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fault/world.h"
#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::fault {
namespace {

using rocksdb::IOStatus;
using storage::FaultFileSystem;
using storage::FileOperation;

constexpr size_t kLives = 3;

struct Failure {
  uint64_t first = 0;     // the operation that fails
  bool for_ever = false;  // and all after it
  bool no_space = false;
  bool syncs_only = false;  // only syncs are counted, and fail
};

class IoErrorTest : public ::testing::Test {
 protected:
  IoErrorTest() : seed_(Seed()), random_(seed_), script_(seed_, 40) {}

  // Empties the place. Gives a disk that fails like that.
  std::shared_ptr<FaultFileSystem> Disk(const Failure& failure) {
    std::filesystem::remove_all(directory_ / "data");
    std::filesystem::remove_all(directory_ / "graveyard");
    std::filesystem::create_directories(directory_ / "graveyard");
    auto disk = std::make_shared<FaultFileSystem>(directory_ / "graveyard");
    counted_ = 0;
    disk->SetHook([this, failure](uint64_t, FileOperation operation, const std::string&) {
      const bool sync =
          operation == FileOperation::kSync || operation == FileOperation::kSyncDirectory;
      if (failure.syncs_only && !sync) return IOStatus::OK();
      const uint64_t number = counted_++;
      if (failure.for_ever ? number < failure.first : number != failure.first) {
        return IOStatus::OK();
      }
      return failure.no_space ? IOStatus::NoSpace("injected") : IOStatus::IOError("injected");
    });
    return disk;
  }

  // Works through the script in several lives, until it ends or something cannot be opened.
  void Work(const std::shared_ptr<FaultFileSystem>& disk, Progress* progress) {
    for (size_t life = 0; life < kLives; ++life) {
      server::RecoveryReport report;
      auto engine = server::Engine::Open(Options(directory_ / "data", disk), &report);
      if (!engine.ok()) {
        EXPECT_TRUE(absl::StrContains(engine.status().message(), "injected")) << engine.status();
        return;
      }
      const Progress::Known before = progress->known();
      const absl::StatusOr<size_t> there = CheckLog(**engine, script_, before);
      ASSERT_TRUE(there.ok()) << there.status();
      const size_t to = std::max(*there, script_.size() * (life + 1) / kLives);
      const absl::Status driven = Drive(**engine, script_, *there, to, seed_ + life, progress);
      // Reads go on at the newest index that is durable.
      const absl::StatusOr<size_t> readable = CheckLog(**engine, script_, progress->known());
      ASSERT_TRUE(readable.ok()) << readable.status();
      ASSERT_TRUE(Everything(**engine).ok());
      if (driven.ok()) continue;
      EXPECT_EQ(driven.code(), absl::StatusCode::kUnavailable) << driven;
      EXPECT_TRUE((*engine)->write_poisoned());
      // Nothing is tried again.
      Progress more;
      EXPECT_FALSE(Drive(**engine, script_, script_.size() - 1, script_.size(), 1, &more).ok());
      EXPECT_EQ(more.known().acknowledged_count(), 0u);
    }
  }

  // True if the failure came to pass.
  bool Fails(const Failure& failure) {
    SCOPED_TRACE(absl::StrCat("STELE_SEED=", seed_, ": operation ", failure.first,
                              failure.for_ever ? " and all later ones" : "",
                              failure.no_space ? ", no space" : "",
                              failure.syncs_only ? ", of the syncs" : ""));
    Progress progress;
    const auto disk = Disk(failure);
    Work(disk, &progress);
    disk->SetHook(nullptr);
    const bool reached = counted_ > failure.first;
    const absl::Status status =
        Recover({directory_ / "data", nullptr, seed_, nullptr}, script_, progress.known());
    EXPECT_TRUE(status.ok()) << status;
    ++recoveries_;
    return reached;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  const Script script_;
  storage::TemporaryDirectory directory_;
  uint64_t counted_ = 0;
  uint64_t recoveries_ = 0;
};

// The long form: STELE_ERROR_ONE_IN=1.
TEST_F(IoErrorTest, EveryOperationOnceAndForGood) {
  const uint64_t one_in = FromEnvironment("STELE_ERROR_ONE_IN", 60);
  for (int kind = 0; kind < 6 && !HasFailure(); ++kind) {
    Failure failure;
    failure.for_ever = kind % 2 == 1;
    failure.no_space = kind / 2 == 1;
    failure.syncs_only = kind / 2 == 2;
    failure.first = random_() % one_in;
    while (Fails(failure) && !HasFailure()) failure.first += 1 + random_() % (2 * one_in - 1);
  }
  std::printf("%llu failing operations, each recovered\n",
              static_cast<unsigned long long>(recoveries_));
  EXPECT_GT(recoveries_, 12u);
}

// Whatever read comes back with a changed bit: an error, or nothing that reads differently.
TEST_F(IoErrorTest, BitsThatAreReadWrongly) {
  const uint64_t one_in = FromEnvironment("STELE_ERROR_ONE_IN", 12);
  Progress progress;
  Work(Disk({.first = UINT64_MAX}), &progress);
  server::RecoveryReport report;
  std::string expected;
  {
    auto engine = server::Engine::Open(Options(directory_ / "data", nullptr), &report);
    ASSERT_TRUE(engine.ok()) << engine.status();
    expected = *Everything(**engine);
  }
  std::filesystem::create_directories(directory_ / "kept");
  storage::CopyDirectory(directory_ / "data", directory_ / "kept");
  uint64_t named = 0, equal = 0;
  bool reached = true;
  for (uint64_t wrong = random_() % one_in; reached; wrong += 1 + random_() % (2 * one_in - 1)) {
    SCOPED_TRACE(absl::StrCat("STELE_SEED=", seed_, ": read ", wrong));
    storage::CopyDirectory(directory_ / "kept", directory_ / "data");
    const auto disk = std::make_shared<FaultFileSystem>(directory_ / "graveyard");
    reached = false;
    disk->SetReadHook([&](uint64_t number, const std::string&, char* bytes, size_t size) {
      if (number == wrong) reached = true;
      if (number != wrong || size == 0) return IOStatus::OK();
      bytes[random_() % size] ^= static_cast<char>(1 << random_() % 8);
      return IOStatus::OK();
    });
    auto engine = server::Engine::Open(Options(directory_ / "data", disk), &(report = {}));
    if (engine.ok()) {
      const absl::StatusOr<std::string> found = Everything(**engine);
      if (found.ok()) {
        ++equal;
        ASSERT_EQ(*found, expected);
        continue;
      }
    }
    ++named;
  }
  std::printf("%llu reads with a wrong bit: %llu named, %llu harmless\n",
              static_cast<unsigned long long>(named + equal),
              static_cast<unsigned long long>(named), static_cast<unsigned long long>(equal));
  EXPECT_GT(named, 2u);
}

}  // namespace
}  // namespace stele::fault
