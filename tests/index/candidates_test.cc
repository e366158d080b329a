// If these fail, a listing, a count or a deletion by filter misses records or gives them out of
// order, or a selective filter looks at every record.
#include "index/candidates.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "index/state_machine.h"
#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

constexpr int64_t kRareValues = 100;

class CandidatesTest : public testing::Test {
 protected:
  CandidatesTest() {
    Operation operation;
    operation.kind = OperationKind::kGenesis;
    operation.rules_version = kRulesVersion;
    Apply({operation});
    operation = {};
    operation.kind = OperationKind::kCreateCollection;
    operation.collection = "c";
    operation.config.dimension = 1;
    Apply({operation});
  }

  void Apply(std::vector<Operation> operations) {
    Command command;
    for (Operation& operation : operations) {
      command.operations.push_back(Prepare(std::move(operation)));
    }
    Seal(command);
    machine_.Apply(machine_.next_index(), command);
  }

  std::string Attributes() {
    AttributeMap attributes;
    attributes.emplace_back("common", EncodeInt64(static_cast<int64_t>(random_.Below(2))));
    if (random_.Below(10) != 0) {
      attributes.emplace_back("rare",
                              EncodeInt64(static_cast<int64_t>(random_.Below(kRareValues))));
    }
    return EncodeAttributes(attributes);
  }

  // Writes, changes or deletes some records of the ids "0" to "1999".
  void Change() {
    std::vector<Operation> operations;
    const uint64_t first = random_.Below(2000);
    for (uint64_t i = 0; i < 20; ++i) {
      Operation operation;
      operation.collection = "c";
      operation.id = std::to_string((first + i * 7) % 2000);
      const uint64_t kind = random_.Below(6);
      const bool there =
          machine_.FindCollection("c", Newest())->Find(operation.id, Newest()) != nullptr;
      if (kind == 0) {
        operation.kind = OperationKind::kDelete;
      } else if (kind == 1 && there) {
        operation.kind = OperationKind::kUpdateAttributes;
        operation.attributes = Attributes();
      } else {
        operation.vector = {static_cast<int32_t>(i)};
        operation.attributes = Attributes();
      }
      operations.push_back(std::move(operation));
    }
    Apply(std::move(operations));
  }

  LogIndex Newest() const { return machine_.next_index() - 1; }

  static Filter Equals(const char* attribute, int64_t value) {
    Filter filter;
    filter.kind = Filter::Kind::kCondition;
    filter.attribute = attribute;
    filter.literals = {EncodeInt64(value)};
    return filter;
  }
  static Filter Group(Filter::Kind kind, std::vector<Filter> parts) {
    Filter filter;
    filter.kind = kind;
    filter.parts = std::move(parts);
    return filter;
  }
  Filter RandomFilter() {
    const Filter rare = Equals("rare", static_cast<int64_t>(random_.Below(kRareValues)));
    const Filter common = Equals("common", static_cast<int64_t>(random_.Below(2)));
    switch (random_.Below(5)) {
      case 0:
        return rare;
      case 1:
        return common;
      case 2:
        return Group(Filter::Kind::kAllOf, {common, rare});
      case 3:
        return Group(Filter::Kind::kAnyOf, {rare, Equals("rare", 3), rare});
      default:
        return Group(Filter::Kind::kNoneOf, {rare});
    }
  }

  static bool Matches(const Filter& filter, const RecordVersion& version) {
    return filter.Matches(AttributesView(version.attributes()));
  }

  TestRandom random_{7};
  StateMachine machine_;
};

TEST_F(CandidatesTest, AreTheRecordsThatAWalkFinds) {
  for (int i = 0; i < 400; ++i) Change();
  size_t matched = 0;
  for (int round = 0; round < 300; ++round) {
    if (round % 10 == 0) Change();
    const LogIndex n = Newest() - random_.Below(100);
    const Collection& collection = *machine_.FindCollection("c", n);
    const Filter filter = RandomFilter();
    const std::string from = random_.Below(2) == 0 ? "" : std::to_string(random_.Below(2500));
    std::vector<std::string> expected;
    for (const RecordNode* node = collection.records().Seek(from); node != nullptr;
         node = node->Next()) {
      const RecordVersion* version = FindVisible(node->payload.newest.Get(), n);
      if (version != nullptr && Matches(filter, *version)) expected.emplace_back(version->id());
    }
    std::vector<std::string> found;
    CandidateRecords records(collection, n, &filter, from);
    while (records.Advance()) {
      const RecordVersion* version = records.version();
      if (version != nullptr && Matches(filter, *version)) found.emplace_back(version->id());
    }
    ASSERT_EQ(found, expected) << "round " << round;
    matched += found.size();
  }
  EXPECT_GT(matched, 10'000u);
}

TEST_F(CandidatesTest, OfASelectiveFilterAreFew) {
  for (int i = 0; i < 400; ++i) Change();
  const Collection& collection = *machine_.FindCollection("c", Newest());
  const Filter filter = Group(Filter::Kind::kAllOf, {Equals("common", 1), Equals("rare", 5)});
  size_t looked_at = 0;
  CandidateRecords records(collection, Newest(), &filter);
  while (records.Advance()) ++looked_at;
  EXPECT_GT(looked_at, 0u);
  EXPECT_LE(looked_at, collection.postings().EstimateRows(filter));
  EXPECT_LT(looked_at, collection.StatsAt(Newest()).record_count / 20);
}

TEST_F(CandidatesTest, WithoutAFilterAreAll) {
  for (int i = 0; i < 50; ++i) Change();
  const Collection& collection = *machine_.FindCollection("c", Newest());
  uint64_t visible = 0;
  CandidateRecords records(collection, Newest(), nullptr);
  while (records.Advance()) visible += records.version() != nullptr ? 1u : 0u;
  EXPECT_EQ(visible, collection.StatsAt(Newest()).record_count);
}

}  // namespace
}  // namespace stele::index
