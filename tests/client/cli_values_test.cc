// What breaks if these fail: JSON that people type or export becomes another value, or hostile
// input is accepted, crashes the program or is refused without saying where.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cli/explanation.h"
#include "client/cli/filter_json.h"
#include "client/cli/json_values.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"
#include "client/filter.h"
#include "client/value.h"
#include "client/vector.h"

namespace stele::client::cli {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ParseJsonTest, RefusesWhatItWouldHaveToGuess) {
  EXPECT_TRUE(ParseJson(R"({"a": [1, -2, 3.5, true, "x", null]})", "w").ok());
  for (const char* text : {"", "{", "[1,]", "{\"a\":1,\"a\":2}", "9223372036854775808",
                           "-9223372036854775809", "18446744073709551616", "1e999", "NaN",
                           "Infinity", "\"\xff\"", "[1] 2", "'a'", "\"a\nb\""}) {
    const auto json = ParseJson(text, "here");
    EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(ErrorOf(json.status()), StartsWith("here: not valid JSON: ")) << text;
  }
  EXPECT_EQ(ParseJson("9223372036854775807", "w")->get<int64_t>(), INT64_MAX);
  EXPECT_EQ(ParseJson("-9223372036854775808", "w")->get<int64_t>(), INT64_MIN);
}

TEST(ParseJsonTest, BoundsDepthAndKeys) {
  EXPECT_TRUE(ParseJson(std::string(64, '[') + std::string(64, ']'), "w").ok());
  EXPECT_FALSE(ParseJson(std::string(65, '[') + std::string(65, ']'), "w").ok());
  EXPECT_FALSE(ParseJson(std::string(1000000, '['), "w").ok());
  std::string many = "{";
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&many, i > 0 ? "," : "", "\"k", i, "\":0");
  EXPECT_FALSE(ParseJson(many + "}", "w").ok());
}

v1::Value FromText(const std::string& text) {
  const auto json = ParseJson(text, "v");
  EXPECT_TRUE(json.ok()) << json.status();
  const auto value = ValueFromJson(*json, "v");
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *value : v1::Value();
}

TEST(ValueJsonTest, MapsByHowTheNumberIsWritten) {
  EXPECT_EQ(FromText("5").int64_value(), 5);
  EXPECT_EQ(FromText("5.0").kind_case(), v1::Value::kDoubleValue);
  EXPECT_EQ(FromText("5e0").kind_case(), v1::Value::kDoubleValue);
  EXPECT_TRUE(FromText("true").bool_value());
  EXPECT_EQ(FromText("\"\\u00e9\"").string_value(), "é");
  EXPECT_EQ(FromText(R"({"timestamp": "1970-01-01T00:00:01.5Z"})").timestamp_micros(), 1500000);
  EXPECT_EQ(FromText(R"({"timestamp": "1970-01-01T01:00:00+01:00"})").timestamp_micros(), 0);
  EXPECT_EQ(FromText(R"({"timestamp_micros": -7})").timestamp_micros(), -7);
  EXPECT_EQ(FromText(R"({"bytes": "AP8="})").bytes_value(), std::string("\0\xff", 2));
  EXPECT_EQ(FromText("[1, 2]").list_value().values(1).int64_value(), 2);
  EXPECT_EQ(FromText("[]").kind_case(), v1::Value::kListValue);
  // protobuf's own JSON form.
  EXPECT_EQ(FromText(R"({"int64Value": "12"})").int64_value(), 12);
  EXPECT_EQ(FromText(R"({"string_value": "s"})").string_value(), "s");
  EXPECT_EQ(FromText(R"({"list_value": {"values": [{"bool_value": true}]}})")
                .list_value()
                .values(0)
                .bool_value(),
            true);
}

TEST(ValueJsonTest, RefusesWhatIsNoValueAndSaysWhere) {
  for (const char* text :
       {"null", "{}", R"({"a": 1})", R"({"timestamp": "yesterday"})", R"({"timestamp": 5})",
        R"({"timestamp": "1970-01-01T00:00:00.0000001Z"})", R"({"timestamp": "infinite-future"})",
        R"({"bytes": "*"})", "[[1]]", "[null]", R"({"bytes": "AA==", "timestamp": "x"})",
        R"({"double": "nan"})", R"({"bool_value": 1})", R"({"int64_value": 1.5})"}) {
    const auto value = ValueFromJson(*ParseJson(text, "v"), "row 7: a");
    EXPECT_FALSE(value.ok()) << text;
    EXPECT_THAT(ErrorOf(value.status()), StartsWith("row 7: a")) << text;
  }
}

