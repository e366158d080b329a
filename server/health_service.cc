#include "server/health_service.h"

#include <algorithm>
#include <string>

namespace stele::server {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::string_view kServices[] = {"", "stele.v1.MemoryService",
                                          "stele.v1.CollectionService", "stele.v1.AdminService",
                                          "stele.v1.AuditService"};

bool IsKnown(const std::string& service) {
  return std::find(std::begin(kServices), std::end(kServices), service) != std::end(kServices);
}

}  // namespace

// One open Watch. It is deleted by gRPC's OnDone.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* service, bool known) : service_(service), known_(known) {}

  bool known() const { return known_; }

  // Shows `status` as soon as the write before it is done; `last` ends the stream behind it.
  void Show(Status status, bool last) {
    const std::lock_guard lock(mutex_);
    wanted_ = status;
    ending_ = ending_ || last;
    AdvanceLocked();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    ending_ = ending_ || !ok;
    if (!ok) shown_ = wanted_;
    AdvanceLocked();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    shown_ = wanted_;
    AdvanceLocked();
  }

  void OnDone() override {
    service_->Forget(this);
    delete this;
  }

 private:
  void AdvanceLocked() {
    if (writing_ || finished_) return;
    if (!shown_any_ || shown_ != wanted_) {
      shown_any_ = true;
      shown_ = wanted_;
      writing_ = true;
      response_.set_status(wanted_);
      StartWrite(&response_);
    } else if (ending_) {
      finished_ = true;
      Finish({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
    }
  }

  HealthService* const service_;
  const bool known_;
  std::mutex mutex_;
  HealthCheckResponse response_;
  Status wanted_ = HealthCheckResponse::UNKNOWN;
  Status shown_ = HealthCheckResponse::UNKNOWN;
  bool shown_any_ = false;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

HealthService::~HealthService() = default;

HealthService::Status HealthService::StatusLocked(bool known) const {
  if (!known) return HealthCheckResponse::SERVICE_UNKNOWN;
  return serving_ && !shut_down_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

void HealthService::NotifyLocked() {
  for (Watcher* watcher : watchers_) watcher->Show(StatusLocked(watcher->known()), shut_down_);
}

void HealthService::SetServing(bool serving) {
  const std::lock_guard lock(mutex_);
  serving_ = serving;
  NotifyLocked();
}

void HealthService::Shutdown() {
  const std::lock_guard lock(mutex_);
  shut_down_ = true;
  NotifyLocked();
}

void HealthService::Forget(Watcher* watcher) {
  const std::lock_guard lock(mutex_);
  watchers_.remove(watcher);
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!IsKnown(request->service())) {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "there is no such service on this server"});
    return reactor;
  }
  {
    const std::lock_guard lock(mutex_);
    response->set_status(StatusLocked(true));
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  auto* watcher = new Watcher(this, IsKnown(request->service()));
  const std::lock_guard lock(mutex_);
  watchers_.push_back(watcher);
  watcher->Show(StatusLocked(watcher->known()), shut_down_);
  return watcher;
}

}  // namespace stele::server
