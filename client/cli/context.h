// What every command shares: the global options, the connection, output and exit codes.
//
// Results go to standard output, everything else to standard error. Not thread-safe.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/json_values.h"
#include "client/client.h"

namespace stele::client::cli {

// Documented in docs/cli.md; scripts rely on them.
enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitUnavailable = 3,
  kExitNotFound = 4,
  kExitConflict = 5,
  kExitDataLoss = 6,
  kExitAuthentication = 7,
  kExitFork = 8,
  kExitDifferent = 9,
  kExitPartly = 10,
};

ExitCode ExitCodeFor(const absl::Status& status);

// An error in what was typed, as opposed to an error of the server: exit code 2.
absl::Status UsageError(absl::string_view message);
// The log contradicts what was signed before: exit code 8.
absl::Status ForkError(absl::string_view message);
// What was found is not what was expected: exit code 9.
absl::Status DifferenceError(absl::string_view message);
// Verified as far as what has been erased allows: exit code 10.
absl::Status PartlyError(absl::string_view message);
// An error that reading an option gave, as one in what was typed; OK stays OK.
absl::Status AsUsageError(absl::Status status);

struct Context {
  // Global options. The address is also read from STELE_ADDRESS, the key from STELE_API_KEY.
  std::string address = "127.0.0.1:7420";
  std::string api_key_file;
  TlsOptions tls;
  double timeout_seconds = 0;  // 0: the command's own default
  bool json = false;

  // Set by the command that was chosen; run after all options are read.
  std::function<absl::Status()> run;

  // `default_timeout` holds where --timeout is not given.
  absl::StatusOr<Client> Connect(absl::Duration default_timeout = absl::Seconds(10)) const;

  // Prints `result` with --json, and `text` otherwise.
  void Print(const Json& result, const std::string& text) const;
};

// Makes a subcommand whose callback stores `run`; the order of options stays the order of calls.
CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& description);
void SetRun(CLI::App* command, Context* context, std::function<absl::Status(Context&)> run);

void PrintError(const absl::Status& status, bool json);

// {"log_index", "state_index", "state_root"}, and the same as a sentence.
Json PositionToJson(const v1::Position& position);
std::string PositionToText(const v1::Position& position);

// One function for each commands_*.cc.
void AddServerCommands(CLI::App* app, Context* context);
void AddCollectionCommands(CLI::App* app, Context* context);
void AddWriteCommands(CLI::App* app, Context* context);
void AddPolicyCommands(CLI::App* app, Context* context);
void AddErasureCommands(CLI::App* app, Context* context);
void AddReadCommands(CLI::App* app, Context* context);
void AddSearchCommand(CLI::App* app, Context* context);
void AddWitnessCommands(CLI::App* audit, Context* context);
void AddGoldenCommands(CLI::App* app, Context* context);
void AddHistoryCommands(CLI::App* app, Context* context);
void AddTransferCommands(CLI::App* app, Context* context);
void AddAuditCommands(CLI::App* app, Context* context);
void AddCompareCommands(CLI::App* app, Context* context);
// `diverge`, to `audit`.
void AddDivergeCommand(CLI::App* audit, Context* context);
void AddLogCommands(CLI::App* app, Context* context);
void AddOfflineCommands(CLI::App* app, Context* context);
void AddCompletionCommand(CLI::App* app, Context* context);

// Builds the whole command line, parses it, runs the command and returns the exit code.
int Main(int argc, const char* const* argv);

}  // namespace stele::client::cli
