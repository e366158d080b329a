// Reading the details of an error, as a client does.
#pragma once

#include <grpcpp/support/status.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "server/errors.h"
#include "stele/v1/error.pb.h"

namespace stele::server {

struct Details {
  int code = 0;
  std::string reason;
  std::string domain;
  std::map<std::string, std::string> metadata;
  std::string field;  // of the first violation
};

inline Details DetailsOf(const v1::Status& proto) {
  Details details;
  details.code = proto.code();
  for (const google::protobuf::Any& any : proto.details()) {
    v1::ErrorInfo info;
    v1::BadRequest bad_request;
    if (any.type_url() == "type.googleapis.com/google.rpc.ErrorInfo" &&
        info.ParseFromString(any.value())) {
      details.reason = info.reason();
      details.domain = info.domain();
      details.metadata = {info.metadata().begin(), info.metadata().end()};
    }
    if (any.type_url() == "type.googleapis.com/google.rpc.BadRequest" &&
        bad_request.ParseFromString(any.value()) && bad_request.field_violations_size() > 0) {
      details.field = bad_request.field_violations(0).field();
    }
  }
  return details;
}

inline Details DetailsOf(const grpc::Status& status) {
  v1::Status proto;
  if (!proto.ParseFromString(status.error_details())) return {};
  Details details = DetailsOf(proto);
  details.code = static_cast<int>(status.error_code());
  return details;
}

inline Details DetailsOf(const absl::Status& status) { return DetailsOf(ToProto(status)); }

}  // namespace stele::server
