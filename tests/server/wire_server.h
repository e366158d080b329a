// A whole server in this process: a real engine in a directory of its own, the real services, a
// real connection over loopback.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "server/admin_service.h"
#include "server/audit_service.h"
#include "server/checkpointer.h"
#include "server/collection_service.h"
#include "server/conversion.h"
#include "server/grpc_server.h"
#include "server/memory_service.h"
#include "tests/server/error_details.h"

namespace stele::server {

class WireServer {
 public:
  struct Options {
    EngineOptions engine;  // the directory is set here
    uint32_t executor_threads = 2;
    size_t executor_queue = 64;
    JoinOptions joining;
    ReceiptLog::Options receipt_log;
  };

  WireServer() : WireServer(Options()) {}
  explicit WireServer(Options options) : gate_(nullptr, nullptr) {
    static std::atomic<int> count{0};
    directory_ = std::filesystem::temp_directory_path() /
                 ("stele wire " + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(directory_);
    options.engine.data_directory = (directory_ / "data").string();
    options.engine.search_threads = 2;
    RecoveryReport report;
    engine_ = Engine::Open(options.engine, &report).value();
    executor_ = std::make_unique<Executor>(options.executor_threads, options.executor_queue);
    Checkpointer::Options signing;
    signing.data_directory = options.engine.data_directory;
    checkpointer_ = Checkpointer::Open(engine_.get(), signing).value();
    receipt_log_ = std::make_unique<ReceiptLog>(engine_.get(), options.receipt_log);
    memory_ =
        std::make_unique<MemoryService>(engine_.get(), &gate_, executor_.get(), checkpointer_.get(),
                                        receipt_log_.get(), options.joining);
    collections_ = std::make_unique<CollectionService>(engine_.get(), &gate_, executor_.get());
    admin_ = std::make_unique<AdminService>(engine_.get(), &gate_, executor_.get());
    audit_ =
        std::make_unique<AuditService>(engine_.get(), &gate_, executor_.get(), checkpointer_.get());
    GrpcServer::Options server;
    server.listen = {"127.0.0.1", 0};
    server.credentials = grpc::InsecureServerCredentials();
    server.memory_bytes_max = uint64_t{1} << 30;
    server.services = {memory_.get(), collections_.get(), admin_.get(), audit_.get()};
    server_ = GrpcServer::Start(server).value();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    // Tests must not share a connection with those of another server on the same port.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(server_->address().ToString(),
                                         grpc::InsecureChannelCredentials(), arguments);
    memory = v1::MemoryService::NewStub(channel_);
    collections = v1::CollectionService::NewStub(channel_);
    admin = v1::AdminService::NewStub(channel_);
    audit = v1::AuditService::NewStub(channel_);
  }

  ~WireServer() {
    server_->Shutdown(std::chrono::milliseconds(0), nullptr);
    executor_.reset();
    receipt_log_.reset();
    checkpointer_.reset();
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }

  Engine& engine() { return *engine_; }
  Executor& executor() { return *executor_; }
  Checkpointer& checkpointer() { return *checkpointer_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Calls `method` of `stub` with a deadline.
  template <typename Stub, typename Request, typename Response>
  static grpc::Status Call(Stub* stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                           const Request& request, Response* response,
                           std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return (stub->*method)(&context, request, response);
  }

  void Create(const std::string& name, uint32_t dimension, v1::Metric metric) {
    v1::CreateCollectionRequest request;
    request.set_request_id("create " + name + std::to_string(next_id_++));
    request.mutable_config()->set_name(name);
    request.mutable_config()->set_dimension(dimension);
    request.mutable_config()->set_metric(metric);
    v1::CreateCollectionResponse response;
    const grpc::Status status = Call<v1::CollectionService::StubInterface>(
        collections.get(), &v1::CollectionService::StubInterface::CreateCollection, request,
        &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  void Drop(const std::string& name) {
    v1::DropCollectionRequest request;
    request.set_request_id("drop " + name + std::to_string(next_id_++));
    request.set_name(name);
    v1::DropCollectionResponse response;
    const grpc::Status status = Call<v1::CollectionService::StubInterface>(
        collections.get(), &v1::CollectionService::StubInterface::DropCollection, request,
        &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  grpc::Status Write(const v1::WriteRequest& request, v1::WriteResponse* response) {
    return Call<v1::MemoryService::StubInterface>(
        memory.get(), &v1::MemoryService::StubInterface::Write, request, response);
  }

  // What must stay as it was when a request is refused.
  std::string Fingerprint() {
    v1::GetServerInfoResponse info;
    const grpc::Status status = Call<v1::AdminService::StubInterface>(
        admin.get(), &v1::AdminService::StubInterface::GetServerInfo, v1::GetServerInfoRequest(),
        &info);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return info.position().SerializeAsString() + info.log_root();
  }

  std::unique_ptr<v1::MemoryService::StubInterface> memory;
  std::unique_ptr<v1::CollectionService::StubInterface> collections;
  std::unique_ptr<v1::AdminService::StubInterface> admin;
  std::unique_ptr<v1::AuditService::StubInterface> audit;

 private:
  std::filesystem::path directory_;
  int next_id_ = 0;
  std::unique_ptr<Engine> engine_;
  Gate gate_;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<ReceiptLog> receipt_log_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<MemoryService> memory_;
  std::unique_ptr<CollectionService> collections_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<AuditService> audit_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Operations for tests.
inline v1::Operation Upsert(const std::string& collection, const std::string& id,
                            const std::vector<float>& vector) {
  v1::Operation operation;
  operation.set_collection(collection);
  operation.mutable_upsert()->set_id(id);
  for (const float value : vector) {
    operation.mutable_upsert()->mutable_vector()->mutable_floats()->add_values(value);
  }
  return operation;
}

inline v1::WriteRequest OneWrite(const std::string& request_id, const v1::Operation& operation) {
  v1::WriteRequest request;
  request.set_request_id(request_id);
  *request.add_operations() = operation;
  return request;
}

}  // namespace stele::server
