// If this fails, a Search that was answered together with others differs from the same Search
// alone.
#include <thread>

#include "tests/server/service_fixture.h"

namespace stele::server {
namespace {

WireServer::Options JoiningAnything() {
  WireServer::Options options;
  options.joining.code_bytes_min = 0;
  return options;
}

// With a filter, a threshold, an explanation, or nothing of it; all kinds at the same time.
v1::SearchRequest RequestOf(int kind, std::mt19937* random) {
  std::vector<float> values;
  for (int d = 0; d < 5; ++d) values.push_back(static_cast<float>((*random)() % 9) - 4.5f);
  v1::SearchRequest request = SearchFor("c", values, 6);
  if (kind % 4 == 1) *request.mutable_query()->mutable_filter() = LessThan(50);
  if (kind % 4 == 2)
    request.mutable_query()->mutable_threshold()->set_distance_raw_max(int64_t{1} << 38);
  request.set_explain(kind % 4 == 3);
  return request;
}

// Forgets what depends on the way a search was made.
std::string AnswerOf(v1::SearchResponse response) {
  if (response.has_explanation()) {
    response.mutable_explanation()->clear_bytes_read();
    response.mutable_explanation()->clear_rows_kept_4bit();
    response.mutable_explanation()->clear_rows_kept_8bit();
    response.mutable_explanation()->clear_rows_computed();
  }
  return response.SerializeAsString();
}

TEST(JoinedService, JoinedSearchesEqualTheSameAlone) {
  WireServer server(JoiningAnything());
  server.Create("c", 5, v1::METRIC_L2);
  std::atomic<int> written{0};
  const auto write = [&] {
    const int number = written++;
    v1::WriteRequest request;
    request.set_request_id("w" + std::to_string(number));
    *request.add_operations() =
        Upsert("c", "r" + std::to_string(number % 300),
               {static_cast<float>(number % 7), static_cast<float>(number % 5), 1, -1, 0});
    (*request.mutable_operations(0)->mutable_upsert()->mutable_attributes())["n"].set_int64_value(
        number % 100);
    v1::WriteResponse response;
    EXPECT_TRUE(server.Write(request, &response).ok());
  };
  while (written < 200) write();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop.load()) write();
  });
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937 random(static_cast<uint32_t>(client));
      // Until some were joined.
      for (int i = 0; i < 30 || (server.engine().stats().searches_joined == 0 && i < 3000); ++i) {
        v1::SearchRequest request = RequestOf(client + i, &random);
        v1::SearchResponse joined;
        v1::SearchResponse alone;
        ASSERT_TRUE(
            WireServer::Call<Memory>(server.memory.get(), &Memory::Search, request, &joined).ok());
        // A search of a past state joins nobody.
        request.set_at_index(joined.position().log_index());
        ASSERT_TRUE(
            WireServer::Call<Memory>(server.memory.get(), &Memory::Search, request, &alone).ok());
        EXPECT_EQ(AnswerOf(joined), AnswerOf(alone));
        EXPECT_TRUE(joined.hits_size() > 0 || request.query().has_threshold());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  stop.store(true);
  writer.join();
  EXPECT_GT(server.engine().stats().searches_joined, 0u);
}

}  // namespace
}  // namespace stele::server
