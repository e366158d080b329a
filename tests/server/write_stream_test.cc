// If this failed: a stream could acknowledge what is not durable or out of order, run what a
// failure should have stopped, end where it should go on, or take in more than it can hold.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "tests/server/wire_server.h"

namespace stele::server {
namespace {

class Client {
 public:
  explicit Client(WireServer* server) : stream_(server->memory->WriteStream(&context_)) {}

  bool Send(const v1::WriteRequest& request) {
    v1::WriteStreamRequest message;
    *message.mutable_write() = request;
    return stream_->Write(message);
  }
  bool Receive(v1::WriteStreamResponse* response) { return stream_->Read(response); }
  void HalfClose() { stream_->WritesDone(); }
  grpc::Status Finish() { return stream_->Finish(); }
  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriterInterface<v1::WriteStreamRequest, v1::WriteStreamResponse>>
      stream_;
};

v1::WriteRequest Insert(const std::string& request_id, const std::string& id) {
  v1::WriteRequest request = OneWrite(request_id, Upsert("l2", id, {1, 2}));
  const v1::RecordInput input = request.operations(0).upsert();
  *request.mutable_operations(0)->mutable_insert() = input;
  return request;
}

class WriteStream : public ::testing::Test {
 protected:
  WriteStream() { server_.Create("l2", 2, v1::METRIC_L2); }

