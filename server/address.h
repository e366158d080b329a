// A TCP address as people write it: HOST:PORT, [IPV6]:PORT.
//
// Thread safety: pure functions, but ProbeListen, which asks the kernel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stele::server {

struct Address {
  std::string host;  // an IPv4 or IPv6 address (without brackets) or a name
  uint16_t port = 0;

  std::string ToString() const;
  // Reached from this machine alone: 127.0.0.0/8, ::1 or "localhost".
  bool IsLoopback() const;
  // Where a process of this machine reaches a server that listens here: 0.0.0.0 and :: become
  // loopback.
  Address ForClient() const;
};

// INVALID_ARGUMENT: what is wrong and what would be right.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// Why `address` cannot be listened on; OK if it can (now). UNAVAILABLE with the system's reason.
absl::Status ProbeListen(const Address& address);

}  // namespace stele::server
