// If this fails, a server grows beyond its memory limit, refuses the way back, or asks the kernel
// for every write.
#include "server/memory_limit.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace stele::server {
namespace {

std::vector<index::PreparedOperation> One(index::OperationKind kind) {
  std::vector<index::PreparedOperation> operations(1);
  operations[0].operation.kind = kind;
  return operations;
}

constexpr uint64_t kMiB = uint64_t{1} << 20;

class MemoryLimitTest : public ::testing::Test {
 protected:
  MemoryLimit Make(uint64_t limit) {
    return MemoryLimit(limit, [this] {
      ++asked_;
      return resident_;
    });
  }

  uint64_t resident_ = 100 * kMiB;
  int asked_ = 0;
};

TEST_F(MemoryLimitTest, RefusesWhatAddsAndTakesWhatFrees) {
  MemoryLimit limit = Make(101 * kMiB);
  EXPECT_TRUE(limit.Admit(One(index::OperationKind::kUpsert), kMiB).ok());
  const absl::Status refused = limit.Admit(One(index::OperationKind::kUpsert), 2 * kMiB);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(refused.message(), "memory-limit"));
  for (const auto kind :
       {index::OperationKind::kDelete, index::OperationKind::kDeleteByFilter,
        index::OperationKind::kDropCollection, index::OperationKind::kSnapshotSealed}) {
    EXPECT_TRUE(limit.Admit(One(kind), 10 * kMiB).ok());
  }
  for (const auto kind :
       {index::OperationKind::kUpsert, index::OperationKind::kInsert,
        index::OperationKind::kUpdateAttributes, index::OperationKind::kCreateCollection}) {
    EXPECT_FALSE(limit.Admit(One(kind), 10 * kMiB).ok());
  }
  auto mixed = One(index::OperationKind::kDelete);
  mixed.push_back(One(index::OperationKind::kUpsert)[0]);
  EXPECT_FALSE(limit.Admit(mixed, 10 * kMiB).ok());
  resident_ = 50 * kMiB;
  EXPECT_TRUE(limit.Admit(One(index::OperationKind::kUpsert), 2 * kMiB).ok()) << "it is measured";
}

TEST_F(MemoryLimitTest, AsksRarely) {
  MemoryLimit limit = Make(1024 * kMiB);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limit.Admit(One(index::OperationKind::kUpsert), 100).ok());
  }
  EXPECT_LT(asked_, 500);
  EXPECT_GT(asked_, 0);
}

TEST_F(MemoryLimitTest, ZeroIsNoLimit) {
  EXPECT_TRUE(Make(0).Admit(One(index::OperationKind::kUpsert), UINT64_MAX / 2).ok());
  EXPECT_EQ(asked_, 0);
  EXPECT_GT(ResidentBytes(), kMiB);
}

}  // namespace
}  // namespace stele::server
