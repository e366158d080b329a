// What breaks if these fail: callers see other errors than the server sent, retries run a write
// twice, or reads miss this client's own writes.
#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/client/fake_server.h"

namespace stele::client {
namespace {

using testing::DetailedError;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;

class ClientTest : public ::testing::Test {
 protected:
  Client Connect(absl::Duration timeout = absl::Seconds(20)) {
    Options options;
    options.address = server_.address();
    options.timeout = timeout;
    return Client::Connect(options).value();
  }

  FakeServer server_;
};

TEST_F(ClientTest, ErrorsCarryReasonMetadataAndFields) {
  server_.failures = {DetailedError(grpc::StatusCode::INVALID_ARGUMENT, "component 3 is NaN",
                                    "VECTOR_NOT_FINITE", {{"component", "3"}}, "query.vector")};
  const auto reply = Connect().Count("notes");
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reply.status().message(), "component 3 is NaN");
  const ErrorDetails details = GetErrorDetails(reply.status());
  EXPECT_EQ(details.reason, "VECTOR_NOT_FINITE");
  EXPECT_EQ(details.domain, "stele.v1");
  EXPECT_EQ(details.metadata.at("component"), "3");
  ASSERT_EQ(details.field_violations.size(), 1U);
  EXPECT_EQ(details.field_violations[0].field, "query.vector");
}

TEST_F(ClientTest, DetailsThatAreGarbageLeaveTheError) {
  server_.failures = {grpc::Status(grpc::StatusCode::DATA_LOSS, "bad block", "\xff\xff garbage")};
  const auto reply = Connect().Count("notes");
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorReason(reply.status()), "");
}

TEST_F(ClientTest, RetriesUnavailableWithTheSameRequestId) {
  Client client = Connect();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.failures = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting"),
                      grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting")};
  const auto reply = client.Delete("notes", {"a"});
  ASSERT_TRUE(reply.ok()) << reply.status();
  const auto writes = server_.seen().writes;
  ASSERT_EQ(writes.size(), 3U);
  EXPECT_EQ(writes[0].request_id().size(), 32U);
  EXPECT_EQ(writes[0].request_id(), writes[1].request_id());
  EXPECT_EQ(writes[0].request_id(), writes[2].request_id());
  EXPECT_EQ(writes[0].known_index(), 1U);
}

// A server that is killed leaves calls that were on their way to it with gRPC's own words.
TEST_F(ClientTest, RetriesWhereGrpcSaysThatTheConnectionIsLost) {
  Client client = Connect();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.failures = {
      grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED"),
      grpc::Status(grpc::StatusCode::UNKNOWN, "Stream removed"),
      grpc::Status(grpc::StatusCode::INTERNAL, "Received RST_STREAM with error code 2"),
      grpc::Status(grpc::StatusCode::CANCELLED, "Received RST_STREAM with error code 8")};
  ASSERT_TRUE(client.Delete("notes", {"a"}).ok());
  const auto writes = server_.seen().writes;
  ASSERT_EQ(writes.size(), 5U);
  EXPECT_EQ(writes[0].request_id(), writes[4].request_id());
  // An answer of the server's, and a call that was cancelled in other words, are not repeated.
  for (const grpc::Status& answer :
       {testing::DetailedError(grpc::StatusCode::CANCELLED, "CANCELLED", "SEARCH_CANCELLED"),
        grpc::Status(grpc::StatusCode::CANCELLED, "by the caller"),
        grpc::Status(grpc::StatusCode::INTERNAL, "something"),
        grpc::Status(grpc::StatusCode::UNKNOWN, "something")}) {
    server_.failures = {answer};
    EXPECT_FALSE(client.Delete("notes", {"a"}).ok()) << answer.error_message();
  }
  EXPECT_EQ(server_.seen().writes.size(), 9U);
}

TEST_F(ClientTest, RetriesWhatTheServerHasNoRoomForNow) {
  Client client = Connect();
  ASSERT_TRUE(client.ServerInfo().ok());
  for (const char* reason : {"OVERLOADED", "WRITES_EXHAUSTED"}) {
    server_.failures.push_back(
        testing::DetailedError(grpc::StatusCode::RESOURCE_EXHAUSTED, "later", reason));
  }
  ASSERT_TRUE(client.Delete("notes", {"a"}).ok());
  const auto writes = server_.seen().writes;
  ASSERT_EQ(writes.size(), 3U);
  EXPECT_EQ(writes[0].request_id(), writes[2].request_id());
  // What is too large is too large the next time as well; gRPC gives no reason.
  for (const char* reason : {"RESPONSE_TOO_LARGE", "TOO_MANY_COLLECTIONS", ""}) {
    server_.failures = {
        testing::DetailedError(grpc::StatusCode::RESOURCE_EXHAUSTED, "too large", reason)};
    EXPECT_EQ(client.Delete("notes", {"a"}).status().code(), absl::StatusCode::kResourceExhausted)
        << reason;
  }
  EXPECT_EQ(server_.seen().writes.size(), 6U);
}

