#include "server/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace stele::server {
namespace {

// Beyond the largest message: framing, and room to refuse in words what is only a little too large.
constexpr uint64_t kMessageSlackBytes = uint64_t{64} << 10;
constexpr int kConcurrentStreamsMax = 1000;
constexpr int kKeepaliveMillis = 60'000;
constexpr int kKeepaliveTimeoutMillis = 20'000;
constexpr int kClientPingMillisMin = 10'000;
constexpr std::chrono::milliseconds kIdlePoll{20};
constexpr std::chrono::milliseconds kIdleFor{200};

void SetLimits(const GrpcServer::Options& options, grpc::ServerBuilder* builder) {
  constexpr auto kReceiveMax = static_cast<int>(kMessageBytesMax + kMessageSlackBytes);
  builder->SetMaxReceiveMessageSize(kReceiveMax);
  // gRPC looks at a message's size before it unfolds it, so a compressed one has no limit.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kConcurrentStreamsMax);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kClientPingMillisMin);
  // Without this two servers could listen on one port and share its connections between them.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("stele");
  quota.Resize(options.memory_bytes_max);
  builder->SetResourceQuota(quota);
}

void EnableReflectionOnce() {
  static std::once_flag once;
  std::call_once(once, grpc::reflection::InitProtoReflectionServerBuilderPlugin);
}

}  // namespace

GrpcServer::GrpcServer(Address address, std::unique_ptr<grpc::Server> server)
    : address_(std::move(address)), server_(std::move(server)) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Options& options) {
  EnableReflectionOnce();
  if (absl::Status status = ProbeListen(options.listen); !status.ok()) return status;
  grpc::ServerBuilder builder;
  SetLimits(options, &builder);
  int port = 0;
  builder.AddListeningPort(options.listen.ToString(), options.credentials, &port);
  for (grpc::Service* service : options.services) builder.RegisterService(service);
  if (options.fallback != nullptr) builder.RegisterCallbackGenericService(options.fallback);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen.ToString(),
                     ": gRPC refused it; log-level debug shows what it reports"));
  }
  Address address = options.listen;
  address.port = static_cast<uint16_t>(port);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(address), std::move(server)));
}

GrpcServer::~GrpcServer() {
  if (server_ != nullptr) Shutdown(std::chrono::milliseconds(0), nullptr);
}

void GrpcServer::Shutdown(std::chrono::milliseconds grace, const std::function<bool()>& idle) {
  const auto deadline = std::chrono::system_clock::now() + grace;
  std::future<void> done =
      std::async(std::launch::async, [this, deadline] { server_->Shutdown(deadline); });
  std::chrono::milliseconds idle_for{0};
  while (done.wait_for(kIdlePoll) != std::future_status::ready) {
    idle_for = idle != nullptr && idle() ? idle_for + kIdlePoll : std::chrono::milliseconds{0};
    if (idle_for >= kIdleFor) {
      grpc_server_cancel_all_calls(server_->c_server());
      break;
    }
  }
  done.wait();
  server_.reset();
}

}  // namespace stele::server
