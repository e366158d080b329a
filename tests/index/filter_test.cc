// If these fail, a filter means something else than docs/protocol.md says; in a log that is for
// ever.
#include "index/filter.h"

#include <gtest/gtest.h>

namespace stele::index {
namespace {

using Is = Filter::Test;
using Kind = Filter::Kind;

Filter Condition(Is test, std::vector<std::string> literals, std::string attribute = "a") {
  Filter filter;
  filter.kind = Kind::kCondition;
  filter.test = test;
  filter.attribute = std::move(attribute);
  filter.literals = std::move(literals);
  return filter;
}

Filter Group(Kind kind, std::vector<Filter> parts) {
  Filter filter;
  filter.kind = kind;
  filter.parts = std::move(parts);
  return filter;
}

bool Holds(const Filter& filter, const AttributeMap& attributes) {
  const std::string bytes = EncodeAttributes(attributes);
  return filter.Matches(AttributesView(bytes));
}

std::string Int(int64_t value) { return EncodeInt64(value); }
constexpr uint64_t kOneBits = 0x3ff0000000000000;

// One row for every test: what it says of 1 against the literal 1, of 0, of 2, of a string, of a
// list that holds 1, of a list that does not, and of a record without the attribute.
struct Row {
  Is test;
  bool equal, less, greater, other_type, list_with, list_without, missing;
};
constexpr Row kTable[] = {
    {Is::kEquals, true, false, false, false, false, false, false},
    {Is::kNotEquals, false, true, true, true, true, true, false},
    {Is::kOneOf, true, false, false, false, false, false, false},
    {Is::kNotOneOf, false, true, true, true, true, true, false},
    {Is::kLess, false, true, false, false, false, false, false},
    {Is::kLessOrEqual, true, true, false, false, false, false, false},
    {Is::kGreater, false, false, true, false, false, false, false},
    {Is::kGreaterOrEqual, true, false, true, false, false, false, false},
    {Is::kExists, true, true, true, true, true, true, false},
    {Is::kMissing, false, false, false, false, false, false, true},
    {Is::kContains, false, false, false, false, true, false, false},
};

TEST(FilterTest, TruthTable) {
  const std::string with = *EncodeList(std::vector<std::string>{Int(3), Int(1)});
  const std::string without = *EncodeList(std::vector<std::string>{Int(3)});
  for (const Row& row : kTable) {
    const bool takes_none = row.test == Is::kExists || row.test == Is::kMissing;
    const Filter filter = Condition(
        row.test, takes_none ? std::vector<std::string>{} : std::vector<std::string>{Int(1)});
    SCOPED_TRACE(static_cast<int>(row.test));
    EXPECT_EQ(Holds(filter, {{"a", Int(1)}}), row.equal);
    EXPECT_EQ(Holds(filter, {{"a", *EncodeDouble(kOneBits)}}), row.equal);
    EXPECT_EQ(Holds(filter, {{"a", Int(0)}}), row.less);
    EXPECT_EQ(Holds(filter, {{"a", Int(2)}}), row.greater);
    EXPECT_EQ(Holds(filter, {{"a", *EncodeString("1")}}), row.other_type);
    EXPECT_EQ(Holds(filter, {{"a", EncodeTimestamp(1)}}), row.other_type);
    EXPECT_EQ(Holds(filter, {{"a", EncodeBool(true)}}), row.other_type);
    EXPECT_EQ(Holds(filter, {{"a", with}}), row.list_with);
    EXPECT_EQ(Holds(filter, {{"a", without}}), row.list_without);
    EXPECT_EQ(Holds(filter, {{"a", *EncodeList({})}}), row.list_without);
    EXPECT_EQ(Holds(filter, {}), row.missing);
    EXPECT_EQ(Holds(filter, {{"A", Int(1)}, {"aa", Int(1)}}), row.missing);
    // Negation is logical.
    EXPECT_EQ(Holds(Group(Kind::kNoneOf, {filter}), {}), !row.missing);
    EXPECT_EQ(Holds(Group(Kind::kNoneOf, {filter}), {{"a", Int(1)}}), !row.equal);
  }
}

TEST(FilterTest, GroupsAndTheirEmptyForms) {
  const Filter yes = Condition(Is::kExists, {});
  const Filter no = Condition(Is::kMissing, {});
  const AttributeMap record = {{"a", Int(1)}};
  EXPECT_TRUE(Holds(Group(Kind::kAllOf, {}), record));
  EXPECT_FALSE(Holds(Group(Kind::kAnyOf, {}), record));
  EXPECT_TRUE(Holds(Group(Kind::kNoneOf, {}), record));
  EXPECT_FALSE(Holds(Group(Kind::kAllOf, {yes, no}), record));
  EXPECT_TRUE(Holds(Group(Kind::kAnyOf, {no, yes}), record));
  EXPECT_FALSE(Holds(Group(Kind::kNoneOf, {no, yes}), record));
  EXPECT_TRUE(Holds(Group(Kind::kNoneOf, {no, no}), record));
  EXPECT_FALSE(Holds(Condition(Is::kOneOf, {}), record));
  EXPECT_TRUE(Holds(Condition(Is::kNotOneOf, {}), record));
  EXPECT_FALSE(Holds(Condition(Is::kNotOneOf, {}), {}));
  EXPECT_TRUE(Holds(Condition(Is::kOneOf, {*EncodeString("x"), Int(1)}), record));
  EXPECT_FALSE(Holds(Condition(Is::kNotOneOf, {*EncodeString("x"), Int(1)}), record));
}

bool Decodes(const Filter& filter) {
  Encoder encoder;
  EncodeFilter(filter, encoder);
  Decoder decoder(encoder.bytes());
  const Filter decoded = DecodeFilter(decoder);
  if (!decoder.Done()) return false;
  Encoder again;
  EncodeFilter(decoded, again);
  return again.bytes() == encoder.bytes();
}

TEST(FilterTest, DepthIsLimited) {
  Filter filter = Condition(Is::kExists, {});
  for (uint32_t depth = 1; depth < kFilterDepthMax; ++depth) filter = Group(Kind::kAllOf, {filter});
  EXPECT_EQ(Depth(filter), kFilterDepthMax);
  EXPECT_TRUE(Decodes(filter));
  EXPECT_FALSE(Decodes(Group(Kind::kAllOf, {filter})));
}

TEST(FilterTest, ConditionsAreLimited) {
  std::vector<Filter> parts(kFilterConditionsMax, Condition(Is::kExists, {}));
  EXPECT_EQ(ConditionCount(Group(Kind::kAnyOf, parts)), kFilterConditionsMax);
  EXPECT_TRUE(Decodes(Group(Kind::kAnyOf, parts)));
  parts.push_back(Condition(Is::kExists, {}));
  EXPECT_FALSE(Decodes(Group(Kind::kAnyOf, parts)));

  std::vector<std::string> literals(kFilterConditionsMax, Int(1));
  EXPECT_TRUE(Decodes(Condition(Is::kOneOf, literals)));
  EXPECT_EQ(ConditionCount(Condition(Is::kOneOf, literals)), kFilterConditionsMax);
  literals.push_back(Int(1));
  EXPECT_FALSE(Decodes(Condition(Is::kNotOneOf, literals)));

  // Empty groups and lists cost, or they would be free to send.
  EXPECT_TRUE(Decodes(Group(Kind::kAllOf, std::vector<Filter>(kFilterConditionsMax))));
  EXPECT_FALSE(Decodes(Group(Kind::kAllOf, std::vector<Filter>(kFilterConditionsMax + 1))));
  const Filter empty = Condition(Is::kOneOf, {});
  EXPECT_FALSE(Decodes(Group(Kind::kAllOf, std::vector<Filter>(kFilterConditionsMax + 1, empty))));
}

TEST(FilterTest, RefusesWhatHasNoMeaning) {
  EXPECT_TRUE(Decodes(Condition(Is::kEquals, {Int(1)})));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {})));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {Int(1), Int(1)})));
  EXPECT_FALSE(Decodes(Condition(Is::kContains, {})));
  EXPECT_FALSE(Decodes(Condition(Is::kExists, {Int(1)})));
  EXPECT_FALSE(Decodes(Condition(Is::kMissing, {Int(1)})));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {*EncodeList({})})));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {Int(1)}, "")));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {Int(1)}, "\xff")));
  EXPECT_TRUE(Decodes(Condition(Is::kEquals, {Int(1)}, std::string(128, 'a'))));
  EXPECT_FALSE(Decodes(Condition(Is::kEquals, {Int(1)}, std::string(129, 'a'))));
  EXPECT_FALSE(Decodes(Condition(static_cast<Is>(0), {Int(1)})));
  EXPECT_FALSE(Decodes(Condition(static_cast<Is>(12), {Int(1)})));
  EXPECT_FALSE(Decodes(Group(static_cast<Kind>(0), {})));
  EXPECT_FALSE(Decodes(Group(static_cast<Kind>(5), {})));
}

}  // namespace
}  // namespace stele::index
