// TLS of the gRPC port, from PEM files that are checked before gRPC sees them: gRPC's own answer to
// a bad file is a handshake that fails later.
//
// Thread safety: pure functions of the files.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stele::server {

struct TlsFiles {
  std::string cert;               // certificate chain, the server's own first; empty: no TLS
  std::string key;                // its private key
  std::string client_ca;          // empty: clients need no certificate
  uint32_t refresh_seconds = 10;  // how often the files are looked at
};

struct Credentials {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::vector<std::string> warnings;  // e.g. the certificate expires soon
};

// Checks the files as they are now. Later they are read again by themselves: new connections get
// the new certificate. A file that cannot be read then changes nothing. INVALID_ARGUMENT: which
// file, and what is wrong with it.
absl::StatusOr<Credentials> MakeCredentials(const TlsFiles& files);

}  // namespace stele::server