  uint64_t RecordCount() {
    v1::CountRecordsRequest request;
    request.set_collection("l2");
    v1::CountRecordsResponse response;
    const grpc::Status status = WireServer::Call<v1::MemoryService::StubInterface>(
        server_.memory.get(), &v1::MemoryService::StubInterface::CountRecords, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.count();
  }

  WireServer server_;
};

TEST_F(WriteStream, AcknowledgesInOrderWhileMoreIsSent) {
  constexpr int kEntries = 500;
  Client client(&server_);
  std::thread sender([&] {
    for (int i = 0; i < kEntries; ++i) {
      // Every record three times: the last one must win.
      const auto value = static_cast<float>(i);
      ASSERT_TRUE(client.Send(
          OneWrite("r" + std::to_string(i), Upsert("l2", std::to_string(i % 167), {value, 0}))));
    }
    client.HalfClose();
  });
  uint64_t last_index = 0;
  for (int i = 0; i < kEntries; ++i) {
    v1::WriteStreamResponse response;
    ASSERT_TRUE(client.Receive(&response));
    EXPECT_EQ(response.request_id(), "r" + std::to_string(i));
    ASSERT_TRUE(response.has_ok()) << response.ShortDebugString();
    EXPECT_GT(response.ok().position().log_index(), last_index);
    last_index = response.ok().position().log_index();
    // Durable and visible.
    EXPECT_GE(server_.engine().published_index(), last_index);
    EXPECT_EQ(response.ok().position().state_root().size(), 32u);
  }
  sender.join();
  v1::WriteStreamResponse nothing;
  EXPECT_FALSE(client.Receive(&nothing));
  EXPECT_TRUE(client.Finish().ok());
  EXPECT_EQ(RecordCount(), 167u);

  v1::GetRecordsRequest get;
  get.set_collection("l2");
  get.mutable_selector()->set_vector(true);
  for (int i = 0; i < 167; ++i) get.add_ids(std::to_string(i));
  v1::GetRecordsResponse records;
  ASSERT_TRUE(
      WireServer::Call<v1::MemoryService::StubInterface>(
          server_.memory.get(), &v1::MemoryService::StubInterface::GetRecords, get, &records)
          .ok());
  for (int i = 0; i < 167; ++i) {
    const int newest = i + 167 * ((kEntries - 1 - i) / 167);
    index::Decoder decoder(records.records(i).vector_q16());
    EXPECT_EQ(decoder.U32(), static_cast<uint32_t>(newest) << 16) << i;
  }
}

TEST_F(WriteStream, LoggedRejectionsAndRetriesGoOn) {
  Client client(&server_);
  const v1::WriteRequest requests[] = {Insert("1", "a"), Insert("2", "a"), Insert("3", "b"),
                                       Insert("1", "a")};
  for (const v1::WriteRequest& request : requests) ASSERT_TRUE(client.Send(request));
  client.HalfClose();
  v1::WriteStreamResponse response[4];
  for (v1::WriteStreamResponse& one : response) ASSERT_TRUE(client.Receive(&one));
  EXPECT_TRUE(client.Finish().ok());
  EXPECT_EQ(response[0].ok().inserted_count(), 1u);
  EXPECT_FALSE(response[0].ok().duplicate());
  const Details rejected = DetailsOf(response[1].error());
  EXPECT_EQ(rejected.reason, "RECORD_EXISTS");
  EXPECT_EQ(rejected.code, static_cast<int>(grpc::StatusCode::ALREADY_EXISTS));
  EXPECT_EQ(rejected.metadata.at("logged"), "true");
  EXPECT_EQ(response[2].ok().inserted_count(), 1u);
  EXPECT_TRUE(response[3].ok().duplicate());
  EXPECT_EQ(response[3].ok().position().log_index(), response[0].ok().position().log_index());
  EXPECT_EQ(RecordCount(), 2u);
}

TEST_F(WriteStream, AFailureThatIsNotLoggedIsTheLastMessageAndEndsIt) {
  Client client(&server_);
  ASSERT_TRUE(client.Send(Insert("1", "a")));
  v1::WriteRequest bad = Insert("2", "b");
  bad.mutable_operations(0)->mutable_insert()->clear_vector();
  ASSERT_TRUE(client.Send(bad));
  for (int i = 0; i < 20; ++i) {
    if (!client.Send(Insert("after" + std::to_string(i), "c"))) break;
  }
  v1::WriteStreamResponse response;
  ASSERT_TRUE(client.Receive(&response));
  EXPECT_TRUE(response.has_ok());
  ASSERT_TRUE(client.Receive(&response));
  EXPECT_EQ(response.request_id(), "2");
  EXPECT_EQ(DetailsOf(response.error()).reason, "VECTOR_MISSING");
  EXPECT_FALSE(client.Receive(&response));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).reason, "VECTOR_MISSING");
  // Nothing behind a request that the door refuses is executed.
  EXPECT_EQ(RecordCount(), 1u);
}

TEST_F(WriteStream, AMessageWithoutAWriteIsRefused) {
  Client client(&server_);
  ASSERT_TRUE(client.Send({}));
  v1::WriteStreamResponse response;
  ASSERT_TRUE(client.Receive(&response));
  EXPECT_EQ(DetailsOf(response.error()).reason, "REQUEST_ID_MISSING");
  EXPECT_EQ(DetailsOf(client.Finish()).reason, "REQUEST_ID_MISSING");
}

TEST_F(WriteStream, AnEmptyStreamEndsWell) {
  Client client(&server_);
  client.HalfClose();
  v1::WriteStreamResponse response;
  EXPECT_FALSE(client.Receive(&response));
  EXPECT_TRUE(client.Finish().ok());
}

// Holds the engine's thread that applies entries, at its next look at the clock.
class Brake {
 public:
  EngineOptions Options() {
    EngineOptions options;
    options.clock_micros = [this] {
      std::unique_lock lock(mutex_);
      ++arrived_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_ || arrived_ <= allowed_; });
      return ++now_;
    };
    return options;
  }
  void Hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
    allowed_ = arrived_;
  }
  // Lets the entry go that is being held, and holds the next one.
  void Step() {
    const std::lock_guard lock(mutex_);
    ++allowed_;
    changed_.notify_all();
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void WaitUntilItHolds() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > allowed_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int arrived_ = 0;
  int allowed_ = 0;
  int64_t now_ = 0;
};

