// MemoryService.RevertRecord: a record as it was after an older entry, written as a new entry.
//
// It is an ordinary upsert, or delete, with the record's version at this moment as its
// precondition, so nothing that is written in between is lost. A retry is told by what its entry
// wrote, for its precondition is that of the first sending.
//
// Thread safety: as gRPC asks for it.
#pragma once

#include "server/call.h"
#include "stele/v1/history.pb.h"

namespace stele::server {

// Ends the call, now or later. Errors: those of Write, OUT_OF_RANGE ENTRY_OUT_OF_RANGE,
// FAILED_PRECONDITION CONTENT_ERASED, CONTENT_BEFORE_LOG.
void Revert(const Parts& parts, Call* call, const v1::RevertRecordRequest* request,
            v1::RevertRecordResponse* response);

}  // namespace stele::server
