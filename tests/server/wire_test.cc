// If this failed: attributes could come back as other values than were stored, a filter could mean
// another one than was sent, or what is refused could be refused for the wrong reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "server/attributes_wire.h"
#include "server/errors.h"
#include "server/filter_wire.h"
#include "server/quote.h"
#include "tests/server/error_details.h"

namespace stele::server {
namespace {

using index::Filter;

v1::Value Int(int64_t number) {
  v1::Value value;
  value.set_int64_value(number);
  return value;
}
v1::Value Double(double number) {
  v1::Value value;
  value.set_double_value(number);
  return value;
}
v1::Value String(const std::string& text) {
  v1::Value value;
  value.set_string_value(text);
  return value;
}
v1::Value List(const std::vector<v1::Value>& values) {
  v1::Value value;
  value.mutable_list_value();
  for (const v1::Value& element : values) *value.mutable_list_value()->add_values() = element;
  return value;
}

TEST(Attributes, EveryTypeComesBack) {
  WireAttributes attributes;
  attributes["bool"].set_bool_value(false);
  attributes["int64"] = Int(std::numeric_limits<int64_t>::min());
  attributes["double"] = Double(-1.0e-310);
  attributes["infinity"] = Double(std::numeric_limits<double>::infinity());
  attributes["string"] = String("h\xc3\xa9llo");
  attributes["empty string"] = String("");
  attributes["bytes"].set_bytes_value(std::string("\0\xff", 2));
  attributes["timestamp"].set_timestamp_micros(-1);
  attributes["list"] = List({String("a"), String(""), String("a")});
  attributes["doubles"] = List({Double(1), Double(2)});
  attributes["empty list"] = List({});
  const std::string encoded = EncodeAttributes(attributes, "f").value();
  index::AttributeMap map;
  ASSERT_TRUE(index::DecodeAttributes(encoded, &map));
  EXPECT_EQ(map.size(), attributes.size());
  WireAttributes back;
  DecodeAttributes(encoded, &back);
  ASSERT_EQ(back.size(), attributes.size());
  for (const auto& [name, value] : attributes) {
    EXPECT_EQ(back.at(name).SerializeAsString(), value.SerializeAsString()) << name;
  }
}

TEST(Attributes, NegativeZeroBecomesZero) {
  EXPECT_EQ(EncodeValue(Double(-0.0), "f").value(), EncodeValue(Double(0.0), "f").value());
  EXPECT_NE(EncodeValue(Double(1.0), "f").value(), EncodeValue(Int(1), "f").value());
}

TEST(Attributes, NoneIsNoBytes) { EXPECT_EQ(EncodeAttributes({}, "f").value(), ""); }

TEST(Attributes, LimitsAreInclusive) {
  WireAttributes many;
  for (int i = 0; i < 256; ++i) many["a" + std::to_string(i)] = Int(i);
  EXPECT_TRUE(EncodeAttributes(many, "f").ok());
  many["one more"] = Int(0);
  EXPECT_EQ(DetailsOf(EncodeAttributes(many, "f").status()).reason, "ATTRIBUTES_TOO_LARGE");

  WireAttributes named;
  named[std::string(128, 'n')] = Int(1);
  EXPECT_TRUE(EncodeAttributes(named, "f").ok());
  named[std::string(129, 'n')] = Int(1);
  EXPECT_EQ(DetailsOf(EncodeAttributes(named, "f").status()).reason, "ATTRIBUTE_NAME");

  // 4 bytes of count, 4 + 1 of name, 1 of type, 4 of length.
  WireAttributes large;
  large["s"] = String(std::string(64 * 1024 - 14, 'x'));
  const std::string encoded = EncodeAttributes(large, "f").value();
  EXPECT_EQ(encoded.size(), 64u * 1024);
  index::AttributeMap map;
  EXPECT_TRUE(index::DecodeAttributes(encoded, &map));
  large["s"] = String(std::string(64 * 1024 - 13, 'x'));
  EXPECT_EQ(DetailsOf(EncodeAttributes(large, "f").status()).reason, "ATTRIBUTES_TOO_LARGE");
}

TEST(Attributes, Faults) {
  struct Fault {
    const char* name;
    v1::Value value;
    const char* reason;
    const char* field;
  };
  const Fault faults[] = {
      {"unset", {}, "ATTRIBUTE_TYPE", "f[\"a\"]"},
      {"NaN", Double(NAN), "ATTRIBUTE_NAN", "f[\"a\"]"},
      {"negative NaN", Double(-NAN), "ATTRIBUTE_NAN", "f[\"a\"]"},
      {"not UTF-8", String("\xff"), "ATTRIBUTE_NOT_UTF8", "f[\"a\"]"},
      {"mixed", List({Int(1), Double(1)}), "ATTRIBUTE_TYPE", "f[\"a\"]"},
      {"nested", List({List({})}), "ATTRIBUTE_TYPE", "f[\"a\"].list_value.values[0]"},
      {"unset inside", List({Int(1), {}}), "ATTRIBUTE_TYPE", "f[\"a\"].list_value.values[1]"},
      {"NaN inside", List({Double(NAN)}), "ATTRIBUTE_NAN", "f[\"a\"].list_value.values[0]"},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.name);
    WireAttributes attributes;
    attributes["a"] = fault.value;
    const Details details = DetailsOf(EncodeAttributes(attributes, "f").status());
    EXPECT_EQ(details.reason, fault.reason);
    EXPECT_EQ(details.field, fault.field);
  }
  for (const std::string& name : {std::string(), std::string("\xc3"), std::string(129, 'a')}) {
    WireAttributes attributes;
    attributes[name] = Int(1);
    EXPECT_EQ(DetailsOf(EncodeAttributes(attributes, "f").status()).reason, "ATTRIBUTE_NAME");
  }
}

v1::Filter Condition(const std::string& attribute,
                     const std::function<void(v1::Condition*)>& set_test) {
  v1::Filter filter;
  filter.mutable_condition()->set_attribute(attribute);
  set_test(filter.mutable_condition());
  return filter;
}

v1::Filter Equals(const v1::Value& value) {
  return Condition("a", [&](v1::Condition* test) { *test->mutable_equals() = value; });
}

// What the canonical decoder reads of the canonical encoding.
Filter ThroughTheLog(const Filter& filter) {
  index::Encoder encoder;
  index::EncodeFilter(filter, encoder);
  index::Decoder decoder(encoder.bytes());
  Filter decoded = index::DecodeFilter(decoder);
  EXPECT_TRUE(decoder.Done());
  return decoded;
}

bool Matches(const v1::Filter& wire, const v1::Value* value) {
  WireAttributes attributes;
  if (value != nullptr) attributes["a"] = *value;
  const std::string encoded = EncodeAttributes(attributes, "f").value();
  const Filter filter = ThroughTheLog(ConvertFilter(wire, "filter").value());
  return filter.Matches(index::AttributesView(encoded));
}

// The table of docs/protocol.md, "Filters", for an attribute that is smaller than, equal to and
// greater than the literal 5, of another type, or missing.
TEST(Filters, TruthTable) {
  struct Row {
    const char* name;
    std::function<void(v1::Condition*)> set_test;
    bool smaller, equal, greater, other_type, missing;
  };
  const Row rows[] = {
      {"equals", [](auto* t) { *t->mutable_equals() = Int(5); }, false, true, false, false, false},
      {"not_equals", [](auto* t) { *t->mutable_not_equals() = Int(5); }, true, false, true, true,
       false},
      {"one_of", [](auto* t) { *t->mutable_one_of()->add_values() = Int(5); }, false, true, false,
       false, false},
      {"not_one_of", [](auto* t) { *t->mutable_not_one_of()->add_values() = Int(5); }, true, false,
       true, true, false},
      {"less_than", [](auto* t) { *t->mutable_less_than() = Int(5); }, true, false, false, false,
       false},
      {"less_or_equal", [](auto* t) { *t->mutable_less_or_equal() = Int(5); }, true, true, false,
       false, false},
      {"greater_than", [](auto* t) { *t->mutable_greater_than() = Int(5); }, false, false, true,
       false, false},
      {"greater_or_equal", [](auto* t) { *t->mutable_greater_or_equal() = Int(5); }, false, true,
       true, false, false},
      {"exists", [](auto* t) { t->set_exists(true); }, true, true, true, true, false},
      {"missing", [](auto* t) { t->set_exists(false); }, false, false, false, false, true},
      {"contains", [](auto* t) { *t->mutable_contains() = Int(5); }, false, false, false, false,
       false},
      {"empty one_of", [](auto* t) { t->mutable_one_of(); }, false, false, false, false, false},
      {"empty not_one_of", [](auto* t) { t->mutable_not_one_of(); }, true, true, true, true, false},
  };
  const v1::Value four = Int(4), five = Double(5), six = Int(6), text = String("5");
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const v1::Filter filter = Condition("a", row.set_test);
    EXPECT_EQ(Matches(filter, &four), row.smaller);
    EXPECT_EQ(Matches(filter, &five), row.equal);
    EXPECT_EQ(Matches(filter, &six), row.greater);
    EXPECT_EQ(Matches(filter, &text), row.other_type);
    EXPECT_EQ(Matches(filter, nullptr), row.missing);
  }
  const v1::Value list = List({Int(4), Int(5)});
  const v1::Value other_list = List({String("5")});
  const v1::Filter contains =
      Condition("a", [](v1::Condition* test) { *test->mutable_contains() = Double(5); });
  EXPECT_TRUE(Matches(contains, &list));
  EXPECT_FALSE(Matches(contains, &other_list));
  EXPECT_FALSE(Matches(Equals(Int(5)), &list));
}

