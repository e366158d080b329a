// What stele-server does instead of serving: --verify, --restore, --new-key, --hash-key,
// --health-check.
//
// Results stand on standard output, reasons on standard error. Thread safety: called once, from
// main.
#pragma once

#include <iosfwd>

#include "server/config.h"
#include "server/exit_code.h"

namespace stele::server {

// REQUIRES: a mode of these. `input` is where --hash-key reads its key from.
ExitCode RunCommand(const CommandLine& line, std::istream& input);

}  // namespace stele::server
