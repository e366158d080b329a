// If this failed, a golden retrieval test could pass where something differs, or show the wrong
// place.
#include "client/cli/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace stele::client::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Golden Example() {
  Golden golden;
  golden.state = {"stele/00", 7, 5, std::string(64, 'a'), std::string(64, 'b')};
  GoldenQuery query;
  query.name = "a \"quoted\" \xc3\xa9 name";
  query.collection = "notes";
  query.query.mutable_vector()->set_q16(std::string("\x01\0\0\0\xff\xff\xff\xff", 8));
  query.query.set_k(3);
  query.query.mutable_threshold()->set_distance_raw_max(INT64_MIN);
  query.query.mutable_filter()->mutable_condition()->set_attribute("n");
  query.query.mutable_filter()->mutable_condition()->set_exists(true);
  query.filter = {{"attribute", "n"}, {"exists", true}};
  query.hits = {{"x\ny", INT64_MIN}, {"b", -1}, {"c", INT64_MAX}};
  golden.queries.push_back(query);
  query.name = "second";
  query.filter = nullptr;
  query.query.clear_filter();
  query.query.clear_threshold();
  query.hits.clear();
  golden.queries.push_back(query);
  return golden;
}

TEST(Golden, ReadsWhatItWrites) {
  Golden golden = Example();
  for (const std::string& hash : {golden.state.snapshot_hash, std::string()}) {
    golden.state.snapshot_hash = hash;
    const std::string text = GoldenToText(golden);
    const auto read = GoldenFromJson(text, "golden.json");
    ASSERT_TRUE(read.ok()) << read.status() << text;
    EXPECT_EQ(GoldenToText(*read), text);
    ASSERT_EQ(read->queries.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(read->queries[i].query.SerializeAsString(),
                golden.queries[i].query.SerializeAsString());
      EXPECT_EQ(read->queries[i].hits, golden.queries[i].hits);
      EXPECT_EQ(read->queries[i].name, golden.queries[i].name);
    }
    EXPECT_EQ(read->state.snapshot_hash, hash);
  }
}

TEST(Golden, WhatIsNotOneIsRefusedWithItsPlace) {
  const auto refused = [](const std::function<void(Json*)>& spoil, const std::string& why) {
    Json json = Json::parse(GoldenToText(Example()));
    spoil(&json);
    const auto read = GoldenFromJson(json.dump(), "golden.json");
    ASSERT_FALSE(read.ok()) << why;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(why));
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("golden.json"));
  };
  refused([](Json* j) { (*j)["format"] = "stele/golden@v2"; }, "format");
  refused([](Json* j) { j->erase("state_root"); }, "state_root is missing");
  refused([](Json* j) { (*j)["state_root"] = "AA"; }, "state_root");
  refused([](Json* j) { (*j)["log_index"] = -1; }, "log_index");
  refused([](Json* j) { (*j)["more"] = 1; }, "unknown member more");
  refused([](Json* j) { (*j)["queries"] = Json::array(); }, "queries");
  refused([](Json* j) { (*j)["queries"][1]["name"] = (*j)["queries"][0]["name"]; }, "twice");
  refused([](Json* j) { (*j)["queries"][0]["k"] = 10001; }, "queries[0]: k");
  refused([](Json* j) { (*j)["queries"][0]["vector_q16"] = {1.5}; }, "queries[0].vector_q16");
  refused([](Json* j) { (*j)["queries"][0]["filter"] = {{"x", 1}}; }, "queries[0].filter");
  refused([](Json* j) { (*j)["queries"][0]["hits"][2]["distance_raw"] = 1.5; }, "hits[2]");
  refused([](Json* j) { (*j)["queries"][0]["hits"][1].erase("id"); }, "hits[1]");
  refused([](Json* j) { (*j)["queries"][0]["hits"][1]["score"] = 1; }, "hits[1]");
  for (const char* text : {"", "[]", "{}", "null", "{\"format\": 1}", "\"x\""}) {
    EXPECT_FALSE(GoldenFromJson(text, "golden.json").ok()) << text;
  }
}

TEST(Golden, ShowsRankByRankWhatDiffers) {
  const std::vector<GoldenHit> expected = {{"a", 1}, {"b", 2}, {"c", 3}, {"x", 9}};
  EXPECT_TRUE(Compare(expected, expected).ranks.empty());
  const std::vector<GoldenHit> got = {{"a", 1}, {"c", 2}, {"b", 3}, {"d", 9}, {"e", 10}};
  const GoldenDifference difference = Compare(expected, got);
  ASSERT_EQ(difference.ranks.size(), 4u);
  EXPECT_EQ(difference.ranks[0].rank, 2u);
  EXPECT_EQ(difference.ranks[0].expected, (GoldenHit{"b", 2}));
  EXPECT_EQ(difference.ranks[0].got, (GoldenHit{"c", 2}));
  EXPECT_EQ(difference.ranks[3].rank, 5u);
  EXPECT_FALSE(difference.ranks[3].expected.has_value());
  EXPECT_EQ(difference.missing, (std::vector<GoldenHit>{{"x", 9}}));
  EXPECT_EQ(difference.unexpected, (std::vector<GoldenHit>{{"d", 9}, {"e", 10}}));
  const std::string text = DifferenceToText(difference, 2);
  EXPECT_THAT(text, HasSubstr("b at 2"));
  EXPECT_THAT(text, HasSubstr("and 2 ranks more"));
  EXPECT_THAT(text, HasSubstr("missing: x"));
  EXPECT_THAT(text, HasSubstr("new: d, e"));
  // The same record at another distance is neither missing nor new.
  const GoldenDifference moved = Compare({{"a", 1}}, {{"a", 2}});
  EXPECT_EQ(moved.ranks.size(), 1u);
  EXPECT_TRUE(moved.missing.empty() && moved.unexpected.empty());
  EXPECT_EQ(Compare({}, {{"a", 1}}).ranks.size(), 1u);
  EXPECT_EQ(Compare({{"a", 1}}, {}).missing.size(), 1u);
  const Json json = DifferenceToJson(difference);
  EXPECT_EQ(json["ranks"][3]["expected"], nullptr);
  EXPECT_EQ(json["missing"][0], "x");
}

}  // namespace
}  // namespace stele::client::cli
