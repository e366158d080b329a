// Errors of the client: absl::Status with the server's google.rpc details attached as payloads.
//
// Does not decide what is retried (see retry.h) and does not print: messages are for people,
// `GetErrorDetails` is for programs. All functions are pure and safe from any thread.
//
// Invariants:
//  1. The code of a returned status is the gRPC code of the reply, one to one.
//  2. Details that cannot be decoded are dropped; the code and the message never are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "stele/v1/error.pb.h"

namespace stele::client {

// One entry of google.rpc.BadRequest: `field` is a path such as "operations[3].upsert.vector".
struct FieldViolation {
  std::string field = {};
  std::string description = {};
};

// What a status carries besides code and message. Empty members mean "not stated".
struct ErrorDetails {
  // From google.rpc.ErrorInfo; the reasons are listed in docs/protocol.md.
  std::string reason = {};
  std::string domain = {};
  std::map<std::string, std::string> metadata = {};
  // From google.rpc.BadRequest.
  std::vector<FieldViolation> field_violations = {};
  // The request id of a failed write. Where the outcome is unknown, Client::GetOutcome tells it.
  std::string request_id = {};
};

// Reads the details that the functions below attached.
ErrorDetails GetErrorDetails(const absl::Status& status);

// Shorthand for GetErrorDetails(status).reason.
std::string ErrorReason(const absl::Status& status);

// Builds a status from a code, a message and the trailing binary details of a gRPC reply
// (a serialised google.rpc.Status; empty if there were none).
absl::Status StatusFromWire(int code, absl::string_view message,
                            const std::string& serialized_details);

// Builds a status from one that travelled inside a message (WriteStream, GetOutcome).
absl::Status StatusFromProto(const v1::Status& status);

// Adds the request id of the write that failed. No effect on an OK status.
void AttachRequestId(absl::string_view request_id, absl::Status* status);

// The same code and payloads with other words.
absl::Status WithMessage(const absl::Status& status, absl::string_view message);

}  // namespace stele::client
