// If these fail, a filtered search misses rows, or the memory of postings grows without bound.
#include "index/postings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

Filter Condition(Filter::Test test, std::string attribute, std::vector<std::string> literals) {
  Filter filter;
  filter.kind = Filter::Kind::kCondition;
  filter.test = test;
  filter.attribute = std::move(attribute);
  filter.literals = std::move(literals);
  return filter;
}

Filter Group(Filter::Kind kind, std::vector<Filter> parts) {
  Filter filter;
  filter.kind = kind;
  filter.parts = std::move(parts);
  return filter;
}

// Versions as the state machine keeps them: chains of records, with slots used again.
class PostingsTest : public testing::Test {
 protected:
  static constexpr uint32_t kBlocks = 8;

  ~PostingsTest() override {
    for (auto& [slot, versions] : alive_) {
      for (RecordVersion* version : versions) RecordVersion::Free(version);
    }
    Collect();
  }

  void Add(uint32_t slot, const AttributeMap& attributes) {
    std::vector<RecordVersion*>& versions = alive_[slot];
    RecordVersion* before = versions.empty() ? nullptr : versions.back();
    RecordVersion* version =
        RecordVersion::Make(1, node_, Slot{slot}, EncodeAttributes(attributes), nullptr);
    postings_.Add(*version, before);
    if (before != nullptr) before->newer = version;
    versions.push_back(version);
  }
  // The oldest version of the slot goes.
  void Remove(uint32_t slot) {
    std::vector<RecordVersion*>& versions = alive_[slot];
    postings_.Remove(*versions.front(), &garbage_);
    RecordVersion::Free(versions.front());
    versions.erase(versions.begin());
    if (versions.empty()) alive_.erase(slot);
  }
  void Collect() {
    for (const Postings::Garbage& piece : garbage_) piece.Free();
    garbage_.clear();
  }

  std::set<uint32_t> Matching(const Filter& filter) const {
    std::set<uint32_t> slots;
    for (const auto& [slot, versions] : alive_) {
      for (const RecordVersion* version : versions) {
        if (filter.Matches(AttributesView(version->attributes()))) slots.insert(slot);
      }
    }
    return slots;
  }
  std::set<uint32_t> Named(const Filter& filter) const {
    std::set<uint32_t> slots;
    const std::vector<uint64_t> masks = postings_.Candidates(filter, kBlocks);
    for (uint32_t slot = 0; slot < kBlocks * 64; ++slot) {
      if ((masks[slot / 64] >> slot % 64 & 1) != 0) slots.insert(slot);
    }
    return slots;
  }

  RecordMap records_{1};
  RecordNode* node_ = [this] {
    RecordNode* node = records_.Prepare("id");
    records_.Link(node);
    return node;
  }();
  Postings postings_{7};
  std::map<uint32_t, std::vector<RecordVersion*>> alive_;
  std::vector<Postings::Garbage> garbage_;
};

