// If these fail, memory is given back while a reader stands on it, or what a reader may still see
// is taken out of its reach.
//
// AddressSanitizer sees a read of freed memory; without it, this program's own operator delete
// keeps what is freed and remembers it, so that the moment is exact in every build.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "index/state_machine.h"

#if defined(__SANITIZE_ADDRESS__)
#define STELE_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STELE_ASAN
#endif
#endif

namespace {

// What was freed while somebody watched. It is not reused, so an address says what it was.
struct Graveyard {
  bool watching = false;
  size_t count = 0;
  std::array<const void*, 4096> dead{};

  bool Holds(const void* pointer) const {
    return std::find(dead.begin(), dead.begin() + count, pointer) != dead.begin() + count;
  }
};
Graveyard graveyard;

}  // namespace

#ifndef STELE_ASAN
void operator delete(void* pointer) noexcept {
  if (graveyard.watching && graveyard.count < graveyard.dead.size()) {
    graveyard.dead[graveyard.count++] = pointer;
  } else {
    std::free(pointer);
  }
}
void operator delete(void* pointer, size_t) noexcept { ::operator delete(pointer); }
#endif

namespace stele::property {
namespace {

using index::LogIndex;
using index::Operation;
using index::OperationKind;

constexpr size_t kAll = 1'000'000;

// Everything that one reader can have met on its way: it may stand on any of it.
struct Held {
  std::vector<const index::RecordNode*> nodes;
  std::vector<const index::RecordVersion*> versions;
  std::vector<const index::CollectionStats*> stats;
  std::vector<std::string> content;  // of nodes, then of versions

  void Collect(const index::Collection* collection, LogIndex n) {
    for (const auto* node = collection->records().First(); node != nullptr; node = node->Next()) {
      nodes.push_back(node);
      for (const auto* version = node->payload.newest.Get(); version != nullptr;
           version = version->older.Get()) {
        versions.push_back(version);
      }
    }
    for (const auto* one = &collection->StatsAt(n); one != nullptr; one = one->older.Get()) {
      stats.push_back(one);
    }
    content = Read();
  }
  std::vector<std::string> Read() const {
    std::vector<std::string> read;
    for (const auto* node : nodes) read.emplace_back(node->key());
    for (const auto* version : versions) {
      read.push_back(std::to_string(version->born()) + std::string(version->attributes()) +
                     std::to_string(version->died.Get()));
    }
    for (const auto* one : stats) read.push_back(std::to_string(one->record_count));
    return read;
  }
  size_t Freed() const {
    size_t freed = 0;
    for (const auto* node : nodes) freed += graveyard.Holds(node);
    for (const auto* version : versions) freed += graveyard.Holds(version);
    for (const auto* one : stats) freed += graveyard.Holds(one);
    return freed;
  }
};

class Reclaim : public ::testing::Test {
 protected:
  Reclaim() {
    Operation genesis;
    genesis.kind = OperationKind::kGenesis;
    genesis.rules_version = index::kRulesVersion;
    Apply(genesis);
    Create("c");
  }
  ~Reclaim() override { graveyard.watching = false; }

  LogIndex Apply(Operation operation) {
    index::Command command;
    command.operations.push_back(index::Prepare(std::move(operation)));
    index::Seal(command);
    const LogIndex index = machine_.next_index();
    EXPECT_EQ(machine_.Apply(index, command).commit.outcome, index::Outcome::kOk);
    return index;
  }
  void Create(const std::string& name) {
    Operation operation;
    operation.kind = OperationKind::kCreateCollection;
    operation.collection = name;
    operation.config = {1, index::Metric::kL2, ""};
    Apply(operation);
  }
  LogIndex Do(OperationKind kind, const std::string& id, int value = 0) {
    Operation operation;
    operation.kind = kind;
    operation.collection = "c";
    operation.id = id;
    if (kind == OperationKind::kUpsert) operation.vector = {value};
    if (kind != OperationKind::kDelete) {
      operation.attributes = index::EncodeAttributes({{"n", index::EncodeInt64(value)}});
    }
    return Apply(operation);
  }
  void Run(LogIndex horizon, LogIndex oldest_reader) {
    machine_.Reclaim(horizon, oldest_reader, kAll, &garbage_);
  }
  LogIndex last() const { return machine_.next_index() - 1; }

