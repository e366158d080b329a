// If this failed: a reply would not say what the state says, a wait would not end when it should,
// or a retry would run twice. Everything goes over a real connection to a real engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <random>
#include <thread>

#include "tests/server/service_fixture.h"

namespace stele::server {
namespace {

TEST_F(Service, SearchEqualsBruteForceUnderEveryMetric) {
  for (const v1::Metric metric : {v1::METRIC_L2, v1::METRIC_DOT, v1::METRIC_COSINE}) {
    SCOPED_TRACE(v1::Metric_Name(metric));
    const std::string name = "c" + std::to_string(metric);
    server_.Create(name, 5, metric);
    Fill(name, 200);
    v1::ListRecordsRequest list;
    list.set_collection(name);
    list.mutable_selector()->set_vector(true);
    v1::ListRecordsResponse records;
    ASSERT_TRUE(Call(&Memory::ListRecords, list, &records).ok());
    ASSERT_EQ(records.records_size(), 200);
    const std::vector<v1::Record> all(records.records().begin(), records.records().end());

    v1::SearchRequest request = SearchFor(name, {1, -2, 0.5f, 3, -1}, 20);
    const std::vector<int32_t> query =
        ConvertVector(request.query().vector(), 5, *MetricFromWire(metric), "v").value();
    const std::vector<Expected> expected = BruteForce(all, query, metric);
    request.mutable_selector()->set_attributes(true);
    request.mutable_selector()->set_document(true);
    v1::SearchResponse response;
    ASSERT_TRUE(Call(&Memory::Search, request, &response).ok());
    EXPECT_EQ(response.algorithm(), "exact");
    ASSERT_EQ(response.hits_size(), 20);
    for (int i = 0; i < 20; ++i) {
      const v1::Hit& hit = response.hits(i);
      EXPECT_EQ(hit.distance_raw(), expected[static_cast<size_t>(i)].distance);
      EXPECT_EQ(hit.record().id(), expected[static_cast<size_t>(i)].id);
      EXPECT_EQ(hit.score(), ScoreOf(*MetricFromWire(metric), hit.distance_raw()));
      const int64_t n = hit.record().attributes().at("n").int64_value();
      EXPECT_EQ(hit.record().document(), n % 3 == 0 ? "text of " + hit.record().id() : "");
      EXPECT_TRUE(hit.record().vector_q16().empty());
      EXPECT_GT(hit.record().version(), 0u);
    }

    // A threshold at the score of a hit lets in that hit and all before it, ties included.
    request.mutable_query()->set_k(200);
    request.mutable_query()->mutable_threshold()->set_score(response.hits(7).score());
    v1::SearchResponse bounded;
    ASSERT_TRUE(Call(&Memory::Search, request, &bounded).ok());
    const auto within = std::count_if(expected.begin(), expected.end(), [&](const Expected& hit) {
      return hit.distance <= response.hits(7).distance_raw();
    });
    EXPECT_EQ(bounded.hits_size(), within);
    request.mutable_query()->mutable_threshold()->set_distance_raw_max(
        response.hits(7).distance_raw() - 1);
    ASSERT_TRUE(Call(&Memory::Search, request, &bounded).ok());
    EXPECT_LT(bounded.hits_size(), within);

    // A filter acts before ranking.
    request.mutable_query()->clear_threshold();
    *request.mutable_query()->mutable_filter() = LessThan(3);
    ASSERT_TRUE(Call(&Memory::Search, request, &bounded).ok());
    EXPECT_EQ(bounded.hits_size(), 3);
  }
}

TEST_F(Service, BatchSearchIsManySearchesOnOneState) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 100);
  v1::BatchSearchRequest batch;
  batch.set_collection("c");
  std::vector<v1::SearchRequest> singles;
  for (int i = 0; i < 17; ++i) {
    const auto x = static_cast<float>(i % 5);
    singles.push_back(SearchFor("c", {x, 0, 1, -x, 2}, static_cast<uint32_t>(1 + i)));
    if (i % 2 == 0) *singles.back().mutable_query()->mutable_filter() = LessThan(50);
    *batch.add_queries() = singles.back().query();
  }
  v1::BatchSearchResponse response;
  ASSERT_TRUE(Call(&Memory::BatchSearch, batch, &response).ok());
  ASSERT_EQ(response.results_size(), 17);
  for (int i = 0; i < 17; ++i) {
    v1::SearchResponse single;
    ASSERT_TRUE(Call(&Memory::Search, singles[static_cast<size_t>(i)], &single).ok());
    ASSERT_EQ(response.results(i).hits_size(), single.hits_size());
    for (int h = 0; h < single.hits_size(); ++h) {
      EXPECT_EQ(response.results(i).hits(h).SerializeAsString(),
                single.hits(h).SerializeAsString());
    }
  }
}

