#include "server/errors.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "server/quote.h"

namespace stele::server {
namespace {

constexpr absl::string_view kErrorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr absl::string_view kBadRequestUrl = "type.googleapis.com/google.rpc.BadRequest";

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::map<std::string, std::string> metadata) {
  v1::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kErrorDomain));
  for (auto& [name, value] : metadata) (*info.mutable_metadata())[name] = std::move(value);
  absl::Status status(code, View(message));
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status BadField(std::string_view reason, std::string_view field, std::string_view message,
                      std::map<std::string, std::string> metadata) {
  absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, reason,
                absl::StrCat(View(field), ": ", View(message)), std::move(metadata));
  v1::BadRequest bad_request;
  v1::BadRequest::FieldViolation* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(message));
  status.SetPayload(kBadRequestUrl, absl::Cord(bad_request.SerializeAsString()));
  return status;
}

absl::Status EntryOutOfRange(std::string_view message, uint64_t smallest, uint64_t largest) {
  return MakeError(absl::StatusCode::kOutOfRange, "ENTRY_OUT_OF_RANGE", message,
                   {{"smallest", absl::StrCat(smallest)}, {"largest", absl::StrCat(largest)}});
}

v1::Status ToProto(const absl::Status& status) {
  v1::Status proto;
  proto.set_code(static_cast<int32_t>(status.code()));
  proto.set_message(std::string(status.message()));
  // In this order, whatever order the payloads have.
  for (const absl::string_view url : {kErrorInfoUrl, kBadRequestUrl}) {
    const absl::optional<absl::Cord> payload = status.GetPayload(url);
    if (!payload.has_value()) continue;
    google::protobuf::Any* detail = proto.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(*payload));
  }
  return proto;
}

absl::Status Stopping() {
  return MakeError(absl::StatusCode::kUnavailable, "STOPPING", "the server is stopping");
}

absl::Status CallCancelled() {
  return MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the client cancelled the call");
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ToProto(status).SerializeAsString());
}

}  // namespace stele::server
