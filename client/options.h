// How a client connects and what a single call may ask for.
//
// Plain data: copyable, no behaviour, nothing is validated before Client::Connect.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace stele::client {

// TLS is used where `enabled` is set or any file is named.
struct TlsOptions {
  bool enabled = false;
  // PEM files. Without ca_file the system's certificate authorities are trusted.
  std::string ca_file = {};
  std::string cert_file = {};
  std::string key_file = {};
  // Checked against the certificate instead of the address's host name.
  std::string server_name = {};
};

struct Options {
  std::string address = "127.0.0.1:7420";
  // Sent as "authorization: Bearer <key>"; without TLS it crosses the network in clear text.
  std::string api_key = {};
  TlsOptions tls = {};
  // For one call with all of its retries; for a stream, the time without any progress.
  absl::Duration timeout = absl::Seconds(30);
  // For one attempt of a call; then it is made anew, within `timeout`: a write with its request id.
  // Without a value an attempt may take all the time there is.
  std::optional<absl::Duration> attempt_timeout = {};
  // Reads wait for the newest write this client has seen acknowledged.
  bool read_your_writes = true;
  // Called before each wait for a retry, from the calling thread. May be empty.
  std::function<void(const absl::Status& error, absl::Duration wait)> on_retry = {};
};

struct WriteOptions {
  // 1..64 bytes; made by the client if empty. The same id takes effect once.
  std::string request_id = {};
  // The newest entry that changed the state must be this one, or the write is ABORTED.
  std::optional<uint64_t> expected_state_index = {};
  // Instead of Options::timeout.
  std::optional<absl::Duration> timeout = {};
};

struct ReadOptions {
  // Wait, until the deadline, for this log index.
  uint64_t min_index = 0;
  // Read the state after this entry instead of the newest.
  std::optional<uint64_t> at_index = {};
  // Or the state at this time: after the last entry that was logged at it or before. Not with
  // at_index.
  std::optional<absl::Time> at_time = {};
  std::optional<absl::Duration> timeout = {};
  // Search and BatchSearch: tell how each answer was found, in a v1::SearchExplanation.
  bool explain = false;
  // Search and BatchSearch: give a signed receipt for each answer. docs/audit.md says what it
  // shows.
  bool receipt = false;
};

// Which parts of a record a read returns; the id and the version always come.
struct Select {
  bool vector = false;
  bool attributes = false;
  bool document = false;
};

}  // namespace stele::client
