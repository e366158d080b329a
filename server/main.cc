// stele-server: the database server, and its offline commands.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "server/commands.h"
#include "server/config.h"
#include "server/logging.h"
#include "server/runner.h"

int main(int argc, char** argv) {
  using stele::server::CommandLine;
  using stele::server::ExitCode;
  using stele::server::Mode;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const absl::StatusOr<CommandLine> line = stele::server::ParseCommandLine(
      arguments, [](const char* name) -> const char* { return std::getenv(name); });
  if (!line.ok()) {
    std::fprintf(stderr, "stele-server: %s\n", std::string(line.status().message()).c_str());
    return static_cast<int>(ExitCode::kUsage);
  }
  stele::server::InitLogging(line->config.log_level, line->config.log_format);
  const ExitCode code = line->mode == Mode::kServe ? stele::server::Serve(line->config)
                                                   : stele::server::RunCommand(*line, std::cin);
  return static_cast<int>(code);
}
