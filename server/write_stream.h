// MemoryService.WriteStream: a stream of entries, acknowledged in order after durability.
//
// Entries are submitted in the order of their messages, the next while earlier ones are being made
// durable. What is not acknowledged is bounded, in number and bytes; then the stream stops reading,
// and gRPC's flow control stops the client.
//
// When the server stops, the stream reads no more; what has been submitted is acknowledged, what
// has only arrived is not run, and the stream ends with UNAVAILABLE: a client sends again,
// elsewhere or later, exactly what it holds no acknowledgement of.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "server/call.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::server {

// A stream that owns itself. Asks the gate first.
grpc::ServerBidiReactor<v1::WriteStreamRequest, v1::WriteStreamResponse>* NewWriteStream(
    grpc::CallbackServerContext* context, const Parts& parts);

}  // namespace stele::server
