// If this failed: load balancers would send calls to a server that cannot answer them, callers of a
// server that is stopping or recovering would be told the wrong thing, or a stop would hang or cut
// calls off.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "server/grpc_server.h"
#include "server/health_service.h"
#include "server/recovering_service.h"
#include "stele/v1/memory_service.grpc.pb.h"

namespace stele::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

GrpcServer::Options Loopback() {
  GrpcServer::Options options;
  options.listen = {"127.0.0.1", 0};
  options.credentials = grpc::InsecureServerCredentials();
  options.memory_bytes_max = 64 << 20;
  return options;
}

std::unique_ptr<GrpcServer> Start(const GrpcServer::Options& options) {
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::shared_ptr<grpc::Channel> Connect(const GrpcServer& server) {
  return grpc::CreateChannel(server.address().ToString(), grpc::InsecureChannelCredentials());
}

class HealthTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GrpcServer::Options options = Loopback();
    options.services = {&health_};
    server_ = Start(options);
    stub_ = Health::NewStub(Connect(*server_));
  }

  int Check(const std::string& service) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = stub_->Check(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return -1;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  HealthService health_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<Health::Stub> stub_;
};

TEST_F(HealthTest, CheckFollowsTheServer) {
  for (const char* service :
       {"", "stele.v1.MemoryService", "stele.v1.CollectionService", "stele.v1.AdminService"}) {
    EXPECT_EQ(Check(service), HealthCheckResponse::NOT_SERVING);
  }
  health_.SetServing(true);
  for (const char* service :
       {"", "stele.v1.MemoryService", "stele.v1.CollectionService", "stele.v1.AdminService"}) {
    EXPECT_EQ(Check(service), HealthCheckResponse::SERVING);
  }
  EXPECT_EQ(Check("stele.v1.Other"), -1);
  health_.Shutdown();
  EXPECT_EQ(Check(""), HealthCheckResponse::NOT_SERVING);
  health_.SetServing(true);
  EXPECT_EQ(Check(""), HealthCheckResponse::NOT_SERVING) << "a shutdown is for good";
}

