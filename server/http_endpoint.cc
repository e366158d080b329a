#include "server/http_endpoint.h"

#include <arpa/inet.h>
#include <civetweb.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/logging.h"

namespace stele::server {
namespace {

constexpr int kClientTimeoutMillis = 2000;
constexpr std::chrono::milliseconds kStopPoll{5};
constexpr size_t kHealthBytesMax = 4096;

void Reply(mg_connection* connection, const char* status, const char* type, std::string_view body) {
  mg_printf(connection,
            "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n",
            status, type, body.size());
  if (std::string_view(mg_get_request_info(connection)->request_method) != "HEAD") {
    mg_write(connection, body.data(), body.size());
  }
}

// Not registered by path: a handler set after the start would leave a moment without it.
int HandleRequest(mg_connection* connection) {
  constexpr char kText[] = "text/plain; charset=utf-8";
  constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";
  const mg_request_info* request = mg_get_request_info(connection);
  const auto* endpoint = static_cast<const HttpEndpoint*>(request->user_data);
  const std::string_view method(request->request_method);
  const std::string_view path(request->local_uri == nullptr ? "" : request->local_uri);
  if (method != "GET" && method != "HEAD") {
    Reply(connection, "405 Method Not Allowed", kText, "GET only\n");
    return 405;
  }
  if (path == "/metrics") {
    Reply(connection, "200 OK", kPrometheus, endpoint->content().metrics());
    return 200;
  }
  if (path == "/healthz") {
    const HealthReport report = endpoint->content().health();
    Reply(connection, report.serving ? "200 OK" : "503 Service Unavailable", kText,
          report.text + "\n");
    return report.serving ? 200 : 503;
  }
  Reply(connection, "404 Not Found", kText, "here are /metrics and /healthz\n");
  return 404;
}

int DropMessage(const mg_connection*, const char* message) {
  Log(LogLevel::kDebug, "HTTP endpoint reports", {{"detail", message}});
  return 1;
}

void InitLibraryOnce() {
  static std::once_flag once;
  std::call_once(once, [] { mg_init_library(MG_FEATURES_DEFAULT); });
}

}  // namespace

HttpEndpoint::HttpEndpoint(Address address, Content content)
    : address_(std::move(address)), content_(std::move(content)) {}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const Address& address,
                                                                  Content content) {
  InitLibraryOnce();
  if (absl::Status status = ProbeListen(address); !status.ok()) return status;
  std::unique_ptr<HttpEndpoint> endpoint(new HttpEndpoint(address, std::move(content)));
  const std::string port = address.ToString();
  const std::string timeout = std::to_string(kClientTimeoutMillis);
  const std::array<const char*, 17> options = {"listening_ports",
                                               port.c_str(),
                                               "num_threads",
                                               "8",
                                               "connection_queue",
                                               "16",
                                               "listen_backlog",
                                               "64",
                                               "max_request_size",
                                               "8192",
                                               "request_timeout_ms",
                                               timeout.c_str(),
                                               "enable_keep_alive",
                                               "no",
                                               "tcp_nodelay",
                                               "1",
                                               nullptr};
  mg_callbacks callbacks{};
  callbacks.begin_request = HandleRequest;
  callbacks.log_message = DropMessage;
  std::array<char, 256> text{};
  unsigned code = 0;
  mg_init_data init{&callbacks, endpoint.get(), const_cast<const char**>(options.data())};
  mg_error_data error{&code, text.data(), text.size()};
  endpoint->context_ = mg_start2(&init, &error);
  if (endpoint->context_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", port, " for HTTP: ", text.data()));
  }
  std::array<mg_server_port, 4> ports{};
  if (mg_get_server_ports(endpoint->context_, static_cast<int>(ports.size()), ports.data()) > 0) {
    endpoint->address_.port = static_cast<uint16_t>(ports[0].port);
  }
  return endpoint;
}

HttpEndpoint::~HttpEndpoint() {
  if (context_ == nullptr) return;
  // civetweb looks at its stop flag every two seconds or when somebody connects: so somebody does.
  std::future<void> stopped = std::async(std::launch::async, [this] { mg_stop(context_); });
  const Address self = address_.ForClient();
  std::array<char, 256> error{};
  while (stopped.wait_for(kStopPoll) != std::future_status::ready) {
    mg_connection* knock =
        mg_connect_client(self.host.c_str(), self.port, /*use_ssl=*/0, error.data(), error.size());
    if (knock != nullptr) mg_close_connection(knock);
  }
}

absl::Status QueryHealth(const Address& address) {
  InitLibraryOnce();
  std::array<char, 256> error{};
  mg_connection* connection = mg_connect_client(address.host.c_str(), address.port, /*use_ssl=*/0,
                                                error.data(), error.size());
  if (connection == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("no answer at http://", address.ToString(), ": ", error.data()));
  }
  mg_printf(connection, "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
            address.ToString().c_str());
  absl::Status status;
  if (mg_get_response(connection, error.data(), error.size(), kClientTimeoutMillis) < 0) {
    status = absl::UnavailableError(
        absl::StrCat("no answer at http://", address.ToString(), ": ", error.data()));
  } else if (const int code = mg_get_response_info(connection)->status_code; code != 200) {
    std::array<char, kHealthBytesMax> body{};
    const int length = mg_read(connection, body.data(), body.size());
    const absl::string_view said(body.data(), static_cast<size_t>(std::max(length, 0)));
    status =
        absl::UnavailableError(absl::StrCat("HTTP ", code, ": ", absl::StripSuffix(said, "\n")));
  }
  mg_close_connection(connection);
  return status;
}

}  // namespace stele::server