  index::StateMachine machine_;
  std::vector<std::unique_ptr<index::Collection>> garbage_;
};

TEST_F(Reclaim, FreesNothingThatAReaderMayStandOn) {
  for (const char* id : {"updated", "replaced", "deleted"}) Do(OperationKind::kUpsert, id, 1);
  Create("dropped");
  Do(OperationKind::kUpdateAttributes, "updated", 2);
  Do(OperationKind::kUpsert, "replaced", 2);
  Do(OperationKind::kDelete, "deleted");
  Operation drop;
  drop.kind = OperationKind::kDropCollection;
  drop.collection = "dropped";
  Apply(drop);

  // The reader reads the newest state, in which all of that is dead, and meets it nevertheless.
  const LogIndex began = last();
  Held held;
  held.Collect(machine_.FindCollection("c", began), began);
  ASSERT_EQ(held.nodes.size(), 3u);
  ASSERT_EQ(held.versions.size(), 5u);
  ASSERT_GE(held.stats.size(), 6u);
  graveyard.count = 0;
  graveyard.watching = true;

  Run(began, began);  // unlinks what is dead, while the reader stands on it
  EXPECT_EQ(machine_.FindCollection("c", began)->records().Find("deleted"), nullptr);
  EXPECT_EQ(machine_.FindCollection("c", began)->Find("updated", began)->older.Get(), nullptr);
  for (int later = 0; later < 6; ++later) {
    Run(began, began);
    EXPECT_EQ(held.Freed(), 0u) << later << " entries later";
    EXPECT_EQ(held.Read(), held.content) << later << " entries later";
    EXPECT_TRUE(garbage_.empty()) << later << " entries later";
    Do(OperationKind::kUpsert, "more", later);
  }

  // A reader of the next entry cannot have met any of it.
  Run(began, began + 1);
  EXPECT_EQ(garbage_.size(), 1u);
#ifndef STELE_ASAN
  // The node and its version, two replaced versions, and all numbers but the newest.
  EXPECT_EQ(held.Freed(), 4 + held.stats.size() - 1);
#endif
}

// What is visible at the horizon stays within reach; what died there does not.
TEST_F(Reclaim, UnlinksExactlyUpToTheHorizon) {
  Do(OperationKind::kUpsert, "a", 1);
  for (int i = 0; i < 5; ++i) Do(OperationKind::kUpsert, "other", i);
  const LogIndex died = Do(OperationKind::kDelete, "a");
  for (int i = 0; i < 5; ++i) Do(OperationKind::kUpsert, "other", i);
  const auto in_reach = [&] {
    return machine_.FindCollection("c", last())->records().Find("a") != nullptr;
  };
  for (LogIndex horizon = died - 5; horizon < died; ++horizon) {
    Run(horizon, last());
    ASSERT_TRUE(in_reach()) << "horizon " << died - horizon << " before its end";
    ASSERT_NE(machine_.FindCollection("c", horizon)->Find("a", horizon), nullptr);
  }
  Run(died, last());
  EXPECT_FALSE(in_reach());
}

// The oldest reader holds everything back that was unlinked since, however many younger ones go.
TEST_F(Reclaim, FreesInTheOrderOfUnlinking) {
  std::vector<Held> readers;
  std::vector<LogIndex> began;
  for (int i = 0; i < 8; ++i) {
    Do(OperationKind::kUpsert, std::to_string(i), i);
    Do(OperationKind::kDelete, std::to_string(i));
    began.push_back(last());
    readers.emplace_back().Collect(machine_.FindCollection("c", last()), last());
    graveyard.watching = true;
    Run(last(), began.front());  // unlinks what has just died: every reader met something else
  }
  graveyard.count = 0;
  for (size_t gone = 0; gone < readers.size(); ++gone) {
    Run(began[gone], began[gone]);  // those before it have left
    for (size_t i = gone; i < readers.size(); ++i) {
      EXPECT_EQ(readers[i].Freed(), 0u) << i << " after " << gone;
      EXPECT_EQ(readers[i].Read(), readers[i].content) << i << " after " << gone;
    }
  }
}

}  // namespace
}  // namespace stele::property
