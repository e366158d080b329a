// What /metrics shows: calls by method and code, the engine's counters, and the process.
//
// Calls are counted as they happen; the engine is asked at the moment of a scrape, so idle metrics
// cost nothing. docs/operations.md lists every metric.
//
// It does not listen on a port (http_endpoint.h).
//
// Thread safety: all functions, from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/engine.h"

namespace stele::server {

// The engine at one moment.
struct EngineSample {
  index::LogIndex log_index = 0;
  index::LogIndex state_index = 0;
  bool write_poisoned = false;
  int64_t now_micros = 0;  // system clock, for the age of the newest snapshot
  EngineStats stats;
};

class Metrics {
 public:
  // `kernel`: the name of the distance kernel in use.
  Metrics(std::string_view version, std::string_view kernel);
  ~Metrics();

  // `method` is the RPC's name alone; one that is not in roles.h counts as "other".
  void RpcFinished(std::string_view method, absl::StatusCode code, double seconds);

  // Where engine samples come from. A null function, or one that gives null: no engine now. The
  // source is never running once this has returned.
  using Source = std::function<std::optional<EngineSample>()>;
  void SetSource(Source source);

  // Everything, in Prometheus' text format.
  std::string Text() const;

 private:
  struct Method;
  struct Impl;

  Method& FindMethod(std::string_view method);

  std::unique_ptr<Impl> impl_;
  mutable std::mutex source_mutex_;
  Source source_;
};

}  // namespace stele::server