TEST_F(Service, GetKeepsTheOrderAskedFor) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 10);
  v1::GetRecordsRequest request;
  request.set_collection("c");
  for (const char* id : {"r005", "nobody", "r001", "r005", "none"}) request.add_ids(id);
  v1::GetRecordsResponse response;
  ASSERT_TRUE(Call(&Memory::GetRecords, request, &response).ok());
  ASSERT_EQ(response.records_size(), 3);
  EXPECT_EQ(response.records(0).id(), "r005");
  EXPECT_EQ(response.records(1).id(), "r001");
  EXPECT_EQ(response.records(2).id(), "r005");
  EXPECT_THAT(response.missing_ids(), ElementsAre("nobody", "none"));
  EXPECT_TRUE(response.records(0).attributes().empty());
  EXPECT_TRUE(response.records(0).document().empty());
}

TEST_F(Service, PagesPinTheStateOfTheFirst) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 30);
  for (const int32_t page_size : {1, 7, 29, 30, 31}) {
    SCOPED_TRACE(page_size);
    v1::ListRecordsRequest request;
    request.set_collection("c");
    request.set_page_size(page_size);
    *request.mutable_filter() = LessThan(25);
    v1::ListRecordsResponse page;
    std::vector<std::string> ids;
    uint64_t pinned = 0;
    int pages = 0;
    do {
      ASSERT_TRUE(Call(&Memory::ListRecords, request, &page).ok());
      if (pages++ == 0) pinned = page.position().log_index();
      EXPECT_EQ(page.position().log_index(), pinned);
      for (const v1::Record& record : page.records()) ids.push_back(record.id());
      request.set_page_token(page.next_page_token());
      // What changes in between is not seen.
      v1::Operation deletion;
      deletion.set_collection("c");
      deletion.mutable_delete_record()->set_id("r020");
      v1::WriteResponse ignored;
      const std::string request_id = std::to_string(page_size) + "/" + std::to_string(pages);
      ASSERT_TRUE(server_.Write(OneWrite(request_id + "d", deletion), &ignored).ok());
      ASSERT_TRUE(
          server_.Write(OneWrite(request_id + "z", Upsert("c", "r0200", {1, 2, 3, 4, 5})), &ignored)
              .ok());
    } while (!page.next_page_token().empty());
    const int records = page_size == 1 ? 25 : 24;
    EXPECT_EQ(ids.size(), static_cast<size_t>(records));
    EXPECT_EQ(pages, (records + page_size - 1) / page_size) << "no empty last page";
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    EXPECT_EQ(std::count(ids.begin(), ids.end(), "r020"), page_size == 1 ? 1 : 0);
  }
}

TEST_F(Service, APageEndsNearFourMebibytes) {
  server_.Create("c", 1, v1::METRIC_L2);
  for (int i = 0; i < 11; ++i) {
    v1::Operation operation = Upsert("c", "r" + std::to_string(10 + i), {1});
    operation.mutable_upsert()->set_document(std::string(1 << 20, 'd'));
    v1::WriteResponse ignored;
    ASSERT_TRUE(server_.Write(OneWrite(std::to_string(i), operation), &ignored).ok());
  }
  v1::ListRecordsRequest request;
  request.set_collection("c");
  request.mutable_selector()->set_document(true);
  v1::ListRecordsResponse page;
  std::vector<int> sizes;
  do {
    page.Clear();
    ASSERT_TRUE(Call(&Memory::ListRecords, request, &page).ok());
    sizes.push_back(page.records_size());
    request.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty());
  EXPECT_THAT(sizes, ElementsAre(4, 4, 3));

  // What cannot be split is refused, not sent.
  v1::GetRecordsRequest get;
  get.set_collection("c");
  get.mutable_selector()->set_document(true);
  for (int i = 0; i < 70; ++i) get.add_ids("r10");
  v1::GetRecordsResponse records;
  const grpc::Status status = Call(&Memory::GetRecords, get, &records);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(status).reason, "RESPONSE_TOO_LARGE");
}

