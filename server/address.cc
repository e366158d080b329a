#include "server/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace stele::server {
namespace {

absl::Status Malformed(std::string_view text, absl::string_view why) {
  const absl::string_view view(text.data(), text.size());
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CHexEscape(view), "\" is not an address: ", why,
                   "; write HOST:PORT, e.g. 127.0.0.1:7420, 0.0.0.0:7420 or [::1]:7420"));
}

bool IsIpv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsName(const std::string& host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

std::string Address::ToString() const {
  if (IsIpv6(host)) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

bool Address::IsLoopback() const {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return absl::AsciiStrToLower(host) == "localhost";
}

Address Address::ForClient() const {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1 && v4.s_addr == INADDR_ANY) {
    return {"127.0.0.1", port};
  }
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6)) {
    return {"::1", port};
  }
  return *this;
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Malformed(text, "the port is missing");
  Address address;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return Malformed(text, "the port must be a number from 0 to 65535");
  }
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  address.host = std::string(host);
  if (brackets != IsIpv6(address.host)) {
    return Malformed(text, "brackets hold an IPv6 address, and only that");
  }
  if (!brackets && !IsName(address.host))
    return Malformed(text, "the host is missing or not a name");
  return address;
}

absl::Status ProbeListen(const Address& address) {
  const auto fail = [&address](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address.ToString(), ": ", why));
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int error =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  if (error != 0) return fail(gai_strerror(error));
  absl::Status status;
  for (const addrinfo* item = list; item != nullptr && status.ok(); item = item->ai_next) {
    const int descriptor = socket(item->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) continue;  // a family that this machine does not speak
    const int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, item->ai_addr, item->ai_addrlen) != 0 || listen(descriptor, 1) != 0) {
      status = fail(std::strerror(errno));
    }
    close(descriptor);
  }
  freeaddrinfo(list);
  return status;
}

}  // namespace stele::server
