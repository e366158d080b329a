// The HTTP port for machines that watch the server: GET /metrics and GET /healthz, nothing else.
//
// It carries no content of the database and asks for no key. It does not serve the API (gRPC does).
//
// Thread safety: all functions, from any thread.
//
// Invariants:
//   1. A slow or hostile client costs one of a few threads for at most a few seconds; connections
//   beyond
//      a small queue wait in the kernel.
//   2. Requests beyond 8 KiB are refused; bodies are not read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/address.h"

struct mg_context;

namespace stele::server {

struct HealthReport {
  bool serving = false;
  std::string text;  // one line for people
};

class HttpEndpoint {
 public:
  struct Content {
    std::function<std::string()> metrics;  // Prometheus' text format
    std::function<HealthReport()> health;  // 200 when serving, else 503
  };

  // Listens, on IPv4 (Debian builds civetweb without IPv6). Port 0 takes a free one. UNAVAILABLE:
  // which address, and why not.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const Address& address,
                                                             Content content);
  // Finishes what is being answered and closes.
  ~HttpEndpoint();
  HttpEndpoint(const HttpEndpoint&) = delete;
  HttpEndpoint& operator=(const HttpEndpoint&) = delete;

  // With the port that was really taken.
  const Address& address() const { return address_; }
  const Content& content() const { return content_; }

 private:
  HttpEndpoint(Address address, Content content);

  Address address_;
  const Content content_;
  mg_context* context_ = nullptr;
};

// Asks /healthz at `address`: OK if it answers 200, else UNAVAILABLE with what it says.
absl::Status QueryHealth(const Address& address);

}  // namespace stele::server
