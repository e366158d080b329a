// Answers every call while the state is being rebuilt: UNAVAILABLE, reason RECOVERING. So a client
// that arrives early knows that it may try again, and does not take the server for one without this
// method.
//
// Thread safety: as gRPC asks for it.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

namespace stele::server {

class RecoveringService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace stele::server
