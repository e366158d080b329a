#include "client/status.h"

#include <optional>

#include "absl/strings/cord.h"

namespace stele::client {
namespace {

constexpr absl::string_view kErrorInfoUrl = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr absl::string_view kBadRequestUrl = "type.googleapis.com/google.rpc.BadRequest";
constexpr absl::string_view kRequestIdUrl = "stele.v1/request_id";

// gRPC and absl number their codes alike; anything outside is UNKNOWN.
absl::StatusCode CodeFromInt(int code) {
  constexpr int kLastCode = 16;
  if (code < 0 || code > kLastCode) return absl::StatusCode::kUnknown;
  return static_cast<absl::StatusCode>(code);
}

void AttachDetails(const v1::Status& details, absl::Status* status) {
  for (const google::protobuf::Any& any : details.details()) {
    if (any.type_url() == kErrorInfoUrl || any.type_url() == kBadRequestUrl) {
      status->SetPayload(any.type_url(), absl::Cord(any.value()));
    }
  }
}

template <typename Message>
std::optional<Message> ParsePayload(const absl::Status& status, absl::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  Message message;
  if (!message.ParseFromString(std::string(*payload))) return std::nullopt;
  return message;
}

}  // namespace

ErrorDetails GetErrorDetails(const absl::Status& status) {
  ErrorDetails details;
  if (const auto info = ParsePayload<v1::ErrorInfo>(status, kErrorInfoUrl)) {
    details.reason = info->reason();
    details.domain = info->domain();
    details.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto bad_request = ParsePayload<v1::BadRequest>(status, kBadRequestUrl)) {
    for (const auto& violation : bad_request->field_violations()) {
      details.field_violations.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto request_id = status.GetPayload(kRequestIdUrl)) {
    details.request_id = std::string(*request_id);
  }
  return details;
}

std::string ErrorReason(const absl::Status& status) { return GetErrorDetails(status).reason; }

absl::Status StatusFromWire(int code, absl::string_view message,
                            const std::string& serialized_details) {
  absl::Status status(CodeFromInt(code), message);
  if (status.ok() || serialized_details.empty()) return status;
  v1::Status details;
  if (details.ParseFromString(serialized_details)) AttachDetails(details, &status);
  return status;
}

absl::Status StatusFromProto(const v1::Status& proto) {
  absl::Status status(CodeFromInt(proto.code()), proto.message());
  if (!status.ok()) AttachDetails(proto, &status);
  return status;
}

void AttachRequestId(absl::string_view request_id, absl::Status* status) {
  if (!status->ok()) status->SetPayload(kRequestIdUrl, absl::Cord(request_id));
}

absl::Status WithMessage(const absl::Status& status, absl::string_view message) {
  absl::Status result(status.code(), message);
  status.ForEachPayload([&result](absl::string_view url, const absl::Cord& payload) {
    result.SetPayload(url, payload);
  });
  return result;
}

}  // namespace stele::client