// `entries` messages, each with `documents` records of `document_bytes`.
void ExpectBounded(int documents, size_t document_bytes, int entries, uint64_t depth_max,
                   uint64_t bytes_max) {
  Brake brake;
  WireServer::Options options;
  options.engine = brake.Options();
  WireServer server(options);
  server.Create("l2", 2, v1::METRIC_L2);
  brake.Hold();
  std::thread first([&] {
    v1::WriteResponse response;
    EXPECT_TRUE(server.Write(OneWrite("first", Upsert("l2", "first", {1, 2})), &response).ok());
  });
  // From now on the engine takes nothing from its queue.
  brake.WaitUntilItHolds();
  Client client(&server);
  std::thread sender([&] {
    for (int i = 0; i < entries; ++i) {
      v1::WriteRequest request;
      request.set_request_id("r" + std::to_string(i));
      for (int d = 0; d < documents; ++d) {
        v1::Operation* operation = request.add_operations();
        *operation = Upsert("l2", std::to_string(d), {1, 2});
        operation->mutable_upsert()->set_document(std::string(document_bytes, 'd'));
      }
      ASSERT_TRUE(client.Send(request));
    }
    client.HalfClose();
  });
  // Until nothing moves any more.
  uint64_t depth = 0;
  for (uint64_t before = 1; depth != before || depth == 0;) {
    before = depth;
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    depth = server.engine().stats().queue_depth;
    EXPECT_LE(depth, depth_max);
    EXPECT_LE(server.engine().stats().queue_bytes, bytes_max);
    if (::testing::Test::HasFailure()) break;
  }
  brake.Release();
  v1::WriteStreamResponse response;
  for (int i = 0; i < entries; ++i) {
    ASSERT_TRUE(client.Receive(&response));
    EXPECT_EQ(response.request_id(), "r" + std::to_string(i));
    EXPECT_TRUE(response.has_ok()) << response.ShortDebugString();
  }
  sender.join();
  first.join();
  EXPECT_TRUE(client.Finish().ok());
}

TEST(WriteStreamBounds, StopsReadingBeyondSoManyEntries) {
  ExpectBounded(1, 10, 300, 64, 64 << 20);
}

TEST(WriteStreamBounds, StopsReadingBeyondSoManyBytes) {
  // The message that crosses the limit has been read.
  constexpr int kDocuments = 8;
  constexpr size_t kDocumentBytes = 1 << 20;
  ExpectBounded(kDocuments, kDocumentBytes, 20, 64, (64 << 20) + (kDocuments + 1) * kDocumentBytes);
}

void WaitForQueue(WireServer* server, uint64_t depth) {
  while (server->engine().stats().queue_depth != depth) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Whether an entry was executed while its collection was there takes a while to find out; what
// stands behind it must wait, whatever else is answered meanwhile.
TEST(WriteStreamOrder, NothingPassesAnEntryInDoubt) {
  Brake brake;
  WireServer::Options options;
  options.engine = brake.Options();
  WireServer server(options);
  server.Create("l2", 2, v1::METRIC_L2);
  brake.Hold();
  Client client(&server);
  ASSERT_TRUE(client.Send(Insert("1", "before")));
  brake.WaitUntilItHolds();
  // Another's write, on which the engine will be held next, in front of the question.
  std::thread other([&] {
    v1::WriteResponse response;
    EXPECT_TRUE(server.Write(OneWrite("o", Upsert("l2", "other", {1, 2})), &response).ok());
  });
  WaitForQueue(&server, 1);
  ASSERT_TRUE(client.Send(OneWrite("2", Upsert("gone", "x", {1, 2}))));
  WaitForQueue(&server, 2);
  ASSERT_TRUE(client.Send(Insert("3", "behind")));
  brake.Step();
  v1::WriteStreamResponse response;
  ASSERT_TRUE(client.Receive(&response));
  EXPECT_TRUE(response.has_ok());
  brake.WaitUntilItHolds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(server.engine().stats().queue_depth, 0u) << "the entry behind has been submitted";
  brake.Release();
  other.join();
  ASSERT_TRUE(client.Receive(&response));
  EXPECT_EQ(DetailsOf(response.error()).reason, "COLLECTION_NOT_FOUND");
  EXPECT_FALSE(client.Receive(&response));
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  const absl::StatusOr<ReadView> view = server.engine().Read(std::nullopt);
  EXPECT_NE(view->FindCollection("l2")->Find("before", view->n()), nullptr);
  EXPECT_EQ(view->FindCollection("l2")->Find("behind", view->n()), nullptr);
}

TEST_F(WriteStream, CancellationLosesNothingThatWasAcknowledged) {
  for (int round = 0; round < 20; ++round) {
    Client client(&server_);
    const std::string prefix = "c" + std::to_string(round) + "-";
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(client.Send(Insert(prefix + std::to_string(i), prefix + std::to_string(i))));
    }
    v1::WriteStreamResponse response;
    const int read = round * 2;
    for (int i = 0; i < read; ++i) {
      ASSERT_TRUE(client.Receive(&response));
      ASSERT_TRUE(response.has_ok());
    }
    client.context().TryCancel();
    while (client.Receive(&response)) {
    }
    EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::CANCELLED);
    v1::GetRecordsRequest get;
    get.set_collection("l2");
    for (int i = 0; i < std::max(read, 1); ++i) get.add_ids(prefix + std::to_string(i));
    v1::GetRecordsResponse records;
    ASSERT_TRUE(
        WireServer::Call<v1::MemoryService::StubInterface>(
            server_.memory.get(), &v1::MemoryService::StubInterface::GetRecords, get, &records)
            .ok());
    EXPECT_GE(records.records_size(), read);
  }
}