TEST(Filters, Groups) {
  v1::Filter all, any, none;
  all.mutable_all_of();
  any.mutable_any_of();
  none.mutable_none_of();
  const v1::Value five = Int(5), four = Int(4);
  EXPECT_TRUE(Matches(all, &five));
  EXPECT_FALSE(Matches(any, &five));
  EXPECT_TRUE(Matches(none, &five));
  for (v1::FilterList* list :
       {all.mutable_all_of(), any.mutable_any_of(), none.mutable_none_of()}) {
    *list->add_filters() = Equals(Int(5));
    *list->add_filters() = Condition("a", [](v1::Condition* test) { test->set_exists(true); });
  }
  EXPECT_TRUE(Matches(all, &five));
  EXPECT_FALSE(Matches(all, &four));
  EXPECT_TRUE(Matches(any, &four));
  EXPECT_FALSE(Matches(any, nullptr));
  EXPECT_FALSE(Matches(none, &four));
  EXPECT_TRUE(Matches(none, nullptr));
}

v1::Filter Nested(int depth) {
  v1::Filter filter = Equals(Int(1));
  for (int i = 1; i < depth; ++i) {
    v1::Filter outer;
    *outer.mutable_none_of()->add_filters() = filter;
    filter = outer;
  }
  return filter;
}

