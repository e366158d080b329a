// grpc.health.v1: whether this server serves, asked once (Check) or watched (Watch).
//
// Service names: "" and each service of stele.v1; all have the same status, because they live and
// die together. It does not find out whether the server is well: the runner tells it.
//
// Thread safety: all functions, from any thread.
//
// Invariants:
//   1. NOT_SERVING until SetServing(true): a server that is up but recovering says so.
//   2. Watchers see every last status; Shutdown shows them NOT_SERVING, then ends their streams.
#pragma once

#include <list>
#include <mutex>
#include <string_view>

#include "grpc/health/v1/health.grpc.pb.h"

namespace stele::server {

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  HealthService() = default;
  // REQUIRES: the gRPC server has been shut down.
  ~HealthService() override;

  void SetServing(bool serving);
  // NOT_SERVING from now on, for good.
  void Shutdown();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  Status StatusLocked(bool known) const;
  void NotifyLocked();
  void Forget(Watcher* watcher);

  std::mutex mutex_;
  bool serving_ = false;
  bool shut_down_ = false;
  std::list<Watcher*> watchers_;
};

}  // namespace stele::server
