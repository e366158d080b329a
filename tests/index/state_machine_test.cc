// If these fail, two different states can have one root, the limits of the rules do not hold, or a
// request id is forgotten too early or never.
#include "index/state_machine.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace stele::index {
namespace {

class Log {
 public:
  Log() {
    Single(OperationKind::kGenesis, [](Operation& o) { o.rules_version = 1; });
  }

  CommitRecord Apply(std::vector<Operation> operations, std::string request_id = {},
                     LogIndex known_index = 0) {
    Command command;
    command.header.request_id = std::move(request_id);
    command.header.known_index = known_index;
    for (Operation& operation : operations) {
      command.operations.push_back(Prepare(std::move(operation)));
    }
    Seal(command);
    return machine_.Apply(machine_.next_index(), command).commit;
  }
  CommitRecord Single(OperationKind kind, const std::function<void(Operation&)>& fill) {
    Operation operation;
    operation.kind = kind;
    fill(operation);
    return Apply({operation});
  }
  CommitRecord Create(const std::string& name, CollectionConfig config = {2, Metric::kL2, ""}) {
    return Single(OperationKind::kCreateCollection, [&](Operation& o) {
      o.collection = name;
      o.config = config;
    });
  }
  StateMachine& machine() { return machine_; }

 private:
  StateMachine machine_;
};

Operation Upsert(std::string id, std::vector<int32_t> vector = {1, 2}) {
  Operation operation;
  operation.collection = "c";
  operation.id = std::move(id);
  operation.vector = std::move(vector);
  return operation;
}

Operation Delete(std::string id) {
  Operation operation;
  operation.kind = OperationKind::kDelete;
  operation.collection = "c";
  operation.id = std::move(id);
  return operation;
}

Hash RootOf(const CollectionConfig& config, const Operation& operation,
            const std::string& name = "c") {
  Log log;
  log.Create(name, config);
  Operation renamed = operation;
  renamed.collection = name;
  const CommitRecord commit = log.Apply({renamed});
  EXPECT_EQ(commit.outcome, Outcome::kOk);
  return commit.state_root;
}

Operation WithAttribute(const std::string& name, const std::string& value) {
  Operation operation = Upsert("id");
  operation.attributes = EncodeAttributes({{name, value}});
  return operation;
}

Operation WithDocument(const std::string& document) {
  Operation operation = Upsert("id");
  operation.document = document;
  return operation;
}

TEST(StateRootTest, EveryFieldCounts) {
  const CollectionConfig config{2, Metric::kL2, "about"};
  const std::pair<const char*, Hash> roots[] = {
      {"base", RootOf(config, Upsert("id"))},
      {"first component", RootOf(config, Upsert("id", {2, 2}))},
      {"last component", RootOf(config, Upsert("id", {1, 3}))},
      {"sign", RootOf(config, Upsert("id", {-1, 2}))},
      {"components swapped", RootOf(config, Upsert("id", {2, 1}))},
      {"id", RootOf(config, Upsert("ie"))},
      {"longer id", RootOf(config, Upsert(std::string("id\0", 3)))},
      {"collection name", RootOf(config, Upsert("id"), "d")},
      {"description", RootOf({2, Metric::kL2, "abouT"}, Upsert("id"))},
      {"no description", RootOf({2, Metric::kL2, ""}, Upsert("id"))},
      {"receipts signed", RootOf({2, Metric::kL2, "about", ReceiptPolicy::kSigned}, Upsert("id"))},
      {"receipts logged", RootOf({2, Metric::kL2, "about", ReceiptPolicy::kLogged}, Upsert("id"))},
      {"metric", RootOf({2, Metric::kDot, "about"}, Upsert("id"))},
      {"dimension", RootOf({3, Metric::kL2, "about"}, Upsert("id", {1, 2, 0}))},
      {"int64 1", RootOf(config, WithAttribute("a", EncodeInt64(1)))},
      {"int64 2", RootOf(config, WithAttribute("a", EncodeInt64(2)))},
      {"double 1", RootOf(config, WithAttribute("a", *EncodeDouble(0x3ff0000000000000u)))},
      {"true", RootOf(config, WithAttribute("a", EncodeBool(true)))},
      {"false", RootOf(config, WithAttribute("a", EncodeBool(false)))},
      {"timestamp 1", RootOf(config, WithAttribute("a", EncodeTimestamp(1)))},
      {"string", RootOf(config, WithAttribute("a", *EncodeString("1")))},
      {"bytes", RootOf(config, WithAttribute("a", EncodeBytes("1")))},
      {"empty list", RootOf(config, WithAttribute("a", *EncodeList({})))},
      {"list of 1", RootOf(config, WithAttribute("a", *EncodeList(std::vector{EncodeInt64(1)})))},
      {"attribute name", RootOf(config, WithAttribute("b", EncodeInt64(1)))},
      {"document", RootOf(config, WithDocument("text"))},
      {"another document", RootOf(config, WithDocument("texT"))},
  };
  for (const auto& [name, root] : roots) {
    for (const auto& [other_name, other] : roots) {
      EXPECT_EQ(root == other, name == other_name) << name << " and " << other_name;
    }
  }
}

TEST(StateRootTest, NeitherHistoryNorVersionsCount) {
  Log straight;
  straight.Create("c");
  const Hash expected =
      straight.Apply({Upsert("a", {5, 5}), Upsert("b"), Upsert("x", {9, 9})}).state_root;

  Log winding;
  winding.Create("c", {3, Metric::kDot, "another"});
  winding.Create("d");
  winding.Single(OperationKind::kDropCollection, [](Operation& o) { o.collection = "c"; });
  winding.Create("c");
  winding.Apply({Upsert("x", {9, 9})});
  for (int i = 0; i < 50; ++i)
    winding.Apply({Upsert(std::to_string(i) + "t"), Upsert("b", {i, 0})});
  winding.Apply({Upsert("b")});
  winding.Apply({Upsert("a", {1, 1})});
  for (int i = 49; i >= 0; --i) winding.Apply({Delete(std::to_string(i) + "t")});
  winding.Single(OperationKind::kDropCollection, [](Operation& o) { o.collection = "d"; });
  EXPECT_EQ(winding.Apply({Upsert("a", {5, 5})}).state_root, expected);
}

TEST(StateMachineTest, ARefusedCommandChangesNothing) {
  Log log;
  log.Create("c");
  const CommitRecord before = log.Apply({Upsert("a")});
  const CommitRecord refused = log.Apply({Upsert("b"), Upsert("c", {1, 2, 3})});
  EXPECT_EQ(refused.outcome, Outcome::kDimensionMismatch);
  EXPECT_EQ(refused.failed_item, 1u);
  EXPECT_EQ(refused.current, 2u);
  EXPECT_EQ(refused.state_root, before.state_root);
  EXPECT_EQ(refused.state_index, before.state_index);
  EXPECT_EQ(refused.effects_root, kZeroHash);
  EXPECT_EQ(log.machine().FindCollection("c", refused.index)->Find("b", refused.index), nullptr);
}

TEST(StateMachineTest, AttributesStayWithinTheLimitsAcrossUpdates) {
  Log log;
  log.Create("c");
  AttributeMap map;
  for (uint32_t i = 0; i < kAttributesMax; ++i) {
    map.emplace_back(std::to_string(1000 + i), EncodeBool(true));
  }
  Operation full = Upsert("id");
  full.attributes = EncodeAttributes(map);
  EXPECT_EQ(log.Apply({full}).outcome, Outcome::kOk);
  Operation update;
  update.kind = OperationKind::kUpdateAttributes;
  update.collection = "c";
  update.id = "id";
  update.attributes = EncodeAttributes({{"one more", EncodeBool(true)}});
  EXPECT_EQ(log.Apply({update}).outcome, Outcome::kAttributesTooLarge);
  update.removed = {"1000"};
  EXPECT_EQ(log.Apply({update}).outcome, Outcome::kOk);
  update.removed = {"1001"};
  update.attributes =
      EncodeAttributes({{"big", EncodeBytes(std::string(kAttributesBytesMax - 100, 'x'))}});
  EXPECT_EQ(log.Apply({update}).outcome, Outcome::kAttributesTooLarge) << "in bytes";
}

TEST(StateMachineTest, CollectionsAreLimited) {
  Log log;
  for (uint32_t i = 0; i < kCollectionsMax; ++i) {
    ASSERT_EQ(log.Create(std::to_string(i) + "c").outcome, Outcome::kOk);
  }
  EXPECT_EQ(log.Create("one more").outcome, Outcome::kTooManyCollections);
  EXPECT_EQ(log.Create("0c").outcome, Outcome::kCollectionExists);
  log.Single(OperationKind::kDropCollection, [](Operation& o) { o.collection = "7c"; });
  EXPECT_EQ(log.Create("one more").outcome, Outcome::kOk);
}

TEST(StateMachineTest, RequestIdsAreRememberedForExactlyTheHorizon) {
  Log log;
  log.Create("c");
  const LogIndex first = log.Apply({Upsert("a")}, "first").index;
  const LogIndex second = log.Apply({Upsert("a")}, "second").index;
  EXPECT_EQ(log.Apply({Upsert("a")}, "first").outcome, Outcome::kDuplicateRequest);
  const CommitRecord reused = log.Apply({Upsert("b")}, "first");
  EXPECT_EQ(reused.outcome, Outcome::kRequestIdReused);
  EXPECT_EQ(reused.current, first);
  while (log.machine().next_index() < first + kDedupEntries) {
    log.Apply({Delete("nobody")}, std::to_string(log.machine().next_index()));
  }
  // At index first + kDedupEntries the first request is just inside.
  EXPECT_EQ(log.machine().oldest_request_index(), first);
  EXPECT_EQ(log.Apply({Upsert("a")}, "first").outcome, Outcome::kDuplicateRequest);
  // Now it has left; what carries a known index from before is refused.
  const CommitRecord late = log.Apply({Upsert("a")}, "late", first);
  EXPECT_EQ(late.outcome, Outcome::kRequestTooOld);
  EXPECT_EQ(late.current, first + 1);
  EXPECT_EQ(log.Apply({Upsert("a")}, "edge", log.machine().next_index() - kDedupEntries).outcome,
            Outcome::kOk);
  EXPECT_EQ(log.Apply({Upsert("a")}, "first").outcome, Outcome::kOk) << "forgotten, so new";
  EXPECT_EQ(log.Apply({Upsert("a")}, "second", second).outcome, Outcome::kRequestTooOld);
}

TEST(StateMachineTest, ARetryRepeatsTheOperationsAndTheExpectedStateIndex) {
  Log log;
  log.Create("c");
  Command command;
  command.header.request_id = "r";
  command.operations.push_back(Prepare(Upsert("a")));
  Seal(command);
  const auto apply = [&] {
    return log.machine().Apply(log.machine().next_index(), command).commit.outcome;
  };
  EXPECT_EQ(apply(), Outcome::kOk);
  EXPECT_EQ(apply(), Outcome::kDuplicateRequest);
  command.header.expected_state_index = 0;
  EXPECT_EQ(apply(), Outcome::kRequestIdReused);
  command.header.expected_state_index = 1;
  EXPECT_EQ(apply(), Outcome::kRequestIdReused);
  command.header.expected_state_index.reset();
  command.header.timestamp_micros = 99;
  command.header.clock_micros = 98;
  command.header.term = 5;
  EXPECT_EQ(apply(), Outcome::kDuplicateRequest);
  command.header.actor = "somebody else";
  EXPECT_EQ(apply(), Outcome::kOk);
}

}  // namespace
}  // namespace stele::index
