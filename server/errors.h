// Errors with the google.rpc details that clients read: an ErrorInfo with a reason, and for bad
// requests the field at fault. Every status that leaves the server with one of our reasons is made
// here.
//
// Reasons are API: docs/protocol.md lists them. Thread safety: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "stele/v1/error.pb.h"

namespace stele::server {

inline constexpr std::string_view kErrorDomain = "stele.v1";

// A status with an ErrorInfo {reason, kErrorDomain, metadata}.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::map<std::string, std::string> metadata = {});
// INVALID_ARGUMENT with an ErrorInfo and a BadRequest that names `field`, e.g.
// "operations[3].upsert.id".
absl::Status BadField(std::string_view reason, std::string_view field, std::string_view message,
                      std::map<std::string, std::string> metadata = {});

// OUT_OF_RANGE ENTRY_OUT_OF_RANGE with the smallest and the largest entry that may be named.
absl::Status EntryOutOfRange(std::string_view message, uint64_t smallest, uint64_t largest);

// What calls end with when the server stops, and when their client has gone.
absl::Status Stopping();
absl::Status CallCancelled();

// The same on the wire: details travel as a google.rpc.Status in grpc-status-details-bin.
grpc::Status ToGrpc(const absl::Status& status);
stele::v1::Status ToProto(const absl::Status& status);

}  // namespace stele::server