// A server that answers no attempt in its time: each is made anew until the call's time is over.
TEST_F(ClientTest, AnAttemptThatTakesTooLongIsMadeAnew) {
  int retries = 0;
  Options options;
  options.address = server_.address();
  options.timeout = absl::Seconds(60);
  options.attempt_timeout = absl::Milliseconds(300);
  options.on_retry = [&](const absl::Status& error, absl::Duration) {
    EXPECT_EQ(error.code(), absl::StatusCode::kDeadlineExceeded);
    if (++retries == 2) server_.Hang(false);
  };
  Client client = Client::Connect(options).value();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.Hang(true);
  const auto reply = client.Delete("notes", {"a", "b", "c"});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_GE(retries, 2);
  const auto writes = server_.seen().writes;
  ASSERT_GE(writes.size(), 3U);
  EXPECT_EQ(writes.front().request_id(), writes.back().request_id());
  EXPECT_EQ(writes.back().operations_size(), 3) << "one entry, whatever the number of ids";
}

// Without a limit for the attempt the one attempt has all the time.
TEST_F(ClientTest, WithoutALimitThereIsOneAttempt) {
  Client client = Connect(absl::Milliseconds(700));
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.Hang(true);
  EXPECT_EQ(client.Delete("notes", {"a"}).status().code(), absl::StatusCode::kDeadlineExceeded);
  server_.Hang(false);
  EXPECT_EQ(server_.seen().writes.size(), 1U);
}

TEST_F(ClientTest, OtherErrorsAreNotRetriedAndNameTheRequest) {
  Client client = Connect();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.failures = {grpc::Status(grpc::StatusCode::ABORTED, "version is 5")};
  WriteOptions options;
  options.request_id = "mine";
  const auto reply = client.Delete("notes", {"a"}, options);
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetErrorDetails(reply.status()).request_id, "mine");
  EXPECT_EQ(server_.seen().writes.size(), 1U);
}

TEST_F(ClientTest, GivesUpAtTheDeadline) {
  std::vector<absl::Duration> waits;
  Options options;
  options.address = server_.address();
  options.timeout = absl::Milliseconds(400);
  options.on_retry = [&waits](const absl::Status&, absl::Duration wait) { waits.push_back(wait); };
  Client client = Client::Connect(options).value();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.Stop();
  const auto reply = client.Count("notes");
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr(server_.address()));
  // As many waits as fit: 50, 100 and 200 ms with up to a quarter off, and not the one of 400.
  EXPECT_GE(waits.size(), 1U);
  EXPECT_LE(waits.size(), 3U);
  EXPECT_LE(std::accumulate(waits.begin(), waits.end(), absl::ZeroDuration()),
            absl::Milliseconds(400));
}

TEST_F(ClientTest, ReachesAServerThatComesBack) {
  Client client = Connect();
  ASSERT_TRUE(client.ServerInfo().ok());
  server_.Stop();
  server_.Start();
  EXPECT_TRUE(client.Count("notes").ok());
}

TEST_F(ClientTest, TellsOfRetries) {
  int calls = 0;
  Options options;
  options.address = server_.address();
  options.on_retry = [&calls](const absl::Status&, absl::Duration) { ++calls; };
  server_.failures = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "")};
  ASSERT_TRUE(Client::Connect(options)->Count("notes").ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(ClientTest, KnowsAnIndexBeforeItsFirstWrite) {
  Client client = Connect();
  ASSERT_TRUE(client.Delete("notes", {"a"}).ok());
  EXPECT_EQ(server_.seen().writes[0].known_index(), 1U);
}

TEST_F(ClientTest, ReadsItsOwnWrites) {
  Client client = Connect();
  ASSERT_TRUE(client.Count("notes").ok());
  const auto written = client.Delete("notes", {"a"});
  ASSERT_TRUE(written.ok());
  ASSERT_TRUE(client.Count("notes").ok());
  ReadOptions at;
  at.at_index = 1;
  ASSERT_TRUE(client.Count("notes", std::nullopt, at).ok());
  ReadOptions later;
  later.min_index = 100;
  ASSERT_TRUE(client.Count("notes", std::nullopt, later).ok());
  EXPECT_THAT(server_.seen().min_indexes,
              ElementsAre(0U, written->position().log_index(), 0U, 100U));
}

TEST_F(ClientTest, SendsTheKeyWithEveryCall) {
  Options options;
  options.address = server_.address();
  options.api_key = "secret";
  Client client = Client::Connect(options).value();
  std::vector<Record> records(3);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].id = std::string(1, static_cast<char>('a' + i));
    records[i].vector = {0.5, 1.0};
  }
  UpsertOptions upsert;
  upsert.batch.records_max = 1;
  ASSERT_TRUE(client.Upsert("notes", records, upsert).ok());
  EXPECT_EQ(server_.seen().authorizations.size(), 2U);  // server info and the stream
  EXPECT_THAT(server_.seen().authorizations, Each("Bearer secret"));
}

