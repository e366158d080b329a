#include "client/connection.h"

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/status.h"

namespace stele::client {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& path, absl::string_view what) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read the ", what, " file '", path, "'; give a readable PEM file"));
  }
  return content.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const TlsOptions& tls) {
  const bool has_file = !tls.ca_file.empty() || !tls.cert_file.empty() || !tls.key_file.empty();
  if (!tls.enabled && !has_file) return grpc::InsecureChannelCredentials();
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate needs both its certificate file and its key file");
  }
  grpc::SslCredentialsOptions ssl;
  if (!tls.ca_file.empty()) {
    auto pem = ReadPem(tls.ca_file, "certificate authority");
    if (!pem.ok()) return pem.status();
    ssl.pem_root_certs = *std::move(pem);
  }
  if (!tls.cert_file.empty()) {
    auto cert = ReadPem(tls.cert_file, "client certificate");
    if (!cert.ok()) return cert.status();
    auto key = ReadPem(tls.key_file, "client key");
    if (!key.ok()) return key.status();
    ssl.pem_cert_chain = *std::move(cert);
    ssl.pem_private_key = *std::move(key);
  }
  return grpc::SslCredentials(ssl);
}

void RaiseTo(uint64_t value, std::atomic<uint64_t>* target) {
  uint64_t current = target->load();
  while (current < value && !target->compare_exchange_weak(current, value)) {
  }
}

// HTTP header values are visible ASCII; gRPC would abort the call without saying why.
bool IsSendable(absl::string_view key) {
  for (const char c : key) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace

absl::Status StatusFromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return StatusFromWire(static_cast<int>(status.error_code()), status.error_message(),
                        status.error_details());
}

absl::StatusOr<std::shared_ptr<Connection>> Connection::Open(const Options& options) {
  if (options.address.empty()) {
    return absl::InvalidArgumentError("the server address is empty; give HOST:PORT");
  }
  if (options.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the timeout must be longer than zero");
  }
  if (!IsSendable(options.api_key)) {
    return absl::InvalidArgumentError(
        "the API key holds a character that is not visible ASCII; check for blanks or line breaks");
  }
  auto credentials = Credentials(options.tls);
  if (!credentials.ok()) return credentials.status();

  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // Our own backoff decides when to try; the channel must not sit out a longer one meanwhile.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Clients with other options (keys, certificates) never share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!options.tls.server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls.server_name);
  }
  auto channel = grpc::CreateCustomChannel(options.address, *credentials, arguments);

  std::shared_ptr<Connection> connection(new Connection(options));
  connection->collections_ = v1::CollectionService::NewStub(channel);
  connection->memory_ = v1::MemoryService::NewStub(channel);
  connection->admin_ = v1::AdminService::NewStub(channel);
  connection->audit_ = v1::AuditService::NewStub(channel);
  return connection;
}

void Connection::Observe(const v1::Position& position) {
  RaiseTo(position.log_index(), &known_index_);
}

void Connection::ObserveWrite(const v1::Position& position) {
  Observe(position);
  RaiseTo(position.log_index(), &written_index_);
}

void Connection::Prepare(absl::Time deadline, grpc::ClientContext* context) const {
  context->set_deadline(absl::ToChronoTime(deadline));
  if (!options_.api_key.empty()) {
    context->AddMetadata("authorization", absl::StrCat("Bearer ", options_.api_key));
  }
}

absl::Status Connection::Explain(const absl::Status& status) const {
  if (status.code() != absl::StatusCode::kUnavailable &&
      status.code() != absl::StatusCode::kDeadlineExceeded) {
    return status;
  }
  return WithMessage(status, absl::StrCat("server ", options_.address, ": ", status.message()));
}

absl::StatusOr<v1::Limits> Connection::Limits(absl::Time deadline) {
  {
    const std::lock_guard lock(limits_mutex_);
    if (limits_.has_value()) return *limits_;
  }
  const auto info =
      Call(admin(), &v1::AdminService::Stub::GetServerInfo, v1::GetServerInfoRequest(), deadline);
  if (!info.ok()) return info.status();
  const std::lock_guard lock(limits_mutex_);
  limits_ = info->limits();
  return *limits_;
}

}  // namespace stele::client