TEST_F(PostingsTest, NameEveryRowThatMatches) {
  using Tests = Filter::Test;
  TestRandom random(1);
  const auto scalar = [&]() -> std::string {
    const auto value = static_cast<int64_t>(random.Below(5));
    switch (random.Below(4)) {
      case 0:
        return EncodeInt64(value);
      case 1:  // the same numbers as doubles, and halves
        return *EncodeDouble(value == 0   ? 0
                             : value == 1 ? 0x3ff0000000000000u
                                          : 0x3fe0000000000000u);
      case 2:
        return *EncodeString(std::string(1, static_cast<char>('a' + value)));
      default:
        return EncodeTimestamp(value);
    }
  };
  const auto value = [&] {
    if (random.Below(4) > 0) return scalar();
    std::vector<std::string> elements;
    const uint64_t count = random.Below(20) == 0 ? 100 : random.Below(4);
    for (uint64_t i = 0; i < count; ++i) {
      elements.push_back(EncodeInt64(static_cast<int64_t>(random.Below(200))));
    }
    return *EncodeList(elements);
  };
  uint64_t matched = 0;
  for (int round = 0; round < 6000; ++round) {
    const auto slot = static_cast<uint32_t>(random.Below(kBlocks * 64));
    if (alive_.contains(slot) && random.Below(2) == 0) {
      Remove(slot);
    } else if (!alive_.contains(slot) || alive_[slot].size() < 3) {
      AttributeMap attributes;
      for (const char* name : {"a", "b"}) {
        if (random.Below(3) > 0) attributes.emplace_back(name, value());
      }
      Add(slot, attributes);
    }
    if (random.Below(10) == 0) Collect();
    if (round % 20 != 0) continue;
    const Filter a = Condition(Tests::kEquals, "a", {scalar()});
    const Filter b = Condition(Tests::kOneOf, "b", {scalar(), scalar()});
    const Filter c =
        Condition(Tests::kContains, "a", {EncodeInt64(static_cast<int64_t>(random.Below(200)))});
    for (const Filter& filter :
         {a, b, c, Group(Filter::Kind::kAllOf, {a, b}), Group(Filter::Kind::kAnyOf, {a, b, c}),
          Group(Filter::Kind::kAllOf, {a, Group(Filter::Kind::kNoneOf, {b})})}) {
      const std::set<uint32_t> named = Named(filter);
      const std::set<uint32_t> matching = Matching(filter);
      matched += matching.size();
      ASSERT_TRUE(std::includes(named.begin(), named.end(), matching.begin(), matching.end()));
      ASSERT_GE(postings_.EstimateRows(filter), named.size());
    }
  }
  EXPECT_GT(matched, 10'000u);
}

TEST_F(PostingsTest, SayWhereTheyCannotTell) {
  using Tests = Filter::Test;
  Add(3, {{"a", EncodeInt64(1)}});
  const Filter equal = Condition(Tests::kEquals, "a", {EncodeInt64(1)});
  for (const Tests test : {Tests::kNotEquals, Tests::kLess, Tests::kGreaterOrEqual}) {
    const Filter other = Condition(test, "a", {EncodeInt64(1)});
    EXPECT_FALSE(postings_.EstimateRows(other).has_value());
    EXPECT_FALSE(postings_.EstimateRows(Group(Filter::Kind::kAnyOf, {equal, other})).has_value());
    EXPECT_EQ(postings_.EstimateRows(Group(Filter::Kind::kAllOf, {equal, other})), 1u);
  }
  EXPECT_FALSE(postings_.EstimateRows(Condition(Tests::kExists, "a", {})).has_value());
  EXPECT_FALSE(postings_.EstimateRows(Group(Filter::Kind::kNoneOf, {equal})).has_value());
  EXPECT_FALSE(postings_.EstimateRows(Group(Filter::Kind::kAllOf, {})).has_value());
  EXPECT_EQ(postings_.EstimateRows(Group(Filter::Kind::kAnyOf, {})), 0u);
  // Another attribute, and another type.
  EXPECT_EQ(postings_.EstimateRows(Condition(Tests::kEquals, "b", {EncodeInt64(1)})), 0u);
  EXPECT_EQ(postings_.EstimateRows(Condition(Tests::kEquals, "a", {EncodeTimestamp(1)})), 0u);
}

// Counted: what is kept follows what lives, however often rows change.
TEST_F(PostingsTest, DoNotGrowWithChurn) {
  for (uint32_t slot = 0; slot < 100; ++slot) Add(slot, {{"a", EncodeInt64(1)}});
  for (int64_t round = 0; round < 20'000; ++round) {
    const auto slot = static_cast<uint32_t>(round % 100);
    Remove(slot);
    Add(slot, {{"a", EncodeInt64(1)}, {"unique", EncodeInt64(round)}});
    Collect();
  }
  EXPECT_LE(postings_.EstimateRows(Condition(Filter::Test::kEquals, "a", {EncodeInt64(1)})), 300u);
  EXPECT_LT(postings_.memory_bytes(), 40'000u);
  while (!alive_.empty()) Remove(alive_.begin()->first);
  EXPECT_EQ(postings_.memory_bytes(), 0u);
}

}  // namespace
}  // namespace stele::index