TEST(ValueJsonTest, EveryValueComesBack) {
  std::vector<Value> values = {Value(true),
                               Value(false),
                               Value(INT64_MAX),
                               Value(INT64_MIN),
                               Value(0.1),
                               Value(1.0),
                               Value(1e300),
                               Value(5e-324),
                               Value(std::numeric_limits<double>::infinity()),
                               Value(-std::numeric_limits<double>::infinity()),
                               Value(""),
                               Value("quote \" \\ \n \x01"),
                               Value(std::string("nul\0inside", 10)),
                               Value(Bytes{std::string("\0\xff\x80", 3)}),
                               Value(Bytes{""}),
                               Value(absl::FromUnixMicros(0)),
                               Value(absl::FromUnixMicros(-1)),
                               Value(absl::FromUnixMicros(1735689600123456)),
                               Value(std::vector<Value>{}),
                               Value(std::vector<Value>{1.5, 2.0}),
                               Value(std::vector<Value>{Bytes{"a"}, Bytes{"b"}}),
                               Value(std::vector<Value>{absl::FromUnixMicros(5)})};
  for (const int64_t micros : {INT64_MAX, INT64_MIN, INT64_MAX - 1}) {
    v1::Value extreme;
    extreme.set_timestamp_micros(micros);
    values.push_back(Value(extreme));
  }
  for (const Value& value : values) {
    const std::string text = ValueToJson(value.proto()).dump();
    EXPECT_TRUE(MessageDifferencer::Equals(FromText(text), value.proto())) << text;
  }
}

v1::RecordInput RecordOf(const std::string& text) {
  const auto record = RecordFromJson(*ParseJson(text, "r"), "r", true);
  EXPECT_TRUE(record.ok()) << record.status();
  return record.ok() ? *record : v1::RecordInput();
}

TEST(ValueJsonTest, TimesBeyondFourDigitYearsAreNumbers) {
  v1::Value value;
  value.set_timestamp_micros(INT64_MAX);
  EXPECT_EQ(ValueToJson(value).dump(), R"({"timestamp_micros":9223372036854775807})");
  value.set_timestamp_micros(0);
  EXPECT_EQ(ValueToJson(value).dump(), R"({"timestamp":"1970-01-01T00:00:00Z"})");
}

TEST(RecordJsonTest, ReadsAllParts) {
  const v1::RecordInput record = RecordOf(
      R"({"id": "a", "vector": [1, 2.5], "attributes": {"y": 1}, "document": "text", "version": 3})");
  EXPECT_EQ(record.id(), "a");
  EXPECT_EQ(DimensionOf(record.vector()), 2U);
  EXPECT_TRUE(record.vector().has_float64());
  EXPECT_EQ(record.attributes().at("y").int64_value(), 1);
  EXPECT_EQ(record.document(), "text");
  EXPECT_TRUE(RecordOf(R"({"id": "a", "vector_q16": [65536]})").vector().has_q16());
  EXPECT_EQ(RecordOf(R"({"id": "a", "vector": [1], "document_base64": "AA=="})").document(),
            std::string(1, '\0'));
}

TEST(RecordJsonTest, RefusesIncompleteAndUnknownParts) {
  for (const char* text :
       {"[]", "{}", R"({"vector": [1]})", R"({"id": "a"})", R"({"id": "", "vector": [1]})",
        R"({"id": 5, "vector": [1]})", R"({"id": "a", "vector": []})",
        R"({"id": "a", "vector": ["1"]})", R"({"id": "a", "vector": [1], "vector_q16": [1]})",
        R"({"id": "a", "vector": [1], "metadata": {}})",
        R"({"id": "a", "vector": [1], "attributes": []})",
        R"({"id": "a", "vector_q16": [2147483648]})", R"({"id": "a", "vector_q16": [1.0]})",
        R"({"id": "a", "vector": [1], "document_base64": "%"})",
        R"({"id": "a", "vector": [1], "document": 1})"}) {
    const auto record = RecordFromJson(*ParseJson(text, "r"), "f.jsonl:3", true);
    EXPECT_FALSE(record.ok()) << text;
    EXPECT_THAT(ErrorOf(record.status()), StartsWith("f.jsonl:3")) << text;
  }
}

TEST(RecordJsonTest, AnExportedRecordComesBackExactly) {
  v1::Record record;
  record.set_id("ünïcode\n");
  record.set_vector_q16(
      Vector(Q16{std::vector<int32_t>{INT32_MIN, -1, 0, INT32_MAX}}).proto().q16());
  (*record.mutable_attributes())["x"] = Value(0.1).proto();
  for (const std::string& document : {std::string("text"), std::string("\xff\xfe\0", 3)}) {
    record.set_document(document);
    const v1::RecordInput input = RecordOf(RecordToJson(record, false).dump());
    EXPECT_EQ(input.id(), record.id());
    EXPECT_EQ(input.vector().q16(), record.vector_q16());
    EXPECT_EQ(input.attributes().at("x").double_value(), 0.1);
    EXPECT_EQ(input.document(), document);
  }
}

v1::Filter FilterOf(const std::string& text) {
  const auto filter = ParseFilter(text, "--filter");
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() ? filter->proto() : v1::Filter();
}

