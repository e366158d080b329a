// What came of a write, as clients read it: positions, counts, and the status of every outcome.
// docs/protocol.md, "Outcomes", is the table.
//
// Thread safety: pure functions.
#pragma once

#include "absl/status/status.h"
#include "server/engine.h"
#include "stele/v1/memory_service.pb.h"
#include "stele/v1/types.pb.h"

namespace stele::server {

void FillPosition(const Position& position, v1::Position* wire);
void FillWriteResponse(const WriteResult& result, v1::WriteResponse* response);

// OK for an entry that was executed. The ErrorInfo of a rejection that is in the log carries
// log_index, operation and logged = "true".
absl::Status StatusOf(const WriteResult& result);
// Whether the log holds the outcome under this request's own id.
bool IsLogged(const WriteResult& result);

// A failure of Engine::Submit and its like, with a reason where it has none.
absl::Status ExplainWriteFailure(const absl::Status& status);

}  // namespace stele::server