TEST_F(Service, CollectionsAreListedByNameAndPaged) {
  for (const char* name : {"b", "a", "c", "ab"}) server_.Create(name, 2, v1::METRIC_DOT);
  v1::ListCollectionsRequest request;
  request.set_page_size(3);
  v1::ListCollectionsResponse page;
  ASSERT_TRUE(WireServer::Call<Collections>(server_.collections.get(),
                                            &Collections::ListCollections, request, &page)
                  .ok());
  ASSERT_EQ(page.collections_size(), 3);
  EXPECT_EQ(page.collections(0).config().name(), "a");
  EXPECT_EQ(page.collections(1).config().name(), "ab");
  EXPECT_EQ(page.collections(2).config().name(), "b");
  server_.Drop("c");
  request.set_page_token(page.next_page_token());
  page.Clear();
  ASSERT_TRUE(WireServer::Call<Collections>(server_.collections.get(),
                                            &Collections::ListCollections, request, &page)
                  .ok());
  ASSERT_EQ(page.collections_size(), 1);
  EXPECT_EQ(page.collections(0).config().name(), "c");
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(Service, CreateSaysWhatGetSays) {
  v1::CreateCollectionRequest create;
  create.set_request_id("r");
  create.mutable_config()->set_name("c");
  create.mutable_config()->set_dimension(3);
  create.mutable_config()->set_metric(v1::METRIC_COSINE);
  create.mutable_config()->mutable_options()->set_description("d");
  v1::CreateCollectionResponse created, again;
  for (v1::CreateCollectionResponse* response : {&created, &again}) {
    ASSERT_TRUE(WireServer::Call<Collections>(server_.collections.get(),
                                              &Collections::CreateCollection, create, response)
                    .ok());
  }
  EXPECT_EQ(created.SerializeAsString(), again.SerializeAsString());
  v1::GetCollectionRequest get;
  get.set_name("c");
  v1::GetCollectionResponse got;
  ASSERT_TRUE(WireServer::Call<Collections>(server_.collections.get(), &Collections::GetCollection,
                                            get, &got)
                  .ok());
  EXPECT_EQ(got.collection().SerializeAsString(), created.collection().SerializeAsString());
  EXPECT_EQ(got.position().SerializeAsString(), created.position().SerializeAsString());

  v1::WriteResponse ignored;
  ASSERT_TRUE(server_.Write(OneWrite("w", Upsert("c", "a", {1, 2, 3})), &ignored).ok());
  v1::DropCollectionRequest drop;
  drop.set_request_id("drop");
  drop.set_name("c");
  for (int i = 0; i < 2; ++i) {
    v1::DropCollectionResponse dropped;
    ASSERT_TRUE(WireServer::Call<Collections>(server_.collections.get(),
                                              &Collections::DropCollection, drop, &dropped)
                    .ok());
    EXPECT_EQ(dropped.dropped_count(), 1u);
  }
}

TEST_F(Service, CountsAtEveryIndex) {
  server_.Create("c", 1, v1::METRIC_L2);
  v1::CountRecordsRequest request;
  request.set_collection("c");
  v1::WriteResponse written;
  for (int i = 0; i < 5; ++i) {
    v1::Operation operation = Upsert("c", std::to_string(i), {1});
    (*operation.mutable_upsert()->mutable_attributes())["n"].set_int64_value(i);
    ASSERT_TRUE(server_.Write(OneWrite("w" + std::to_string(i), operation), &written).ok());
  }
  for (uint64_t back = 0; back < 5; ++back) {
    request.clear_filter();
    request.set_at_index(written.position().log_index() - back);
    v1::CountRecordsResponse response;
    ASSERT_TRUE(Call(&Memory::CountRecords, request, &response).ok());
    EXPECT_EQ(response.count(), 5 - back);
    EXPECT_EQ(response.position().log_index(), request.at_index());
    *request.mutable_filter() = LessThan(2);
    ASSERT_TRUE(Call(&Memory::CountRecords, request, &response).ok());
    EXPECT_EQ(response.count(), std::min<uint64_t>(2, 5 - back));
  }
}
}  // namespace
}  // namespace stele::server
