// If this fails, a bad question about records' past, or a bad revert, is answered, crashes, or
// changes something.
#include <gtest/gtest.h>

#include "tests/server/bad_input_calls.h"

namespace stele::server {
namespace {

std::function<grpc::Status(WireServer*)> GetHistory(
    const std::function<void(v1::GetHistoryRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::GetHistoryRequest request;
    request.set_collection("c");
    request.set_id("a");
    spoil(&request);
    return CallMemory(server, &Memory::GetHistory, request);
  };
}

// The second page, asked for with other arguments than the first.
std::function<grpc::Status(WireServer*)> NextHistory(
    const std::function<void(v1::GetHistoryRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::GetHistoryRequest request;
    request.set_collection("c");
    request.set_id("a");
    request.set_page_size(1);
    v1::GetHistoryResponse first;
    EXPECT_TRUE(
        WireServer::Call<Memory>(server->memory.get(), &Memory::GetHistory, request, &first).ok());
    EXPECT_FALSE(first.next_page_token().empty());
    request.set_page_token(first.next_page_token());
    spoil(&request);
    return CallMemory(server, &Memory::GetHistory, request);
  };
}

std::function<grpc::Status(WireServer*)> RevertWith(
    const std::function<void(v1::RevertRecordRequest*)>& spoil) {
  return [spoil](WireServer* server) {
    v1::RevertRecordRequest request;
    request.set_request_id("bad revert");
    request.set_collection("c");
    request.set_id("a");
    request.set_to_index(2);
    spoil(&request);
    return CallMemory(server, &Memory::RevertRecord, request);
  };
}

std::vector<Case> BadHistoryCases() {
  constexpr StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  constexpr StatusCode kRange = StatusCode::OUT_OF_RANGE;
  const auto both = [](auto* r) {
    r->set_collection("c");
    r->set_at_index(3);
    r->set_at_time_micros(5);
  };
  return {
      {"search at both", Search(both), kBad, "AT_INDEX_WITH_TIME", "at_time_micros"},
      {"batch at both", Batch([both](auto* r) {
         both(r);
         *r->add_queries() = Query(1);
       }),
       kBad, "AT_INDEX_WITH_TIME", "at_time_micros"},
      {"get at both", Get(both), kBad, "AT_INDEX_WITH_TIME", "at_time_micros"},
      {"list at both", List(both), kBad, "AT_INDEX_WITH_TIME", "at_time_micros"},
      {"count at both", Count(both), kBad, "AT_INDEX_WITH_TIME", "at_time_micros"},
      {"search before all", Search([](auto* r) { r->set_at_time_micros(INT64_MIN); }), kRange,
       "AT_TIME_OUT_OF_RANGE", ""},
      {"history, no collection", GetHistory([](auto* r) { r->clear_collection(); }), kBad,
       "COLLECTION_NAME", "collection"},
      {"history, no id", GetHistory([](auto* r) { r->clear_id(); }), kBad, "ID_EMPTY", "id"},
      {"history, long id", GetHistory([](auto* r) { r->set_id(std::string(257, 'x')); }), kBad,
       "ID_TOO_LONG", "id"},
      {"history, negative page", GetHistory([](auto* r) { r->set_page_size(-1); }), kBad,
       "PAGE_SIZE_NEGATIVE", "page_size"},
      {"history beyond the log", GetHistory([](auto* r) { r->set_to_index(9999); }), kRange,
       "ENTRY_OUT_OF_RANGE", ""},
      {"history, no token", GetHistory([](auto* r) { r->set_page_token("AAAA"); }), kBad,
       "PAGE_TOKEN_INVALID", "page_token"},
      {"history, other id", NextHistory([](auto* r) { r->set_id("b"); }), kBad,
       "PAGE_TOKEN_MISMATCH", "page_token"},
      {"history, other selector",
       NextHistory([](auto* r) { r->mutable_selector()->set_vector(true); }), kBad,
       "PAGE_TOKEN_MISMATCH", "page_token"},
      {"revert without a request id", RevertWith([](auto* r) { r->clear_request_id(); }), kBad,
       "REQUEST_ID_MISSING", "request_id"},
      {"revert, long request id",
       RevertWith([](auto* r) { r->set_request_id(std::string(65, 'x')); }), kBad,
       "REQUEST_ID_TOO_LONG", "request_id"},
      {"revert, no collection", RevertWith([](auto* r) { r->clear_collection(); }), kBad,
       "COLLECTION_NAME", "collection"},
      {"revert, no id", RevertWith([](auto* r) { r->clear_id(); }), kBad, "ID_EMPTY", "id"},
      {"revert to the future", RevertWith([](auto* r) { r->set_to_index(9999); }), kRange,
       "ENTRY_OUT_OF_RANGE", ""},
      {"revert nowhere", RevertWith([](auto* r) { r->set_collection("nowhere"); }),
       StatusCode::NOT_FOUND, "COLLECTION_NOT_FOUND", ""},
      {"revert of another request", RevertWith([](auto* r) { r->set_request_id("w0"); }), kBad,
       "REQUEST_ID_REUSED", ""},
  };
}

TEST(BadHistoryInput, IsRefusedAndNothingIsLost) {
  WireServer server;
  server.Create("c", 2, v1::METRIC_L2);
  for (int i = 0; i < 4; ++i) {
    v1::WriteResponse response;
    ASSERT_TRUE(
        server
            .Write(OneWrite("w" + std::to_string(i), Upsert("c", "a", {1, static_cast<float>(i)})),
                   &response)
            .ok());
  }
  const std::string before = server.Fingerprint();
  for (const Case& bad : BadHistoryCases()) {
    SCOPED_TRACE(bad.name);
    const grpc::Status status = bad.call(&server);
    EXPECT_EQ(status.error_code(), bad.code) << status.error_message();
    const Details details = DetailsOf(status);
    EXPECT_EQ(details.reason, bad.reason);
    EXPECT_EQ(details.field, bad.field);
  }
  EXPECT_EQ(server.Fingerprint(), before);
}

}  // namespace
}  // namespace stele::server
