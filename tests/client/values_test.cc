// What breaks if these fail: vectors, filters or batches mean something else on the wire than the
// caller wrote.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "client/batch_builder.h"
#include "client/filter.h"
#include "client/record.h"
#include "client/request_id.h"
#include "client/value.h"
#include "client/vector.h"

namespace stele::client {
namespace {

using ::testing::ElementsAre;

TEST(VectorTest, FormsAreLittleEndianAndExact) {
  EXPECT_EQ(Vector(std::vector<float>{1.0F}).proto().float32(), std::string("\0\0\x80\x3f", 4));
  EXPECT_EQ(Vector(std::vector<double>{1.0}).proto().float64(),
            std::string("\0\0\0\0\0\0\xf0\x3f", 8));
  EXPECT_EQ(Vector({1.0}).proto().float64().size(), 8U);
  const std::vector<int32_t> raw = {-2, 65536};
  EXPECT_EQ(Vector(Q16{raw}).proto().q16(), std::string("\xfe\xff\xff\xff\0\0\1\0", 8));
}

TEST(VectorTest, DecodesWhatItEncodes) {
  const std::vector<int32_t> raw = {INT32_MIN, -1, 0, 1, 98304, INT32_MAX};
  EXPECT_EQ(DecodeQ16(Vector(Q16{raw}).proto().q16()).value(), raw);
  EXPECT_EQ(DecodeDoubles(Vector(Q16{raw}).proto().q16()).value()[4], 1.5);
  EXPECT_FALSE(DecodeQ16("12345").ok());
}

TEST(ValueTest, KindsFollowTheCppType) {
  EXPECT_EQ(Value(true).proto().kind_case(), v1::Value::kBoolValue);
  EXPECT_EQ(Value(7).proto().int64_value(), 7);
  EXPECT_EQ(Value(uint32_t{4000000000}).proto().int64_value(), 4000000000);
  EXPECT_EQ(Value(7.0).proto().kind_case(), v1::Value::kDoubleValue);
  EXPECT_EQ(Value("text").proto().string_value(), "text");
  EXPECT_EQ(Value(Bytes{"b"}).proto().bytes_value(), "b");
  EXPECT_EQ(Value(absl::FromUnixMicros(-5)).proto().timestamp_micros(), -5);
  EXPECT_EQ(Value(std::vector<Value>{1, 2}).proto().list_value().values_size(), 2);
}

TEST(FilterTest, ConditionsSetTheNamedTest) {
  const Field year("year");
  EXPECT_EQ((year == 1).proto().condition().equals().int64_value(), 1);
  EXPECT_EQ((year != 2).proto().condition().not_equals().int64_value(), 2);
  EXPECT_EQ((year < 3).proto().condition().less_than().int64_value(), 3);
  EXPECT_EQ((year <= 4).proto().condition().less_or_equal().int64_value(), 4);
  EXPECT_EQ((year > 5).proto().condition().greater_than().int64_value(), 5);
  EXPECT_EQ((year >= 6).proto().condition().greater_or_equal().int64_value(), 6);
  EXPECT_EQ(year.In({1, 2}).proto().condition().one_of().values_size(), 2);
  EXPECT_EQ(year.NotIn({1}).proto().condition().not_one_of().values_size(), 1);
  EXPECT_EQ(year.Contains("x").proto().condition().contains().string_value(), "x");
  EXPECT_TRUE(year.Exists().proto().condition().exists());
  EXPECT_EQ(year.Missing().proto().condition().test_case(), v1::Condition::kExists);
  EXPECT_FALSE(year.Missing().proto().condition().exists());
  EXPECT_EQ((year == 1).proto().condition().attribute(), "year");
}

TEST(FilterTest, OperatorsNestAndFlatten) {
  const v1::Filter filter =
      Field("a") == 1 && Field("b") == 2 && (Field("c") == 3 || !(Field("d") == 4));
  ASSERT_EQ(filter.all_of().filters_size(), 3);
  const v1::Filter& either = filter.all_of().filters(2);
  ASSERT_EQ(either.any_of().filters_size(), 2);
  EXPECT_EQ(either.any_of().filters(1).none_of().filters(0).condition().attribute(), "d");
  // A negation of a negation keeps both levels, and an || inside && is not flattened away.
  EXPECT_EQ((!!(Field("a") == 1)).proto().none_of().filters(0).kind_case(), v1::Filter::kNoneOf);
}

TEST(RecordTest, ThresholdsAreApart) {
  Query query;
  query.vector = {1.0};
  EXPECT_FALSE(ToProto(query).has_threshold());
  query.score_threshold = 0.5;
  EXPECT_EQ(ToProto(query).threshold().score(), 0.5);
  query.score_threshold.reset();
  query.distance_raw_max = 9;
  EXPECT_EQ(ToProto(query).threshold().distance_raw_max(), 9);
}

TEST(RequestIdTest, IsRandom128BitHex) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewRequestId();
    EXPECT_EQ(id.size(), 32U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000U);
}

v1::RecordInput Input(const std::string& id, size_t document_bytes = 0) {
  v1::RecordInput record;
  record.set_id(id);
  *record.mutable_vector() = Vector({1.0, 2.0}).proto();
  record.set_document(std::string(document_bytes, 'x'));
  return record;
}

std::vector<size_t> BatchSizes(const std::vector<v1::RecordInput>& records, BatchLimits limits) {
  BatchBuilder builder("notes", limits);
  std::vector<size_t> sizes;
  const auto note = [&](const std::optional<v1::WriteRequest>& batch) {
    if (!batch.has_value()) return;
    sizes.push_back(static_cast<size_t>(batch->operations_size()));
    if (batch->operations_size() > 1) {
      v1::WriteStreamRequest message;
      *message.mutable_write() = *batch;
      message.mutable_write()->set_request_id(std::string(64, 'x'));
      message.mutable_write()->set_known_index(UINT64_MAX);
      EXPECT_LE(message.ByteSizeLong(), limits.bytes_max);
    }
  };
  for (const v1::RecordInput& record : records) note(builder.Add(record));
  note(builder.Flush());
  EXPECT_FALSE(builder.Flush().has_value());
  return sizes;
}

TEST(BatchBuilderTest, CutsByCount) {
  std::vector<v1::RecordInput> records;
  for (int i = 0; i < 7; ++i) records.push_back(Input(absl::StrCat(i)));
  EXPECT_THAT(BatchSizes(records, {3, 1 << 20}), ElementsAre(3U, 3U, 1U));
  EXPECT_THAT(BatchSizes({}, {3, 1 << 20}), ElementsAre());
}

TEST(BatchBuilderTest, CutsByBytesAndLetsALargeRecordThroughAlone) {
  std::vector<v1::RecordInput> records;
  for (int i = 0; i < 20; ++i) records.push_back(Input(absl::StrCat(i), 200));
  records.insert(records.begin() + 4, Input("large", 5000));
  const std::vector<size_t> sizes = BatchSizes(records, {1000, 1000});
  EXPECT_THAT(sizes, ::testing::Contains(1U));
  EXPECT_GT(sizes.size(), 7U);
  EXPECT_LT(sizes.size(), 15U);
}

TEST(BatchBuilderTest, ARepeatedIdBeginsTheNextBatch) {
  EXPECT_THAT(
      BatchSizes({Input("a"), Input("b"), Input("a"), Input("a"), Input("b")}, {100, 1 << 20}),
      ElementsAre(2U, 1U, 2U));
}

TEST(BatchBuilderTest, FitsTheServersLimits) {
  v1::Limits limits;
  EXPECT_EQ(FitTo(limits, {1000, 1 << 20}).records_max, 1000U);
  limits.set_max_operations(10);
  limits.set_max_message_bytes(5000);
  limits.set_max_atomic_bytes(4000);
  EXPECT_EQ(FitTo(limits, {1000, 1 << 20}).records_max, 10U);
  EXPECT_EQ(FitTo(limits, {1000, 1 << 20}).bytes_max, 4000U);
  EXPECT_EQ(FitTo(limits, {5, 100}).records_max, 5U);
}

}  // namespace
}  // namespace stele::client