TEST_F(WriteStream, ManyStreamsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      Client client(&server_);
      for (int i = 0; i < 60; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        ASSERT_TRUE(client.Send(Insert(id, id)));
      }
      client.HalfClose();
      v1::WriteStreamResponse response;
      for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(client.Receive(&response));
        ASSERT_TRUE(response.has_ok()) << response.ShortDebugString();
      }
      EXPECT_TRUE(client.Finish().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(RecordCount(), 480u);
}

// A retry on a stream, after its collection has gone: the first reply, between those of its
// neighbours.
TEST_F(WriteStream, ARetryAfterADropIsAnsweredInItsPlace) {
  server_.Create("gone", 2, v1::METRIC_L2);
  v1::WriteResponse first;
  const v1::WriteRequest request = OneWrite("early", Upsert("gone", "x", {1, 2}));
  ASSERT_TRUE(server_.Write(request, &first).ok());
  server_.Drop("gone");
  Client client(&server_);
  ASSERT_TRUE(client.Send(Insert("1", "a")));
  ASSERT_TRUE(client.Send(request));
  ASSERT_TRUE(client.Send(Insert("2", "b")));
  ASSERT_TRUE(client.Send(OneWrite("late", Upsert("gone", "x", {1, 2}))));
  client.HalfClose();
  v1::WriteStreamResponse response[4];
  for (v1::WriteStreamResponse& one : response) ASSERT_TRUE(client.Receive(&one));
  EXPECT_TRUE(response[0].has_ok());
  EXPECT_EQ(response[1].ok().position().log_index(), first.position().log_index());
  EXPECT_TRUE(response[1].ok().duplicate());
  EXPECT_TRUE(response[2].has_ok());
  EXPECT_EQ(DetailsOf(response[3].error()).reason, "COLLECTION_NOT_FOUND");
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(WriteStreamOverload, AFullExecutorSlowsButDoesNotRefuse) {
  WireServer::Options options;
  options.executor_threads = 1;
  options.executor_queue = 1;
  WireServer server(options);
  server.Create("l2", 2, v1::METRIC_L2);
  std::promise<void> started, release;
  ASSERT_TRUE(server.executor().Submit([&] {
    started.set_value();
    release.get_future().wait();
  }));
  started.get_future().wait();
  ASSERT_TRUE(server.executor().Submit([] {}));
  Client client(&server);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(client.Send(Insert(std::to_string(i), std::to_string(i))));
  }
  client.HalfClose();
  v1::WriteStreamResponse response;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(client.Receive(&response));
    EXPECT_TRUE(response.has_ok());
  }
  EXPECT_TRUE(client.Finish().ok());
  // What is not a stream is told to come back later.
  v1::SearchRequest search;
  search.set_collection("l2");
  search.mutable_query()->set_k(1);
  *search.mutable_query()->mutable_vector() = Upsert("", "", {1, 2}).upsert().vector();
  v1::SearchResponse found;
  const grpc::Status status = WireServer::Call<v1::MemoryService::StubInterface>(
      server.memory.get(), &v1::MemoryService::StubInterface::Search, search, &found);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(status).reason, "OVERLOADED");
  release.set_value();
}

}  // namespace
}  // namespace stele::server
