// One listening gRPC server: address, TLS, limits, reflection, and an orderly end.
//
// It knows no service of ours: the runner hands them in. Thread safety: all functions, from any
// thread, but Shutdown once.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/address.h"

namespace stele::server {

// Largest message, sent or received. Framing around a message of 64 MiB may take a little more.
inline constexpr uint64_t kMessageBytesMax = uint64_t{64} << 20;

class GrpcServer {
 public:
  struct Options {
    Address listen;
    std::shared_ptr<grpc::ServerCredentials> credentials;
    uint64_t memory_bytes_max = 0;  // gRPC's buffers; calls wait beyond
    std::vector<grpc::Service*> services;
    grpc::CallbackGenericService* fallback = nullptr;  // for calls of no service; may be null
  };

  // UNAVAILABLE: which address, and why it cannot be listened on. The services must outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Options& options);
  ~GrpcServer();

  // With the port that was really taken.
  const Address& address() const { return address_; }

  // Accepts nothing more and waits for the calls that run: until they are done, until `idle` has
  // been true for a moment (what remains are streams that nothing is asked of), or until `grace` is
  // over. Then cancels what is left.
  void Shutdown(std::chrono::milliseconds grace, const std::function<bool()>& idle);

 private:
  GrpcServer(Address address, std::unique_ptr<grpc::Server> server);

  const Address address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace stele::server
