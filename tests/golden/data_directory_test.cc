// If this fails, a data directory that an earlier version wrote is not read as it was written.
//
// data-v1/ holds two: `killed` was left by a process that died, with its newest entries in the
// write-ahead log; `stopped` by one that was stopped. They are never written again. What is in them
// is told by digests.txt; a line of it changes only if Everything() tells more.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>

#include "absl/strings/str_cat.h"
#include "server/offline.h"
#include "server/recovery.h"
#include "tests/fault/world.h"
#include "tests/golden/golden_file.h"
#include "tests/storage/testing.h"

namespace stele::fault {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSeed = 1;
constexpr size_t kRequests = 40;

std::string DataFolder() { return golden::Directory() + "data-v1"; }

// Run by hand once: STELE_GOLDEN_MAKE_DATA=1.
void MakeData() {
  storage::TemporaryDirectory directory;
  const Script script(kSeed, kRequests);
  const std::string data = directory / "data";
  Progress progress;
  for (const size_t half : {0u, 1u}) {
    server::RecoveryReport report;
    auto engine = server::Engine::Open(Options(data, nullptr), &report);
    ASSERT_TRUE(engine.ok());
    const size_t middle = kRequests / 2;
    ASSERT_TRUE(Drive(**engine, script, half * middle, (half + 1) * middle, kSeed, &progress).ok());
    if (half == 0) {
      ASSERT_TRUE(TakeSnapshot(**engine).ok());
    } else {
      storage::CopyDirectory(data, DataFolder() + "/killed");
    }
  }
  storage::CopyDirectory(data, DataFolder() + "/stopped");
  for (const auto& entry : fs::recursive_directory_iterator(DataFolder())) {
    const std::string name = entry.path().filename().string();
    // Held, or never read.
    if (name == "LOCK" || name.starts_with("LOG") || name.starts_with("OPTIONS")) {
      fs::remove(entry.path());
    }
  }
}

std::string Digest(const std::string& directory) {
  server::RecoveryReport report;
  server::EngineOptions options = Options(directory, nullptr);
  options.probe_path = STELE_PROBE;
  const auto engine = server::Engine::Open(options, &report);
  EXPECT_TRUE(engine.ok()) << engine.status();
  if (!engine.ok()) return "";
  const absl::StatusOr<std::string> all = Everything(**engine);
  EXPECT_TRUE(all.ok()) << all.status();
  if (!all.ok()) return "";
  return absl::StrCat("entries ", report.position.log_index + 1, " state root ",
                      server::Hex(report.position.state_root), " log root ",
                      server::Hex(report.log_root), " everything ",
                      server::Hex(index::Hasher().Bytes(*all).Finish()));
}

TEST(GoldenDataDirectoryTest, VersionOneIsReadForEver) {
  if (std::getenv("STELE_GOLDEN_MAKE_DATA") != nullptr) MakeData();
  std::string digests;
  for (const std::string name : {"killed", "stopped"}) {
    storage::TemporaryDirectory directory;
    const std::string copy = directory / "data";
    storage::CopyDirectory(DataFolder() + "/" + name, copy);
    absl::StrAppend(&digests, name, ": ", Digest(copy), "\n");
    const auto verified = server::VerifyDataDirectory(Options(copy, nullptr), nullptr);
    EXPECT_TRUE(verified.ok()) << verified.status();
    // It can be written on.
    server::RecoveryReport report;
    auto engine = server::Engine::Open(Options(copy, nullptr), &report);
    ASSERT_TRUE(engine.ok()) << engine.status();
    Progress progress;
    const Script more(2, 20);
    std::promise<absl::Status> written;
    server::WriteTask task = MakeTask(more.request(0));
    task.actor = "another client";
    (*engine)->Submit(std::move(task),
                      [&](const auto& result) { written.set_value(result.status()); });
    EXPECT_TRUE(written.get_future().get().ok());
  }
  EXPECT_TRUE(golden::Holds(golden::Directory() + "data-v1/digests.txt", digests)) << digests;
}

}  // namespace
}  // namespace stele::fault
