// If these fail, the server may start from the wrong snapshot or throw away the one it needs.
#include "storage/snapshot_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class SnapshotStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SnapshotStore> Open(bool read_only = false) {
    auto store = SnapshotStore::Open({path_, nullptr, read_only});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  static void Write(SnapshotStore& store, uint64_t index, const std::string& bytes) {
    auto writer = store.NewWriter(index);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append(bytes).ok());
    ASSERT_TRUE((*writer)->Commit().ok());
  }

  static std::vector<uint64_t> Indices(const SnapshotStore& store) {
    std::vector<uint64_t> indices;
    const auto listed = store.List();
    if (!listed.ok()) return {404404};
    for (const auto& file : *listed) indices.push_back(file.index);
    return indices;
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "snapshots";
};

TEST_F(SnapshotStoreTest, Names) {
  EXPECT_EQ(SnapshotStore::FileName(42), "snapshot-00000000000000000042.stele");
  EXPECT_EQ(SnapshotStore::FileName(UINT64_MAX), "snapshot-18446744073709551615.stele");
}

TEST_F(SnapshotStoreTest, NewestFirstAndReadBack) {
  const auto store = Open();
  EXPECT_THAT(Indices(*store), ElementsAre());
  Write(*store, 9, "nine");
  Write(*store, 10, "ten");
  Write(*store, UINT64_MAX, "");
  Write(*store, 0, "zero");
  EXPECT_THAT(Indices(*store), ElementsAre(UINT64_MAX, 10, 9, 0));
  EXPECT_EQ((*store->List())[1].size_bytes, 3u);
  EXPECT_EQ((*store->List())[1].path, path_ + "/snapshot-00000000000000000010.stele");
  EXPECT_EQ((*store->OpenSnapshot(10))->bytes(), "ten");
  EXPECT_EQ((*store->OpenSnapshot(UINT64_MAX))->bytes(), "");
  EXPECT_EQ(store->OpenSnapshot(11).status().code(), absl::StatusCode::kNotFound);
  Write(*store, 10, "ten again");
  EXPECT_EQ((*store->OpenSnapshot(10))->bytes(), "ten again");
}

TEST_F(SnapshotStoreTest, UnfinishedOnesAreNotListedAndGoAtTheNextStart) {
  const auto store = Open();
  Write(*store, 1, "one");
  auto writer = store->NewWriter(2);
  ASSERT_TRUE((*writer)->Append("two").ok());
  EXPECT_THAT(Indices(*store), ElementsAre(1));
  const auto count = [&] {
    return std::distance(fs::directory_iterator(path_), fs::directory_iterator());
  };
  EXPECT_EQ(count(), 2);
  Open(/*read_only=*/true);
  EXPECT_EQ(count(), 2);
  Open();
  EXPECT_EQ(count(), 1);
  EXPECT_THAT(Indices(*store), ElementsAre(1));
}

TEST_F(SnapshotStoreTest, OtherFilesAreLeftAlone) {
  const auto store = Open();
  Write(*store, 5, "five");
  const std::vector<std::string> others = {"snapshot-5.stele",
                                           "snapshot-0000000000000000000x.stele",
                                           "snapshot-99999999999999999999.stele",
                                           "snapshot-00000000000000000042.stele2",
                                           "Snapshot-00000000000000000042.stele",
                                           "snapshot- 0000000000000000042.stele",
                                           "notes"};
  for (const std::string& name : others) WriteFile(path_ + "/" + name, "x");
  EXPECT_THAT(Indices(*store), ElementsAre(5));
  ASSERT_TRUE(store->KeepNewest(0).ok());
  EXPECT_THAT(Indices(*store), ElementsAre());
  for (const std::string& name : others) EXPECT_TRUE(fs::exists(path_ + "/" + name)) << name;
}

TEST_F(SnapshotStoreTest, Retention) {
  const auto store = Open();
  for (uint64_t index : {3u, 100u, 20u, 7u}) Write(*store, index, std::to_string(index));
  const auto open = store->OpenSnapshot(3);
  ASSERT_TRUE(store->KeepNewest(9).ok());
  EXPECT_THAT(Indices(*store), ElementsAre(100, 20, 7, 3));
  ASSERT_TRUE(store->KeepNewest(2).ok());
  EXPECT_THAT(Indices(*store), ElementsAre(100, 20));
  EXPECT_EQ((*open)->bytes(), "3");
  ASSERT_TRUE(store->Remove(100).ok());
  EXPECT_THAT(Indices(*store), ElementsAre(20));
  EXPECT_EQ(store->Remove(100).code(), absl::StatusCode::kNotFound);
}

TEST_F(SnapshotStoreTest, ReadOnlyChangesNothing) {
  EXPECT_THAT(Indices(*Open(/*read_only=*/true)), ElementsAre());
  EXPECT_FALSE(fs::exists(path_));
  Write(*Open(), 1, "one");
  const auto store = Open(/*read_only=*/true);
  EXPECT_EQ((*store->OpenSnapshot(1))->bytes(), "one");
  EXPECT_EQ(store->NewWriter(2).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store->KeepNewest(0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Indices(*store), ElementsAre(1));
}

TEST_F(SnapshotStoreTest, AnyFileCanBeMapped) {
  WriteFile(directory_ / "file", TestBytes(4, 100'000));
  EXPECT_EQ((*SnapshotFile::Open(directory_ / "file"))->bytes(), TestBytes(4, 100'000));
  EXPECT_FALSE(SnapshotFile::Open(directory_.path()).ok());
}

}  // namespace
}  // namespace stele::storage
