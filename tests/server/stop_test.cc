// If this failed: a server that is told to stop would lose acknowledgements of what it made
// durable, wait for what will not come, or end before it has finished. Every test runs stele-server
// as a process of its own.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/address.h"
#include "server/http_endpoint.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"
#include "tests/server/error_details.h"
#include "tests/server/shell_fixture.h"

namespace stele::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

using Stub = std::unique_ptr<v1::MemoryService::Stub>;
using StreamOf = grpc::ClientReaderWriter<v1::WriteStreamRequest, v1::WriteStreamResponse>;

v1::WriteStreamRequest OneInsert(const std::string& request_id, size_t document_bytes) {
  v1::WriteStreamRequest message;
  message.mutable_write()->set_request_id(request_id);
  v1::Operation* operation = message.mutable_write()->add_operations();
  operation->set_collection("c");
  operation->mutable_insert()->set_id(request_id);
  for (int i = 0; i < 4; ++i) {
    operation->mutable_insert()->mutable_vector()->mutable_floats()->add_values(1);
  }
  operation->mutable_insert()->set_document(std::string(document_bytes, 'd'));
  return message;
}

uint64_t LogIndex(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  const grpc::Status status =
      v1::AdminService::NewStub(channel)->GetServerInfo(&context, {}, &info);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return info.position().log_index();
}

TEST_F(ShellTest, ServesAndStops) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  EXPECT_THAT(server.Out(), MatchesRegex("[^\n]*\n")) << "exactly one line";
  const auto channel = Connect(address);
  grpc::ClientContext context;
  HealthCheckResponse health;
  ASSERT_TRUE(Health::NewStub(channel)->Check(&context, {}, &health).ok());
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  const absl::StatusOr<Address> http = ParseAddress(HttpAddress(server));
  ASSERT_TRUE(http.ok()) << server.Err();
  EXPECT_TRUE(QueryHealth(*http).ok());
  EXPECT_EQ(std::to_string(LogIndex(channel)), server.log_index());
  struct stat mode {};
  ASSERT_EQ(stat(data().c_str(), &mode), 0);
  EXPECT_EQ(mode.st_mode & 077, 0u) << "others may look into the data directory";

  grpc::ClientContext watching;
  const auto watch = Health::NewStub(channel)->Watch(&watching, {});
  ASSERT_TRUE(watch->Read(&health));
  grpc::ClientContext idle_context;
  const auto idle = v1::MemoryService::NewStub(channel)->WriteStream(&idle_context);
  LogIndex(channel);  // behind the stream on the same connection: the server has it
  server.Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  // A stream that is cut off when patience ends has no reason.
  const grpc::Status status = idle->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(DetailsOf(status).reason, "STOPPING");
  EXPECT_THAT(server.Err(), HasSubstr("stopped"));
}

TEST_F(ShellTest, SigintStopsToo) {
  Process server(scratch_, ServeArguments());
  ASSERT_NE(server.WaitReady(), "") << server.Err();
  server.Signal(SIGUSR2);  // means nothing
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

// What was acknowledged before and during a stop is there afterwards; what was not may be.
TEST_F(ShellTest, StopsUnderLoad) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  std::atomic<int> acknowledged{0};
  std::atomic<bool> refused{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      const auto channel = Connect(address);
      for (int i = 0; !refused.load(); ++i) {
        const std::string name = std::to_string(w) + "-" + std::to_string(i);
        if (CreateCollection(channel, name).ok()) {
          ++acknowledged;
        } else {
          refused.store(true);
        }
      }
    });
  }
  while (acknowledged.load() < 50 && !refused.load()) std::this_thread::yield();
  EXPECT_FALSE(refused.load());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  for (std::thread& writer : writers) writer.join();
  Process again(scratch_, ServeArguments());
  ASSERT_NE(again.WaitReady(), "") << again.Err();
  EXPECT_GE(std::stoi(again.log_index()), acknowledged.load());
  EXPECT_LE(std::stoi(again.log_index()), acknowledged.load() + 4);
}

