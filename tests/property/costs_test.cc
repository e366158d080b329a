// If these fail, some operation costs as much as the whole state, or memory grows with history
// instead of with content.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "index/state_machine.h"
#include "tests/index/arithmetic_data.h"

namespace {
std::atomic<uint64_t> allocation_count{0};
std::atomic<int64_t> live_bytes{0};
}  // namespace

// Not inlined: compilers pair new with delete by name.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  ++allocation_count;
  live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  if (memory != nullptr) live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace stele::property {
namespace {

using index::Operation;
using index::OperationKind;

class Log {
 public:
  Log() {
    Operation genesis;
    genesis.kind = OperationKind::kGenesis;
    genesis.rules_version = 1;
    Apply(genesis);
  }
  index::CommitRecord Apply(Operation operation) {
    index::Command command;
    command.operations.push_back(index::Prepare(std::move(operation)));
    index::Seal(command);
    return machine_.Apply(machine_.next_index(), command).commit;
  }
  index::CommitRecord On(OperationKind kind, const std::string& collection) {
    Operation operation;
    operation.kind = kind;
    operation.collection = collection;
    operation.config = {4, index::Metric::kL2, ""};
    return Apply(std::move(operation));
  }
  void Upsert(const std::string& id) {
    Operation operation;
    operation.collection = "c";
    operation.id = id;
    operation.vector = index::RandomVector(random_, 4, 1000);
    operation.attributes = index::EncodeAttributes({{"n", index::EncodeInt64(1)}});
    Apply(std::move(operation));
  }
  index::StateMachine& machine() { return machine_; }

 private:
  index::TestRandom random_{1};
  index::StateMachine machine_;
};

TEST(CostTest, DigestsPerUpsertGrowWithTheLogarithmOfTheCollection) {
  Log log;
  log.On(OperationKind::kCreateCollection, "c");
  uint64_t size = 0;
  const auto digests_per_upsert = [&](uint64_t records) {
    while (size < records) log.Upsert(std::to_string(size++));
    const uint64_t before = log.machine().hash_count();
    for (int i = 0; i < 256; ++i) log.Upsert(std::to_string(size - 1 - static_cast<uint64_t>(i)));
    return static_cast<double>(log.machine().hash_count() - before) / 256;
  };
  const double small = digests_per_upsert(1024);
  const double large = digests_per_upsert(65536);
  std::printf("digests per upsert: %.1f at 1024 records, %.1f at 65536\n", small, large);
  // A leaf, log2(n) + 1.33 nodes of its tree on average, and a leaf in the tree of collections.
  EXPECT_GT(small, 9);
  EXPECT_LT(small, 10 + 5);
  EXPECT_LT(large, 16 + 5);
  EXPECT_LT(large - small, 8);
}

TEST(CostTest, DropAndCountTouchNothingOfTheContent) {
  for (const int records : {10, 20'000}) {
    Log log;
    log.On(OperationKind::kCreateCollection, "c");
    log.On(OperationKind::kCreateCollection, "d");
    for (int i = 0; i < records; ++i) log.Upsert(std::to_string(i));
    const index::LogIndex n = log.machine().next_index() - 1;
    uint64_t allocations = allocation_count;
    uint64_t digests = log.machine().hash_count();
    EXPECT_EQ(log.machine().FindCollection("c", n)->StatsAt(n).record_count,
              static_cast<uint64_t>(records));
    EXPECT_EQ(allocation_count, allocations);
    EXPECT_EQ(log.On(OperationKind::kDropCollection, "c").deleted_count,
              static_cast<uint64_t>(records));
    EXPECT_LE(log.machine().hash_count() - digests, 3u);
    EXPECT_LE(allocation_count - allocations, 40u);
    // Reclaiming hands the collection out whole.
    std::vector<std::unique_ptr<index::Collection>> garbage;
    for (int i = 0; i < 3; ++i) {
      log.machine().Reclaim(log.machine().next_index(), index::kNever, 1'000'000, &garbage);
    }
    ASSERT_EQ(garbage.size(), 1u);
    EXPECT_EQ(garbage[0]->name(), "c");
    EXPECT_EQ(log.machine().FindCollection("c", log.machine().next_index()), nullptr);
  }
}

TEST(CostTest, ReclaimStopsAtItsBound) {
  Log log;
  log.On(OperationKind::kCreateCollection, "c");
  for (int i = 0; i < 1000; ++i) log.Upsert("one");
  std::vector<std::unique_ptr<index::Collection>> garbage;
  const size_t before = log.machine().MemoryBytes();
  log.machine().Reclaim(log.machine().next_index(), index::kNever, 1, &garbage);
  log.machine().Reclaim(log.machine().next_index(), index::kNever, 1, &garbage);
  EXPECT_GT(log.machine().MemoryBytes() + 2000, before);
  const auto reclaim_all = [&] {
    for (int i = 0; i < 3; ++i) {
      log.machine().Reclaim(log.machine().next_index(), index::kNever, 1'000'000, &garbage);
    }
  };
  reclaim_all();
  EXPECT_LT(log.machine().MemoryBytes() + 50'000, before);
}

TEST(CostTest, MemoryIsFlatUnderChurn) {
  Log log;
  index::TestRandom random(2);
  log.On(OperationKind::kCreateCollection, "c");
  const auto churn = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const std::string id = std::to_string(random.Below(500));
      if (random.Below(3) == 0) {
        Operation operation;
        operation.kind =
            random.Below(2) == 0 ? OperationKind::kDelete : OperationKind::kUpdateAttributes;
        operation.collection = "c";
        operation.id = id;
        log.Apply(std::move(operation));
      } else {
        log.Upsert(id);
      }
      if (i % 100 == 0) {
        log.On(OperationKind::kDropCollection, "d");
        log.On(OperationKind::kCreateCollection, "d");
      }
      std::vector<std::unique_ptr<index::Collection>> garbage;
      log.machine().Reclaim(log.machine().next_index() - 1, index::kNever, 16, &garbage);
    }
  };
  // The log of requests grows up to its horizon, so compare with it full.
  churn(static_cast<int>(index::kDedupEntries) + 2000);
  const size_t memory = log.machine().MemoryBytes();
  const int64_t live = live_bytes;
  churn(60'000);
  std::printf("memory: %zu, then %zu; allocated: %lld, then %lld\n", memory,
              log.machine().MemoryBytes(), static_cast<long long>(live),
              static_cast<long long>(live_bytes));
  EXPECT_LT(log.machine().MemoryBytes(), memory + memory / 100);
  EXPECT_LT(live_bytes, live + live / 100 + 65536);
}

}  // namespace
}  // namespace stele::property
