// A server with a few collections, and the naive answers, for memory_service_test.cc and
// waits_test.cc.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "index/arithmetic.h"
#include "index/quantize.h"
#include "server/limits.h"
#include "server/requests.h"
#include "tests/server/wire_server.h"

namespace stele::server {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using Memory = v1::MemoryService::StubInterface;
using Collections = v1::CollectionService::StubInterface;
using Admin = v1::AdminService::StubInterface;

class Service : public ::testing::Test {
 protected:
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (Memory::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response,
                    milliseconds timeout = std::chrono::seconds(60)) {
    return WireServer::Call<Memory>(server_.memory.get(), method, request, response, timeout);
  }

  // Records "r000" .. with small random vectors, an attribute n, a document for every third.
  void Fill(const std::string& collection, int count) {
    v1::WriteRequest request;
    request.set_request_id("fill " + collection);
    for (int i = 0; i < count; ++i) {
      std::vector<float> values;
      for (int d = 0; d < 5; ++d) values.push_back(static_cast<float>(random_() % 9) - 4.5f);
      char id[16];
      std::snprintf(id, sizeof(id), "r%03d", i);
      v1::Operation* operation = request.add_operations();
      *operation = Upsert(collection, id, values);
      (*operation->mutable_upsert()->mutable_attributes())["n"].set_int64_value(i);
      if (i % 3 == 0) operation->mutable_upsert()->set_document("text of " + std::string(id));
    }
    v1::WriteResponse response;
    const grpc::Status status = server_.Write(request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.inserted_count(), static_cast<uint64_t>(count));
  }

  std::mt19937_64 random_{11};
  WireServer server_;
};

inline v1::SearchRequest SearchFor(const std::string& collection, const std::vector<float>& values,
                                   uint32_t k) {
  v1::SearchRequest request;
  request.set_collection(collection);
  request.mutable_query()->set_k(k);
  *request.mutable_query()->mutable_vector() = Upsert("", "", values).upsert().vector();
  return request;
}

inline v1::Filter LessThan(int64_t n) {
  v1::Filter filter;
  filter.mutable_condition()->set_attribute("n");
  filter.mutable_condition()->mutable_less_than()->set_int64_value(n);
  return filter;
}

struct Expected {
  int64_t distance = 0;
  std::string id;
  bool operator<(const Expected& other) const {
    return std::tie(distance, id) < std::tie(other.distance, other.id);
  }
};

inline std::vector<int32_t> Raw(const std::string& bytes) {
  index::Decoder decoder(bytes);
  return decoder.Components(static_cast<uint32_t>(bytes.size() / 4));
}

// Brute force over what GetRecords and ListRecords say.
inline std::vector<Expected> BruteForce(const std::vector<v1::Record>& records,
                                        const std::vector<int32_t>& query, v1::Metric metric) {
  std::vector<Expected> all;
  for (const v1::Record& record : records) {
    const std::vector<int32_t> vector = Raw(record.vector_q16());
    int64_t distance = 0;
    for (size_t i = 0; i < query.size(); ++i) {
      const int64_t a = vector[i], b = query[i];
      distance += metric == v1::METRIC_DOT ? -a * b : (a - b) * (a - b);
    }
    all.push_back({distance, record.id()});
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace stele::server