v1::Filter OneOf(int count) {
  return Condition("a", [&](v1::Condition* test) {
    test->mutable_one_of();
    for (int i = 0; i < count; ++i) *test->mutable_one_of()->add_values() = Int(i);
  });
}

TEST(Filters, LimitsAreThoseOfTheLog) {
  ThroughTheLog(ConvertFilter(Nested(16), "f").value());
  EXPECT_EQ(DetailsOf(ConvertFilter(Nested(17), "f").status()).reason, "FILTER_TOO_DEEP");
  ThroughTheLog(ConvertFilter(OneOf(1024), "f").value());
  EXPECT_EQ(DetailsOf(ConvertFilter(OneOf(1025), "f").status()).reason, "FILTER_TOO_LARGE");

  v1::Filter conditions;
  for (int i = 0; i < 1000; ++i) *conditions.mutable_any_of()->add_filters() = Equals(Int(i));
  *conditions.mutable_any_of()->add_filters() = OneOf(22);
  *conditions.mutable_any_of()->add_filters() = OneOf(0);
  conditions.mutable_any_of()->add_filters()->mutable_all_of();
  ThroughTheLog(ConvertFilter(conditions, "f").value());
  conditions.mutable_any_of()->add_filters()->mutable_all_of();
  const Details details = DetailsOf(ConvertFilter(conditions, "f").status());
  EXPECT_EQ(details.reason, "FILTER_TOO_LARGE");
  EXPECT_EQ(details.metadata.at("limit"), "1024");
}

