// If this fails, a full disk keeps a server from starting, or the ballast fills a disk itself.
#include "storage/ballast.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

constexpr uint64_t kBytes = 100'000;

TEST(BallastTest, TakesRoomAndGivesItBack) {
  TemporaryDirectory directory;
  ASSERT_TRUE(KeepBallast(directory.path(), kBytes).ok());
  struct stat found {};
  ASSERT_EQ(stat((directory / "ballast").c_str(), &found), 0);
  EXPECT_EQ(found.st_size, off_t{kBytes});
  EXPECT_GE(static_cast<uint64_t>(found.st_blocks) * 512, kBytes) << "a hole gives no room back";
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_TRUE(DropBallast(directory.path()));
  EXPECT_FALSE(DropBallast(directory.path()));
}

TEST(BallastTest, FollowsTheSetting) {
  TemporaryDirectory directory;
  ASSERT_TRUE(KeepBallast(directory.path(), kBytes).ok());
  ASSERT_TRUE(KeepBallast(directory.path(), 2 * kBytes).ok());
  EXPECT_EQ(std::filesystem::file_size(directory / "ballast"), 2 * kBytes);
  ASSERT_TRUE(KeepBallast(directory.path(), 0).ok());
  EXPECT_FALSE(std::filesystem::exists(directory / "ballast"));
}

TEST(BallastTest, IsNotTakenFromADiskThatIsNearlyFull) {
  TemporaryDirectory directory;
  const absl::Status kept = KeepBallast(directory.path(), uint64_t{1} << 55);
  EXPECT_EQ(kept.code(), absl::StatusCode::kResourceExhausted) << kept;
  EXPECT_FALSE(std::filesystem::exists(directory / "ballast"));
}

}  // namespace
}  // namespace stele::storage