// Every entry that a stream made durable is acknowledged, and the stream says why it ends.
TEST_F(ShellTest, BusyStreamsAreToldOfAllThatIsDurable) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  ASSERT_TRUE(CreateCollection(Connect(address), "c").ok());
  std::atomic<int> acknowledged{0};
  std::atomic<int> sent{0};
  std::atomic<int> ended{0};
  std::vector<std::thread> streams;
  for (int s = 0; s < 3; ++s) {
    streams.emplace_back([&, s] {
      const Stub stub = v1::MemoryService::NewStub(Connect(address));
      grpc::ClientContext context;
      const std::unique_ptr<StreamOf> stream = stub->WriteStream(&context);
      std::thread sender([&] {
        for (int i = 0; stream->Write(
                 OneInsert("s" + std::to_string(s) + "-" + std::to_string(i), size_t{4} << 10));
             ++i) {
          ++sent;
        }
      });
      v1::WriteStreamResponse response;
      for (int i = 0; stream->Read(&response); ++i) {
        EXPECT_TRUE(response.has_ok()) << response.ShortDebugString();
        EXPECT_EQ(response.request_id(), "s" + std::to_string(s) + "-" + std::to_string(i));
        ++acknowledged;
      }
      sender.join();
      const grpc::Status status = stream->Finish();
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
      EXPECT_EQ(DetailsOf(status).reason, "STOPPING");
      ++ended;
    });
  }
  while (acknowledged.load() < 300 && ended.load() == 0) std::this_thread::yield();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  for (std::thread& stream : streams) stream.join();
  EXPECT_GE(acknowledged.load(), 300);
  EXPECT_GT(sent.load(), acknowledged.load()) << "nothing was under way";
  Process again(scratch_, ServeArguments());
  ASSERT_NE(again.WaitReady(), "") << again.Err();
  EXPECT_EQ(std::stoi(again.log_index()), acknowledged.load() + 1);
}

TEST_F(ShellTest, CallsThatWaitForAnIndexAreReleased) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  const auto channel = Connect(address);
  ASSERT_TRUE(CreateCollection(channel, "c").ok());
  const Stub memory = v1::MemoryService::NewStub(channel);
  const auto collections = v1::CollectionService::NewStub(channel);
  v1::CountRecordsRequest count;
  count.set_collection("c");
  count.set_min_index(1'000'000);
  v1::ListCollectionsRequest list;
  list.set_min_index(1'000'000);
  constexpr int kCalls = 20;
  grpc::ClientContext contexts[2 * kCalls];
  v1::CountRecordsResponse counts[kCalls];
  v1::ListCollectionsResponse lists[kCalls];
  std::promise<grpc::Status> answers[2 * kCalls];
  for (int i = 0; i < kCalls; ++i) {
    // Some without a deadline: nothing else would end them soon.
    if (i % 2 == 0) {
      contexts[i].set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));
    }
    memory->async()->CountRecords(&contexts[i], &count, &counts[i],
                                  [&answers, i](grpc::Status s) { answers[i].set_value(s); });
    const int j = kCalls + i;
    collections->async()->ListCollections(
        &contexts[j], &list, &lists[i], [&answers, j](grpc::Status s) { answers[j].set_value(s); });
  }
  LogIndex(channel);  // behind them on the same connection: the server has them
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Err();
  for (std::promise<grpc::Status>& answer : answers) {
    const grpc::Status status = answer.get_future().get();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(DetailsOf(status).reason, "STOPPING") << status.error_message();
  }
}

// A stream whose client does not take its acknowledgements holds the first signal back.
TEST_F(ShellTest, ASecondSignalEndsAtOnce) {
  Process server(scratch_, ServeArguments());
  const std::string address = server.WaitReady();
  ASSERT_NE(address, "") << server.Err();
  const auto channel = Connect(address);
  ASSERT_TRUE(CreateCollection(channel, "c").ok());
  const Stub stub = v1::MemoryService::NewStub(Connect(address));
  grpc::ClientContext context;
  const std::unique_ptr<StreamOf> stream = stub->WriteStream(&context);
  std::thread sender([&] {
    const std::string padding(50, 'p');  // makes the acknowledgements longer
    for (int i = 0; stream->Write(OneInsert(std::to_string(i) + padding, 0)); ++i) {
    }
  });
  // Until the acknowledgements fill the connection, and the server takes in no more.
  uint64_t log_index = 0;
  for (uint64_t before = 1; log_index != before || log_index < 300;) {
    before = log_index;
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    log_index = LogIndex(channel);
  }
  server.Signal(SIGTERM);
  EXPECT_TRUE(server.WaitForErr("stopping"));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_TRUE(server.IsRunning()) << "a call that runs was not waited for";
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 128 + SIGTERM);
  sender.join();
}

}  // namespace
}  // namespace stele::server