TEST(FilterJsonTest, EqualsTheBuilder) {
  const Field year("year");
  const std::vector<std::pair<std::string, Filter>> cases = {
      {R"({"attribute": "year", "equals": 1})", year == 1},
      {R"({"attribute": "year", "not_equals": 1.5})", year != 1.5},
      {R"({"attribute": "year", "one_of": [1, 2]})", year.In({1, 2})},
      {R"({"attribute": "year", "not_one_of": ["a"]})", year.NotIn({"a"})},
      {R"({"attribute": "year", "less_than": 1})", year < 1},
      {R"({"less_or_equal": 1, "attribute": "year"})", year <= 1},
      {R"({"attribute": "year", "greater_than": 1})", year > 1},
      {R"({"attribute": "year", "greater_or_equal": 1})", year >= 1},
      {R"({"attribute": "year", "exists": false})", year.Missing()},
      {R"({"attribute": "year", "contains": "x"})", year.Contains("x")},
      {R"({"all_of": [{"attribute": "year", "equals": 1}, {"attribute": "b", "equals": true}]})",
       year == 1 && Field("b") == true},
      {R"({"any_of": [{"attribute": "year", "equals": 1}, {"attribute": "b", "equals": 2}]})",
       year == 1 || Field("b") == 2},
      {R"({"none_of": [{"attribute": "year", "equals": 1}]})", !(year == 1)},
      {R"({"all_of": []})", Filter()},
      {R"({"condition": {"attribute": "year", "greaterOrEqual": {"int64Value": "1"}}})", year >= 1},
      {R"({"noneOf": {"filters": [{"condition": {"attribute": "year",
           "one_of": {"values": [1, 2]}}}]}})",
       !year.In({1, 2})},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_TRUE(MessageDifferencer::Equals(FilterOf(text), expected.proto()))
        << text << FilterOf(text).DebugString();
  }
}

TEST(FilterJsonTest, RefusesWhatIsNoFilter) {
  for (const char* text :
       {"{}", "[]", "1", R"({"attribute": "a"})", R"({"equals": 1})",
        R"({"attribute": "a", "equals": 1, "less_than": 2})", R"({"attribute": "a", "like": "b"})",
        R"({"all_of": 1})", R"({"all_of": [1]})", R"({"attribute": 1, "equals": 1})",
        R"({"all_of": [], "any_of": []})", R"({"attribute": "a", "exists": 1})",
        R"({"attribute": "a", "one_of": 1})", R"({"attribute": "", "equals": 1})"}) {
    EXPECT_FALSE(ParseFilter(text, "--filter").ok()) << text;
  }
  const auto nested = ParseFilter(
      R"({"all_of": [{"attribute": "a", "equals": 1}, {"any_of": [{"attribute": "b", "equals": null}]}]})",
      "--filter");
  EXPECT_THAT(ErrorOf(nested.status()), HasSubstr("--filter.all_of[1].any_of[0].equals"));
}

TEST(TableTest, AlignsByCodePoints) {
  Table table({"NAME", ">N"});
  table.AddRow({"é", "1"});
  table.AddRow({"long", "100"});
  EXPECT_EQ(table.Format(), "NAME    N\né       1\nlong  100\n");
}

TEST(TableTest, ControlCharactersCannotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2J\n\x7f", 80), "a\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(Printable("a\xc2\x9b"
                      "31m",
                      80),
            "a\\x9b31m");
  EXPECT_EQ(Printable("ééé", 2), "éé…");
  EXPECT_EQ(Printable("ééé", 3), "ééé");
}

TEST(ProgressTest, SaysRateAndRemainingTime) {
  ProgressState state{5000, 1000, 10000, 0};
  EXPECT_EQ(FormatProgress("f", "rows", state, absl::Seconds(4), false),
            "f   50%  5,000/10,000 rows  1,000 rows/s  ETA 00:05");
  EXPECT_THAT(FormatProgress("f", "rows", state, absl::Seconds(4), true),
              HasSubstr("[============>           ]"));
  // Without a total, the fraction of the file that was read is what is known.
  state = {1000, 0, std::nullopt, 0.25};
  EXPECT_EQ(FormatProgress("f", "rows", state, absl::Seconds(1), false),
            "f   25%  1,000 rows  1,000 rows/s  ETA 00:03");
  state = {0, 0, 0, 0};
  EXPECT_EQ(FormatProgress("f", "rows", state, absl::ZeroDuration(), false), "f  100%  0/0 rows");
}

TEST(BytesToText, HasFourDigitsAtMost) {
  EXPECT_EQ(BytesToText(0), "0 B");
  EXPECT_EQ(BytesToText(1023), "1023 B");
  EXPECT_EQ(BytesToText(1024), "1.0 KiB");
  EXPECT_EQ(BytesToText(10 << 20), "10.0 MiB");
  EXPECT_EQ(BytesToText((uint64_t{1} << 30) - 1), "1.0 GiB");
  EXPECT_EQ(BytesToText(uint64_t{1023} << 30), "1023.0 GiB");
  EXPECT_EQ(BytesToText(~uint64_t{0}), "16.0 EiB");
}

}  // namespace
}  // namespace stele::client::cli