TEST_F(HealthTest, WatchShowsEveryChangeAndEnds) {
  grpc::ClientContext context;
  const auto reader = stub_->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  health_.SetServing(true);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  health_.SetServing(true);  // no change, no message
  health_.Shutdown();
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(HealthTest, WatchOfAnUnknownServiceStaysOpen) {
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("stele.v1.Other");
  const auto reader = stub_->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  context.TryCancel();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(HealthTest, ManyWatchersComeAndGo) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<HealthCheckResponse>>> readers;
  HealthCheckResponse response;
  for (int i = 0; i < 50; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(stub_->Watch(contexts.back().get(), {}));
    ASSERT_TRUE(readers.back()->Read(&response));
  }
  for (size_t i = 0; i < contexts.size(); i += 2) contexts[i]->TryCancel();
  for (int i = 0; i < 100; ++i) health_.SetServing(i % 2 == 0);
  health_.SetServing(true);
  for (size_t i = 1; i < readers.size(); i += 2) {
    while (response.status() != HealthCheckResponse::SERVING) {
      ASSERT_TRUE(readers[i]->Read(&response));
    }
    response.Clear();
  }
  health_.Shutdown();
  // Without end: watchers that stayed would hold it back for good.
  server_->Shutdown(std::chrono::hours(24), nullptr);
  for (size_t i = 1; i < readers.size(); i += 2) {
    while (readers[i]->Read(&response)) {
    }
    EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
    EXPECT_EQ(readers[i]->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
}

TEST(RecoveringService, RefusesEverythingButHealth) {
  HealthService health;
  RecoveringService refusals;
  GrpcServer::Options options = Loopback();
  options.services = {&health};
  options.fallback = &refusals;
  const std::unique_ptr<GrpcServer> server = Start(options);
  const auto channel = Connect(*server);
  {
    grpc::ClientContext context;
    HealthCheckResponse response;
    ASSERT_TRUE(Health::NewStub(channel)->Check(&context, {}, &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  }
  const auto stub = stele::v1::MemoryService::NewStub(channel);
  {
    grpc::ClientContext context;
    stele::v1::SearchResponse response;
    const grpc::Status status = stub->Search(&context, {}, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("rebuilding"));
  }
  grpc::ClientContext context;
  const auto stream = stub->WriteStream(&context);
  stele::v1::WriteStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Calls that stay open until they are released or cancelled.
class Waiting final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    auto* call = new Call(this);
    const std::lock_guard lock(mutex_);
    calls_.push_back(call);
    return call;
  }
  size_t open() {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    for (Call* call : calls_) call->End(grpc::Status(grpc::StatusCode::ABORTED, "released"));
  }

 private:
  class Call final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Call(Waiting* owner) : owner_(owner) {}
    void End(const grpc::Status& status) {
      if (!ended_.exchange(true)) Finish(status);
    }
    void OnCancel() override { End(grpc::Status::CANCELLED); }
    void OnDone() override {
      {
        const std::lock_guard lock(owner_->mutex_);
        std::erase(owner_->calls_, this);
      }
      delete this;
    }

   private:
    Waiting* const owner_;
    std::atomic<bool> ended_{false};
  };

  std::mutex mutex_;
  std::vector<Call*> calls_;
};

class ShutdownTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GrpcServer::Options options = Loopback();
    options.fallback = &waiting_;
    server_ = Start(options);
    stub_ = stele::v1::MemoryService::NewStub(Connect(*server_));
    call_ = std::async(std::launch::async, [this] {
      grpc::ClientContext context;
      stele::v1::SearchResponse response;
      return stub_->Search(&context, {}, &response);
    });
    while (waiting_.open() == 0) std::this_thread::sleep_for(milliseconds(1));
  }

  Waiting waiting_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<stele::v1::MemoryService::Stub> stub_;
  std::future<grpc::Status> call_;
};

TEST_F(ShutdownTest, WaitsForRunningCallsAndRefusesNewOnes) {
  std::atomic<int> asked{0};
  std::future<void> shutdown = std::async(std::launch::async, [this, &asked] {
    server_->Shutdown(std::chrono::hours(24), [&asked] { return ++asked < 0; });
  });
  while (asked.load() < 20 && waiting_.open() == 1) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(waiting_.open(), 1u);
  {
    grpc::ClientContext context;
    stele::v1::SearchResponse response;
    EXPECT_EQ(stub_->Search(&context, {}, &response).error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  waiting_.Release();
  EXPECT_EQ(call_.get().error_message(), "released");
  shutdown.get();
}

TEST_F(ShutdownTest, IdleCallsAreNotWaitedFor) {
  // Nothing else would end it.
  server_->Shutdown(std::chrono::hours(24), [] { return true; });
  EXPECT_FALSE(call_.get().ok());
}

TEST_F(ShutdownTest, AMomentOfIdlenessIsNotEnough) {
  std::atomic<int> asked{0};
  std::future<void> shutdown = std::async(std::launch::async, [this, &asked] {
    server_->Shutdown(std::chrono::hours(24), [&asked] { return ++asked % 4 != 0; });
  });
  // Idle three times out of four, and asked on and on.
  while (asked.load() < 40 && waiting_.open() == 1) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(waiting_.open(), 1u);
  waiting_.Release();
  EXPECT_EQ(call_.get().error_message(), "released");
}

TEST_F(ShutdownTest, TheGraceEnds) {
  int asked = 0;
  server_->Shutdown(milliseconds(300), [&asked] { return ++asked < 0; });
  EXPECT_GE(asked, 1) << "no grace at all";
  EXPECT_FALSE(call_.get().ok());
}

TEST(GrpcServer, AddressInUseIsNamed) {
  Waiting waiting;
  GrpcServer::Options options = Loopback();
  options.fallback = &waiting;
  const std::unique_ptr<GrpcServer> first = Start(options);
  EXPECT_NE(first->address().port, 0);
  options.listen = first->address();
  const absl::Status status = GrpcServer::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(first->address().ToString()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Address already in use"));
}

TEST(GrpcServer, AddressOfAnotherMachineIsNamed) {
  Waiting waiting;
  GrpcServer::Options options = Loopback();
  options.fallback = &waiting;
  options.listen = {"192.0.2.1", 7420};
  EXPECT_THAT(std::string(GrpcServer::Start(options).status().message()),
              HasSubstr("192.0.2.1:7420: Cannot assign requested address"));
}

// The runner closes the port of the recovering server and opens that of the serving one.
TEST(GrpcServer, ThePortIsFreeRightAfterShutdown) {
  for (int i = 0; i < 20; ++i) {
    Waiting waiting;
    GrpcServer::Options options = Loopback();
    options.fallback = &waiting;
    std::unique_ptr<GrpcServer> first = Start(options);
    ASSERT_TRUE(Connect(*first)->WaitForConnected(std::chrono::system_clock::now() +
                                                  std::chrono::seconds(5)));
    options.listen = first->address();
    first->Shutdown(milliseconds(0), nullptr);
    Waiting next;
    options.fallback = &next;
    const absl::StatusOr<std::unique_ptr<GrpcServer>> second = GrpcServer::Start(options);
    ASSERT_TRUE(second.ok()) << second.status();
  }
}

}  // namespace
}  // namespace stele::server
