// AuditService.ReadLog: entries of the log in order, as they lie in the journal.
//
// It reads only what is published, a bounded part at a time, and reads the next part when the
// client has taken the one before. With `follow` it then waits for more without holding a thread.
//
// Thread safety: as gRPC asks for it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "server/call.h"
#include "stele/v1/audit_service.pb.h"

namespace stele::server {

// A stream that owns itself. Asks the gate first. Errors: OUT_OF_RANGE ENTRY_OUT_OF_RANGE,
// INVALID_ARGUMENT FOLLOW_WITH_END, DATA_LOSS PROOF_FAILED (what is damaged), UNAVAILABLE STOPPING.
grpc::ServerWriteReactor<v1::ReadLogResponse>* NewLogReader(grpc::CallbackServerContext* context,
                                                            const Parts& parts,
                                                            const v1::ReadLogRequest* request);

}  // namespace stele::server
