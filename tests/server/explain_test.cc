// If this failed: `explain` would change an answer, or tell of a search that was not made.
// Everything goes over a real connection to a real engine.
#include <gtest/gtest.h>

#include <random>

#include "server/tile_unit.h"
#include "tests/server/service_fixture.h"

namespace stele::server {
namespace {

// What holds whatever the scan does. `filtered`: the query has a filter.
void ExpectExplanation(const v1::SearchExplanation& explanation, uint64_t rows, int hits,
                       bool filtered) {
  EXPECT_EQ(explanation.algorithm(), "exact");
  EXPECT_EQ(explanation.kernel(), BestKernels().name);
  EXPECT_GT(explanation.search_threads(), 0u);
  EXPECT_EQ(explanation.rows_visible(), rows);
  EXPECT_EQ(explanation.rows_scanned(), rows);
  EXPECT_LE(explanation.rows_kept_4bit(), rows);
  EXPECT_LE(explanation.rows_kept_8bit(), explanation.rows_kept_4bit());
  EXPECT_GE(explanation.rows_computed(), static_cast<uint64_t>(hits));
  EXPECT_LE(explanation.rows_computed(), rows);
  // A row of dimension 5 that is computed is read whole.
  EXPECT_GE(explanation.bytes_read(), 5 * explanation.rows_computed());
  if (filtered) {
    EXPECT_EQ(explanation.filter_strategy(), v1::FILTER_STRATEGY_SCAN);
    EXPECT_GE(explanation.rows_filter_tested(), explanation.rows_computed());
  } else {
    EXPECT_EQ(explanation.filter_strategy(), v1::FILTER_STRATEGY_NONE);
    EXPECT_EQ(explanation.rows_filter_tested(), 0u);
  }
  EXPECT_EQ(explanation.filter_candidates(), 0u);
}

TEST_F(Service, ExplainTellsHowTheSameHitsWereFound) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 900);
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(WireServer::Call<Admin>(server_.admin.get(), &Admin::GetServerInfo,
                                      v1::GetServerInfoRequest(), &info)
                  .ok());
  for (const bool filtered : {false, true}) {
    SCOPED_TRACE(filtered);
    v1::SearchRequest request = SearchFor("c", {1, -2, 0.5f, 3, -1}, 7);
    if (filtered) *request.mutable_query()->mutable_filter() = LessThan(300);
    v1::SearchResponse plain, explained;
    ASSERT_TRUE(Call(&Memory::Search, request, &plain).ok());
    EXPECT_FALSE(plain.has_explanation());
    request.set_explain(true);
    ASSERT_TRUE(Call(&Memory::Search, request, &explained).ok());
    ASSERT_TRUE(explained.has_explanation());
    ExpectExplanation(explained.explanation(), 900, 7, filtered);
    EXPECT_EQ(explained.explanation().kernel(), info.kernel());
    EXPECT_EQ(explained.explanation().search_threads(), info.search_threads());
    // Nothing but the explanation is added.
    explained.clear_explanation();
    EXPECT_EQ(explained.SerializeAsString(), plain.SerializeAsString());
  }
}

TEST_F(Service, ExplainCountsTheRowsOfTheIndexAskedFor) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 40);
  v1::SearchRequest request = SearchFor("c", {1, 1, 1, 1, 1}, 3);
  request.set_explain(true);
  v1::SearchResponse before, after, past;
  ASSERT_TRUE(Call(&Memory::Search, request, &before).ok());
  v1::WriteRequest write;
  write.set_request_id("delete");
  for (const char* id : {"r000", "r039"}) {
    v1::Operation* operation = write.add_operations();
    operation->set_collection("c");
    operation->mutable_delete_record()->set_id(id);
  }
  v1::WriteResponse written;
  ASSERT_TRUE(server_.Write(write, &written).ok());
  ASSERT_TRUE(Call(&Memory::Search, request, &after).ok());
  request.set_at_index(before.position().log_index());
  ASSERT_TRUE(Call(&Memory::Search, request, &past).ok());
  EXPECT_EQ(before.explanation().rows_visible(), 40u);
  EXPECT_EQ(after.explanation().rows_visible(), 38u);
  EXPECT_EQ(after.explanation().rows_scanned(), 38u);
  EXPECT_EQ(past.explanation().rows_visible(), 40u);
  EXPECT_EQ(past.explanation().rows_scanned(), 40u);
}

TEST_F(Service, BatchSearchExplainsEveryQuery) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 200);
  v1::BatchSearchRequest batch;
  batch.set_collection("c");
  for (int i = 0; i < 9; ++i) {
    const auto x = static_cast<float>(i);
    *batch.add_queries() = SearchFor("c", {x, 0, 1, -x, 2}, static_cast<uint32_t>(1 + i)).query();
    if (i % 2 == 0) *batch.mutable_queries(i)->mutable_filter() = LessThan(50);
  }
  v1::BatchSearchResponse plain, explained;
  ASSERT_TRUE(Call(&Memory::BatchSearch, batch, &plain).ok());
  batch.set_explain(true);
  ASSERT_TRUE(Call(&Memory::BatchSearch, batch, &explained).ok());
  ASSERT_EQ(explained.results_size(), 9);
  for (int i = 0; i < 9; ++i) {
    SCOPED_TRACE(i);
    EXPECT_FALSE(plain.results(i).has_explanation());
    ASSERT_TRUE(explained.results(i).has_explanation());
    ExpectExplanation(explained.results(i).explanation(), 200, explained.results(i).hits_size(),
                      i % 2 == 0);
    explained.mutable_results(i)->clear_explanation();
  }
  EXPECT_EQ(explained.SerializeAsString(), plain.SerializeAsString());
}

TEST_F(Service, ExplainShowsThatReadingsRuleRowsOut) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 4000);
  v1::SearchRequest request = SearchFor("c", {0.25f, -1.5f, 2, 0, 0.75f}, 20);
  request.set_explain(true);
  v1::SearchResponse response;
  ASSERT_TRUE(Call(&Memory::Search, request, &response).ok());
  const v1::SearchExplanation& explanation = response.explanation();
  ExpectExplanation(explanation, 4000, 20, false);
  EXPECT_GT(explanation.rows_kept_4bit(), 0u);
  EXPECT_LT(explanation.rows_kept_4bit(), 2000u);
  EXPECT_LT(explanation.rows_kept_8bit(), explanation.rows_kept_4bit());
  EXPECT_LT(explanation.rows_computed(), 2000u);
}

// A filter that few rows can match is answered from the postings: only these rows are met.
TEST_F(Service, ExplainTellsThatPostingsNarrowedTheSearch) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 900);
  v1::SearchRequest request = SearchFor("c", {1, -2, 0.5f, 3, -1}, 7);
  v1::Condition* condition = request.mutable_query()->mutable_filter()->mutable_condition();
  condition->set_attribute("n");
  for (const int64_t n : {5, 77, 899}) {
    condition->mutable_one_of()->add_values()->set_int64_value(n);
  }
  request.set_explain(true);
  v1::SearchResponse response;
  ASSERT_TRUE(Call(&Memory::Search, request, &response).ok());
  EXPECT_EQ(response.hits_size(), 3);
  EXPECT_EQ(response.explanation().filter_strategy(), v1::FILTER_STRATEGY_POSTINGS);
  EXPECT_EQ(response.explanation().filter_candidates(), 3u);
  EXPECT_EQ(response.explanation().rows_scanned(), 3u);
  EXPECT_EQ(response.explanation().rows_visible(), 900u);
}

}  // namespace
}  // namespace stele::server
