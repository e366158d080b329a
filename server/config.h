// Configuration: flags, environment variables and a TOML file; flag > environment > file > default.
//
// Every setting is defined once, in settings.cc; --help, the TOML keys, the environment variables
// and the table in docs/operations.md all come from there.
//
// It reads the configuration file and nothing else: no keys, certificates or data directories.
//
// Thread safety: pure functions of their arguments and of the file.
//
// Invariant: every value that is given is checked, also one that a stronger source overrides.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/kernels.h"
#include "server/address.h"
#include "server/logging.h"

namespace stele::server {

struct Config {
  std::string data_directory;
  Address listen;
  std::optional<Address> http_listen;
  std::string keys_file;
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  bool insecure_no_auth = false;
  uint32_t search_threads = 0;
  uint32_t search_join_max = 0;
  const index::Kernels* kernels = nullptr;  // null: the best of this machine
  uint64_t history_entries = 0;
  uint64_t snapshot_log_bytes = 0;
  uint32_t snapshots_kept = 0;
  uint64_t queue_bytes_max = 0;
  uint64_t memory_limit_bytes = 0;  // 0: none
  uint64_t ballast_bytes = 0;
  std::string signing_key;
  std::string witness_keys;
  uint64_t checkpoint_entries = 0;
  uint64_t checkpoint_seconds = 0;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
};

// One setting. Flag --NAME, TOML key NAME, environment variable STELE_NAME.
struct Setting {
  std::string_view name;
  std::string_view value;         // what it takes, e.g. "BYTES"; empty for a switch
  std::string_view default_text;  // as it would be given
  std::string_view help;
  // Reads `text` into the config. INVALID_ARGUMENT: what is wrong and what would be right.
  absl::Status (*apply)(std::string_view text, Config* config);
};

std::span<const Setting> Settings();
// "data-dir" -> "STELE_DATA_DIR".
std::string EnvironmentName(std::string_view setting);
// The table of docs/operations.md, in Markdown.
std::string SettingsTable();

enum class Mode : uint8_t {
  kServe,
  kVerify,
  kRestore,
  kNewKey,
  kHashKey,
  kHealthCheck,
  kPrintText  // --help, --version
};

struct CommandLine {
  Mode mode = Mode::kServe;
  Config config;
  std::string snapshot_path;  // kRestore
  std::string key_name;       // kNewKey, kHashKey
  std::string key_role;
  std::string text;  // kPrintText
};

// Null where the variable is not set.
using Environment = std::function<const char*(const char* name)>;

// `arguments` without the program's name. INVALID_ARGUMENT: what, where (flag, variable, file and
// line) and what to do.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const Environment& environment);

// What only a server that serves must satisfy: settings that belong together, and no open port
// without authentication by accident. INVALID_ARGUMENT.
absl::Status CheckServing(const Config& config);

}  // namespace stele::server
