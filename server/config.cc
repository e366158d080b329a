#include "server/config.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <system_error>
#include <toml.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/exit_code.h"
#include "server/version.h"

namespace stele::server {
namespace {

using TomlValue = toml::basic_value<toml::discard_comments, std::map, std::vector>;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// `where` says which source gave the value, e.g. "flag --listen".
absl::Status Apply(const Setting& setting, std::string_view text, const std::string& where,
                   Config* config) {
  absl::Status status = setting.apply(text, config);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", status.message()));
}

absl::Status ApplyDefaults(Config* config) {
  for (const Setting& setting : Settings()) {
    const std::string where = absl::StrCat("default of ", View(setting.name));
    if (absl::Status status = Apply(setting, setting.default_text, where, config); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : Settings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

absl::Status ApplyTomlValue(const std::string& path, const std::string& key, const TomlValue& value,
                            Config* config) {
  const std::string where = absl::StrCat(path, " line ", value.location().line(), ", key ", key);
  const Setting* setting = FindSetting(key);
  if (setting == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": there is no such setting; stele-server --help lists them"));
  }
  if (value.is_string()) return Apply(*setting, value.as_string().str, where, config);
  if (value.is_integer()) {
    return Apply(*setting, std::to_string(value.as_integer()), where, config);
  }
  if (value.is_boolean()) {
    return Apply(*setting, value.as_boolean() ? "true" : "false", where, config);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": the value must be a string, a whole number, true or false"));
}

absl::Status ApplyFile(const std::string& path, Config* config) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("configuration file ", path, ": ",
                     error ? error.message() : std::string("not a regular file")));
  }
  TomlValue root;
  try {
    root = toml::parse<toml::discard_comments, std::map, std::vector>(path);
  } catch (const std::exception& failure) {
    return absl::InvalidArgumentError(
        absl::StrCat("configuration file ", path, " is not TOML: ", failure.what()));
  }
  for (const auto& [key, value] : root.as_table()) {
    if (absl::Status status = ApplyTomlValue(path, key, value, config); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ApplyEnvironment(const Environment& environment, Config* config) {
  for (const Setting& setting : Settings()) {
    const std::string name = EnvironmentName(setting.name);
    const char* value = environment(name.c_str());
    if (value == nullptr) continue;
    absl::Status status =
        Apply(setting, value, absl::StrCat("environment variable ", name), config);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

constexpr size_t kHelpWidth = 68;
constexpr size_t kHelpColumn = 32;
constexpr char kFooter[] =
    "Every setting may also stand in the environment (STELE_ and its name in capitals) and, under "
    "its "
    "name, in the\nTOML file of --config; a flag wins over the environment, the environment over "
    "the "
    "file.\n\nExit codes:\n";

// The parser and where it puts what it found.
struct Parser {
  CLI::App app{"Deterministic vector memory database: serves the gRPC API of stele.v1.",
               "stele-server"};
  std::vector<std::pair<const Setting*, CLI::Option*>> settings;
  std::string config_path;
  std::string snapshot_path;
  std::vector<std::string> new_key;
  std::vector<std::string> hash_key;
  bool verify = false;
  bool health_check = false;
  bool version = false;
};

// Lines of at most kHelpWidth; the parser indents what follows a line break.
std::string Wrap(absl::string_view text) {
  std::string wrapped;
  size_t line = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const bool fits = line == 0 || line + 1 + word.size() <= kHelpWidth;
    absl::StrAppend(&wrapped, line == 0 ? "" : fits ? " " : "\n", word);
    line = fits && line != 0 ? line + 1 + word.size() : word.size();
  }
  return wrapped;
}

void AddModes(Parser* parser) {
  CLI::Option_group* modes = parser->app.add_option_group(
      "Instead of serving", "At most one of these; it does its work and exits.");
  modes->require_option(0, 1);
  modes->add_flag("--verify", parser->verify,
                  "Rebuild the state from the log alone and compare every root on the way.");
  modes
      ->add_option("--restore", parser->snapshot_path,
                   "Make --data-dir from a snapshot, as a new log that names its parent.")
      ->type_name("SNAPSHOT");
  modes->add_option("--new-key", parser->new_key, "Print a new API key and its keys-file line.")
      ->type_name("NAME ROLE")
      ->type_size(2)
      ->expected(1);
  modes
      ->add_option("--hash-key", parser->hash_key,
                   "Read an API key from standard input and print its keys-file line.")
      ->type_name("NAME ROLE")
      ->type_size(2)
      ->expected(1);
  modes->add_flag("--health-check", parser->health_check,
                  "Ask the server of these settings whether it serves.");
  modes->add_flag("--version", parser->version, "Print the version.");
}

void AddSettings(Parser* parser) {
  parser->app.add_option("--config", parser->config_path, "TOML file with settings [STELE_CONFIG]")
      ->type_name("FILE");
  for (const Setting& setting : Settings()) {
    const std::string flag = absl::StrCat("--", View(setting.name));
    const absl::string_view value =
        setting.default_text.empty() ? "empty" : View(setting.default_text);
    const std::string help = Wrap(absl::StrCat(View(setting.help), " [default: ", value, "]"));
    CLI::Option* option = nullptr;
    if (setting.value.empty()) {
      option = parser->app.add_flag(flag, help);
    } else {
      option = parser->app.add_option(flag, help)->type_name(std::string(setting.value));
    }
    parser->settings.emplace_back(&setting, option);
  }
}

// CLI11 takes the arguments last first, and `--name=` only as two: a flag and an empty value.
std::vector<std::string> ForParser(const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed;
  for (auto argument = arguments.rbegin(); argument != arguments.rend(); ++argument) {
    if (argument->starts_with("--") && argument->ends_with("=")) {
      reversed.emplace_back();
      reversed.push_back(argument->substr(0, argument->size() - 1));
    } else {
      reversed.push_back(*argument);
    }
  }
  return reversed;
}

absl::Status ApplyFlags(const Parser& parser, Config* config) {
  for (const auto& [setting, option] : parser.settings) {
    if (option->count() == 0) continue;
    const std::string where = absl::StrCat("flag --", View(setting->name));
    if (absl::Status status = Apply(*setting, option->results().back(), where, config);
        !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

void TakeMode(const Parser& parser, CommandLine* line) {
  if (parser.version) {
    line->mode = Mode::kPrintText;
    line->text = absl::StrCat("stele-server ", std::string(kVersion), "\n");
  } else if (parser.verify) {
    line->mode = Mode::kVerify;
  } else if (!parser.snapshot_path.empty()) {
    line->mode = Mode::kRestore;
    line->snapshot_path = parser.snapshot_path;
  } else if (parser.health_check) {
    line->mode = Mode::kHealthCheck;
  } else if (!parser.new_key.empty() || !parser.hash_key.empty()) {
    const bool make = !parser.new_key.empty();
    const std::vector<std::string>& words = make ? parser.new_key : parser.hash_key;
    line->mode = make ? Mode::kNewKey : Mode::kHashKey;
    line->key_name = words[0];
    line->key_role = words[1];
  }
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const Environment& environment) {
  Parser parser;
  AddModes(&parser);
  AddSettings(&parser);
  parser.app.get_formatter()->column_width(kHelpColumn);
  parser.app.footer(kFooter + ExitCodeText());
  CommandLine line;
  try {
    parser.app.parse(ForParser(arguments));
  } catch (const CLI::CallForHelp&) {
    line.mode = Mode::kPrintText;
    line.text = parser.app.help();
    return line;
  } catch (const CLI::ParseError& failure) {
    return absl::InvalidArgumentError(
        absl::StrCat(failure.what(), "; stele-server --help lists the flags"));
  }
  TakeMode(parser, &line);
  if (line.mode == Mode::kPrintText) return line;
  absl::Status status = ApplyDefaults(&line.config);
  const char* named = environment("STELE_CONFIG");
  const std::string path =
      !parser.config_path.empty() || named == nullptr ? parser.config_path : std::string(named);
  if (status.ok() && !path.empty()) status = ApplyFile(path, &line.config);
  if (status.ok()) status = ApplyEnvironment(environment, &line.config);
  if (status.ok()) status = ApplyFlags(parser, &line.config);
  if (!status.ok()) return status;
  return line;
}

absl::Status CheckServing(const Config& config) {
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    return absl::InvalidArgumentError("tls-cert and tls-key belong together: give both or neither");
  }
  if (!config.tls_client_ca.empty() && config.tls_cert.empty()) {
    return absl::InvalidArgumentError("tls-client-ca needs TLS: give tls-cert and tls-key too");
  }
  if (config.insecure_no_auth && !config.keys_file.empty()) {
    return absl::InvalidArgumentError(
        "insecure-no-auth contradicts keys-file: drop one of them, it is not clear which is meant");
  }
  if (!config.listen.IsLoopback() && config.keys_file.empty() && !config.insecure_no_auth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "listen: ", config.listen.ToString(),
        " can be reached from other machines, and no keys-file says who may call. Make a key with "
        "stele-server --new-key NAME ROLE and give --keys-file; or listen on 127.0.0.1; or give "
        "--insecure-no-auth, and anyone who reaches the port can read, write and drop everything"));
  }
  return absl::OkStatus();
}

}  // namespace stele::server
