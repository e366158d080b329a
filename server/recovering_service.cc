#include "server/recovering_service.h"

#include "server/errors.h"

namespace stele::server {
namespace {

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal() {
    Finish(ToGrpc(MakeError(absl::StatusCode::kUnavailable, "RECOVERING",
                            "the server is rebuilding its state; try again")));
  }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* RecoveringService::CreateReactor(
    grpc::GenericCallbackServerContext* /*context*/) {
  return new Refusal;
}

}  // namespace stele::server