TEST_F(ClientTest, RefusesOptionsThatCannotWork) {
  Options options;
  options.api_key = "two\nlines";
  EXPECT_FALSE(Client::Connect(options).ok());
  options = Options();
  options.tls.ca_file = "/nonexistent.pem";
  EXPECT_THAT(std::string(Client::Connect(options).status().message()),
              HasSubstr("/nonexistent.pem"));
  options = Options();
  options.tls.cert_file = "/dev/null";
  EXPECT_FALSE(Client::Connect(options).ok());
  options = Options();
  options.address = "";
  EXPECT_FALSE(Client::Connect(options).ok());
}

TEST_F(ClientTest, UpsertOfOneBatchIsOneWrite) {
  const auto result = Connect().Upsert(
      "notes", {{.id = "a", .vector = {0.5, -1.0}}, {.id = "b", .vector = {1.0, 2.0}}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->inserted_count, 2U);
  EXPECT_EQ(result->entry_count, 1U);
  EXPECT_EQ(server_.seen().stream_count, 0U);
  EXPECT_EQ(DecodeDoubles(server_.records("notes")["a"].vector_q16()).value(),
            (std::vector<double>{0.5, -1.0}));
}

std::vector<Record> ManyRecords(size_t count) {
  std::vector<Record> records(count);
  for (size_t i = 0; i < count; ++i) {
    records[i].id = absl::StrCat("r", i);
    records[i].vector = {static_cast<double>(i), 1.0};
    records[i].attributes = {{"i", static_cast<int>(i)}};
  }
  return records;
}

TEST_F(ClientTest, UpsertOfManyBatchesCountsThemAll) {
  server_.limits.set_max_operations(7);
  const std::vector<Record> records = ManyRecords(100);
  const auto result = Connect().Upsert("notes", records);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->inserted_count, 100U);
  EXPECT_EQ(result->entry_count, 15U);
  EXPECT_EQ(result->position.log_index(), server_.log_index());
  EXPECT_EQ(server_.records("notes").size(), 100U);
}

TEST_F(ClientTest, InsertsAreInserts) {
  const std::vector<Record> records = ManyRecords(3);
  ASSERT_TRUE(Connect().Insert("notes", records).ok());
  const std::vector<v1::WriteRequest> writes = server_.seen().writes;
  ASSERT_EQ(writes.size(), 1U);
  for (const v1::Operation& operation : writes[0].operations()) {
    EXPECT_TRUE(operation.has_insert());
  }
}

TEST_F(ClientTest, UpsertSaysHowManyRecordsWereWrittenBeforeARejection) {
  server_.limits.set_max_operations(10);
  server_.reject = [](const v1::WriteRequest& request) {
    return request.operations(0).upsert().id() == "r20"
               ? DetailedError(grpc::StatusCode::FAILED_PRECONDITION, "no", "QUOTA")
               : grpc::Status::OK;
  };
  const std::vector<Record> records = ManyRecords(100);
  UpsertOptions options;
  options.window = 1;
  const auto result = Connect().Upsert("notes", records, options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ErrorReason(result.status()), "QUOTA");
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("of 100 records are written"));
  EXPECT_LE(server_.records("notes").size(), 40U);
}

TEST_F(ClientTest, ListGoesThroughAllPages) {
  server_.page_size_max = 3;
  Client client = Connect();
  const std::vector<Record> records = ManyRecords(8);
  ASSERT_TRUE(client.Upsert("notes", records).ok());
  std::vector<std::string> ids;
  RecordIterator iterator = client.List("notes");
  for (;;) {
    const auto record = iterator.Next();
    ASSERT_TRUE(record.ok());
    if (!record->has_value()) break;
    ids.push_back((*record)->id());
  }
  EXPECT_THAT(ids, ElementsAre("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"));
  EXPECT_FALSE(iterator.Next()->has_value());
}

TEST_F(ClientTest, ListEndsWithAnError) {
  RecordIterator iterator = Connect().List("notes");
  server_.failures = {grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "history ends")};
  EXPECT_EQ(iterator.Next().status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(iterator.Next()->has_value());
}

TEST_F(ClientTest, CollectionsAreListedOverAllPages) {
  Client client = Connect();
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(client.CreateCollection(name, 4, v1::METRIC_DOT).ok());
  }
  const auto collections = client.ListCollections();
  ASSERT_TRUE(collections.ok());
  EXPECT_EQ(collections->size(), 3U);
  EXPECT_EQ(client.DropCollection("zzz").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientTest, OutcomeOfALostReply) {
  Client client = Connect();
  WriteOptions options;
  options.request_id = "known";
  ASSERT_TRUE(client.Delete("notes", {"a"}, options).ok());
  EXPECT_EQ(client.GetOutcome("known")->state(), v1::GetOutcomeResponse::STATE_EXECUTED);
  EXPECT_EQ(client.GetOutcome("other")->state(), v1::GetOutcomeResponse::STATE_NOT_SEEN);
}

}  // namespace
}  // namespace stele::client