TEST(Filters, Faults) {
  struct Fault {
    const char* name;
    v1::Filter filter;
    const char* reason;
    const char* field;
  };
  v1::Filter inner;
  *inner.mutable_all_of()->add_filters() = Equals(Int(1));
  inner.mutable_all_of()->add_filters();
  const Fault faults[] = {
      {"empty", {}, "FILTER_EMPTY", "filter"},
      {"empty inside", inner, "FILTER_EMPTY", "filter.all_of.filters[1]"},
      {"no test", Condition("a", [](auto*) {}), "FILTER_EMPTY", "filter.condition"},
      {"no attribute", Condition("", [](auto* t) { t->set_exists(true); }), "ATTRIBUTE_NAME",
       "filter.condition.attribute"},
      {"unset literal", Equals({}), "FILTER_LITERAL", "filter.condition.equals"},
      {"NaN", Equals(Double(NAN)), "FILTER_LITERAL", "filter.condition.equals"},
      {"list", Equals(List({})), "FILTER_LITERAL", "filter.condition.equals"},
      {"long", Equals(String(std::string(70'000, 'x'))), "FILTER_LITERAL",
       "filter.condition.equals"},
      {"unset in one_of",
       Condition("a",
                 [](auto* t) {
                   *t->mutable_not_one_of()->add_values() = Int(1);
                   t->mutable_not_one_of()->add_values();
                 }),
       "FILTER_LITERAL", "filter.condition.not_one_of.values[1]"},
  };
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.name);
    const Details details = DetailsOf(ConvertFilter(fault.filter, "filter").status());
    EXPECT_EQ(details.reason, fault.reason);
    EXPECT_EQ(details.field, fault.field);
  }
}

TEST(Quote, IsShortAndHarmless) {
  EXPECT_EQ(Quote("plain"), "\"plain\"");
  EXPECT_EQ(Quote("a\n\"b"), "\"a\\n\\\"b\"");
  EXPECT_EQ(Quote(std::string(64, 'x')), "\"" + std::string(64, 'x') + "\"");
  EXPECT_EQ(Quote(std::string(65, 'x')), "\"" + std::string(64, 'x') + "...\"");
  // Not cut inside a character.
  EXPECT_EQ(Quote(std::string(63, 'x') + "\xc3\xa9z"), "\"" + std::string(63, 'x') + "...\"");
  EXPECT_EQ(Quote("\xff"), "\"\\xff\"");
}

TEST(Errors, TravelWithTheirDetails) {
  const absl::Status status = BadField("REASON", "a.b", "is wrong", {{"limit", "7"}});
  const grpc::Status wire = ToGrpc(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(wire.error_message(), "a.b: is wrong");
  const Details details = DetailsOf(wire);
  EXPECT_EQ(details.reason, "REASON");
  EXPECT_EQ(details.domain, "stele.v1");
  EXPECT_EQ(details.field, "a.b");
  EXPECT_EQ(details.metadata.at("limit"), "7");
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace stele::server
