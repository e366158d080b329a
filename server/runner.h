// A server from start to end: listen, recover, serve, stop.
//
//   recovering  the gRPC port answers UNAVAILABLE (reason RECOVERING), health NOT_SERVING, /healthz
//   503 serving     the ready line stands on standard output, health SERVING, /healthz 200 stopping
//   health NOT_SERVING, nothing new is accepted, what was accepted is finished
//
// A write-poisoned engine goes on serving reads; it is logged and shown in /metrics and /healthz.
//
// Thread safety: called once, from main, before other threads exist.
#pragma once

#include "server/config.h"
#include "server/engine.h"
#include "server/exit_code.h"

namespace stele::server {

// How the engine is to run under this configuration.
EngineOptions ToEngineOptions(const Config& config);

// Returns when SIGTERM or SIGINT has stopped it (kOk), or when it could not start or run; the log
// and standard error say why.
ExitCode Serve(const Config& config);

}  // namespace stele::server
