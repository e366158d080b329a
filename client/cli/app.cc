#include "client/cli/app.h"

#include <cstdio>

namespace stele::client::cli {
namespace {

constexpr char kFooter[] =
    "Every command takes the global options, before or after its own.\n"
    "Exit codes: 0 ok, 1 error, 2 usage, 3 unavailable or timeout, 4 not found, 5 conflict,\n"
    "6 data loss or failed verification, 7 authentication, 8 the log was rolled back or forked,\n"
    "9 a golden retrieval test failed, 10 verified but for what was erased.";

void AddGlobalOptions(CLI::App* app, Context* context) {
  app->add_option("--address", context->address, "Server, HOST:PORT")
      ->envname("STELE_ADDRESS")
      ->capture_default_str()
      ->group("Global options");
  app->add_option("--api-key-file", context->api_key_file,
                  "File with the API key (otherwise the key is taken from STELE_API_KEY)")
      ->check(CLI::ExistingFile)
      ->group("Global options");
  app->add_flag("--tls", context->tls.enabled, "Use TLS with the system's authorities")
      ->group("Global options");
  app->add_option("--tls-ca", context->tls.ca_file, "PEM file of the certificate authority")
      ->check(CLI::ExistingFile)
      ->group("Global options");
  app->add_option("--tls-cert", context->tls.cert_file, "PEM file of the client certificate")
      ->check(CLI::ExistingFile)
      ->group("Global options");
  app->add_option("--tls-key", context->tls.key_file, "PEM file of the client key")
      ->check(CLI::ExistingFile)
      ->group("Global options");
  app->add_option("--tls-server-name", context->tls.server_name,
                  "Name to check the server's certificate against")
      ->group("Global options");
  app->add_option("--timeout", context->timeout_seconds,
                  "Seconds for each call with its retries (default 10; import 60 without progress)")
      ->check(CLI::PositiveNumber)
      ->group("Global options");
  app->add_flag("--json", context->json, "Print results and errors as JSON")
      ->group("Global options");
}

// CLI11 takes "[x]" for a list wherever an option may have several values, but ids may look like
// that. Such arguments are marked before parsing, and every option removes the mark first.
constexpr char kMark = '\x01';

std::string Marked(const std::string& argument) {
  const bool is_list_like =
      argument.size() >= 2 && argument.front() == '[' && argument.back() == ']';
  return is_list_like ? kMark + argument : argument;
}

void RemoveMarks(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) {
    option->transform([](const std::string& value) {
      return !value.empty() && value.front() == kMark ? value.substr(1) : value;
    });
  }
  for (CLI::App* command : app->get_subcommands({})) RemoveMarks(command);
}

}  // namespace

std::unique_ptr<CLI::App> BuildApp(Context* context) {
  auto app =
      std::make_unique<CLI::App>("Command line of Stele, the deterministic vector memory", "stele");
  app->footer(kFooter);
  app->set_version_flag("--version", "stele " STELE_VERSION);
  app->require_subcommand(1);
  app->fallthrough();
  AddGlobalOptions(app.get(), context);
  AddServerCommands(app.get(), context);
  AddCollectionCommands(app.get(), context);
  AddTransferCommands(app.get(), context);
  AddWriteCommands(app.get(), context);
  AddErasureCommands(app.get(), context);
  AddPolicyCommands(app.get(), context);
  AddReadCommands(app.get(), context);
  AddSearchCommand(app.get(), context);
  AddHistoryCommands(app.get(), context);
  AddCompareCommands(app.get(), context);
  AddAuditCommands(app.get(), context);
  AddGoldenCommands(app.get(), context);
  AddLogCommands(app.get(), context);
  AddOfflineCommands(app.get(), context);
  AddCompletionCommand(app.get(), context);
  RemoveMarks(app.get());
  return app;
}

int Main(int argc, const char* const* argv) {
  Context context;
  const std::unique_ptr<CLI::App> app = BuildApp(&context);
  // The parser takes its arguments from the back.
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) arguments.push_back(Marked(argv[i]));
  try {
    app->parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    // Prints help to standard output, errors to standard error.
    return app->exit(error) == 0 ? kExitOk : kExitUsage;
  }
  const absl::Status status = context.run();
  if (!status.ok()) PrintError(status, context.json);
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if (status.ok() && !written) {
    std::fprintf(stderr, "stele: cannot write to standard output\n");
    return kExitError;
  }
  return ExitCodeFor(status);
}

}  // namespace stele::client::cli
