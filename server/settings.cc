// The one definition of every setting.
#include <charconv>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/config.h"
#include "server/tile_unit.h"

namespace stele::server {
namespace {

constexpr uint64_t kMebi = uint64_t{1} << 20;
constexpr uint64_t kTebi = uint64_t{1} << 40;
constexpr uint64_t kPebi = uint64_t{1} << 50;

absl::Status Bad(std::string_view text, absl::string_view wanted) {
  const absl::string_view view(text.data(), text.size());
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CHexEscape(view), "\" is not ", wanted));
}

absl::StatusOr<uint64_t> ParseCount(std::string_view text, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Bad(text, absl::StrCat("a whole number from ", least, " to ", most));
  }
  return value;
}

// Bytes, or with one of the units KiB, MiB, GiB.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text, uint64_t least, uint64_t most) {
  struct Unit {
    std::string_view name;
    unsigned shift;
  };
  constexpr Unit kUnits[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
  unsigned shift = 0;
  std::string_view digits = text;
  for (const Unit& unit : kUnits) {
    if (text.ends_with(unit.name)) {
      shift = unit.shift;
      digits.remove_suffix(unit.name.size());
    }
  }
  const absl::StatusOr<uint64_t> count = ParseCount(digits, 0, most >> shift);
  if (!count.ok() || (*count << shift) < least) {
    return Bad(text, absl::StrCat("a size from ", least, " to ", most,
                                  " bytes; write e.g. 1048576 or 256MiB (KiB, MiB, GiB)"));
  }
  return *count << shift;
}

absl::StatusOr<bool> ParseSwitch(std::string_view text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return Bad(text, "true or false");
}

template <typename T>
absl::Status Store(const absl::StatusOr<uint64_t>& value, T* field) {
  if (value.ok()) *field = static_cast<T>(*value);
  return value.status();
}

absl::Status StorePath(std::string_view text, bool may_be_empty, std::string* field) {
  if (text.empty() && !may_be_empty) return Bad(text, "a path");
  if (text.find('\0') != std::string_view::npos) return Bad(text, "a path");
  *field = std::string(text);
  return absl::OkStatus();
}

absl::Status ApplyListen(std::string_view text, Config* config) {
  absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) return address.status();
  config->listen = *std::move(address);
  return absl::OkStatus();
}

absl::Status ApplyHttpListen(std::string_view text, Config* config) {
  config->http_listen.reset();
  if (text.empty()) return absl::OkStatus();
  absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) return address.status();
  if (address->host.find(':') != std::string::npos) {
    return Bad(text, "an IPv4 address; /metrics and /healthz are served on IPv4 only");
  }
  config->http_listen = *std::move(address);
  return absl::OkStatus();
}

absl::Status ApplyKernel(std::string_view text, Config* config) {
  config->kernels = nullptr;
  if (text == "auto") return absl::OkStatus();
  constexpr std::string_view kKnown[] = {"scalar",    "avx2", "avx512", "avx512vnni",
                                         "avx512amx", "neon", "neondot"};
  bool known = false;
  for (const std::string_view name : kKnown) known = known || name == text;
  if (!known)
    return Bad(text,
               "a kernel: give auto, scalar, avx2, avx512, avx512vnni, avx512amx, neon or neondot");
  config->kernels = KernelsByName(text);
  if (config->kernels != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "this processor cannot run the kernel \"", absl::string_view(text.data(), text.size()),
      "\"; give auto (here: ", BestKernels().name, ") or scalar"));
}

absl::Status ApplyLogLevel(std::string_view text, Config* config) {
  if (text == "debug") {
    config->log_level = LogLevel::kDebug;
  } else if (text == "info") {
    config->log_level = LogLevel::kInfo;
  } else if (text == "warn") {
    config->log_level = LogLevel::kWarn;
  } else if (text == "error") {
    config->log_level = LogLevel::kError;
  } else {
    return Bad(text, "a log level: give debug, info, warn or error");
  }
  return absl::OkStatus();
}

absl::Status ApplyLogFormat(std::string_view text, Config* config) {
  if (text != "json" && text != "text") return Bad(text, "a log format: give json or text");
  config->log_format = text == "json" ? LogFormat::kJson : LogFormat::kText;
  return absl::OkStatus();
}

constexpr Setting kSettings[] = {
    {"data-dir", "DIRECTORY", "./stele-data",
     "Where the log and the snapshots live. Made if it is not there.",
     [](std::string_view text, Config* config) {
       return StorePath(text, false, &config->data_directory);
     }},
    {"listen", "HOST:PORT", "127.0.0.1:7420",
     "Where the gRPC API listens. Port 0 takes a free one; the ready line tells which.",
     ApplyListen},
    {"http-listen", "HOST:PORT", "127.0.0.1:7421",
     "Where /metrics and /healthz are served, on IPv4. Empty turns it off.", ApplyHttpListen},
    {"keys-file", "FILE", "",
     "Who may call, one line each: NAME ROLE sha256:HEX, or cn:COMMON NAME ROLE. SIGHUP reads it "
     "again. Empty: no authentication, on loopback only.",
     [](std::string_view text, Config* config) {
       return StorePath(text, true, &config->keys_file);
     }},
    {"tls-cert", "FILE", "", "Certificate chain of the server, PEM. Empty: no TLS.",
     [](std::string_view text, Config* config) {
       return StorePath(text, true, &config->tls_cert);
     }},
    {"tls-key", "FILE", "", "Private key of the certificate, PEM.",
     [](std::string_view text, Config* config) { return StorePath(text, true, &config->tls_key); }},
    {"tls-client-ca", "FILE", "",
     "Authorities of client certificates, PEM. When given, every client must show a certificate "
     "that one of them signed.",
     [](std::string_view text, Config* config) {
       return StorePath(text, true, &config->tls_client_ca);
     }},
    {"insecure-no-auth", "", "false",
     "Listen beyond loopback without a keys file. What it gives up: anyone who reaches the port "
     "can "
     "read, write and drop everything.",
     [](std::string_view text, Config* config) {
       const absl::StatusOr<bool> value = ParseSwitch(text);
       if (value.ok()) config->insecure_no_auth = *value;
       return value.status();
     }},
    {"search-threads", "COUNT", "0", "Threads that scan for searches; 0 means one for each core.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 0, 1024), &config->search_threads);
     }},
    {"search-join-max", "COUNT", "32",
     "The most searches of one large collection that share a pass over its memory when they come "
     "at the same time; 1 turns that off.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 1, 1024), &config->search_join_max);
     }},
    {"kernel", "NAME", "auto",
     "Distance kernel: auto, scalar, avx2, avx512, avx512vnni, avx512amx, neon or neondot. All "
     "give "
     "the same answers; a kernel that this processor cannot run is refused.",
     ApplyKernel},
    {"history-entries", "COUNT", "10000",
     "How many log entries back at_index and page tokens reach. More keeps more memory.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 0, 1'000'000'000), &config->history_entries);
     }},
    {"snapshot-log-bytes", "BYTES", "256MiB",
     "A snapshot is taken after this much new log; 0 means never. Less shortens a restart.",
     [](std::string_view text, Config* config) {
       return Store(ParseBytes(text, 0, kTebi), &config->snapshot_log_bytes);
     }},
    {"snapshots-kept", "COUNT", "2", "How many of the newest snapshots are kept.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 1, 1000), &config->snapshots_kept);
     }},
    {"queue-bytes-max", "BYTES", "256MiB",
     "Writes that wait beyond this are refused with RESOURCE_EXHAUSTED.",
     [](std::string_view text, Config* config) {
       return Store(ParseBytes(text, kMebi, kTebi), &config->queue_bytes_max);
     }},
    {"memory-limit", "BYTES", "0",
     "Writes are refused with RESOURCE_EXHAUSTED while the process holds more memory than this; "
     "what "
     "only deletes or drops is taken, and reads go on. 0 means no limit.",
     [](std::string_view text, Config* config) {
       return Store(ParseBytes(text, 0, kPebi), &config->memory_limit_bytes);
     }},
    {"ballast-bytes", "BYTES", "64MiB",
     "Room on disk that is held back, in the file ballast, and given up when a start finds the "
     "disk "
     "full; 0 means none. It is not taken from a disk with less than sixteen times that left.",
     [](std::string_view text, Config* config) {
       return Store(ParseBytes(text, 0, kTebi), &config->ballast_bytes);
     }},
    {"signing-key", "FILE", "",
     "Ed25519 private key that signs checkpoints, PEM. Empty: checkpoint-key.pem in the data "
     "directory, made at the first start.",
     [](std::string_view text, Config* config) {
       return StorePath(text, true, &config->signing_key);
     }},
    {"witness-keys", "FILE", "",
     "Verifier keys of witnesses, one a line, whose cosignatures on checkpoints are taken and "
     "served.",
     [](std::string_view text, Config* config) {
       return StorePath(text, true, &config->witness_keys);
     }},
    {"checkpoint-entries", "COUNT", "1000",
     "A checkpoint is signed after this many new log entries; 0 means not by count.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 0, 1'000'000'000), &config->checkpoint_entries);
     }},
    {"checkpoint-seconds", "SECONDS", "60",
     "A checkpoint is signed after this time if there are new log entries; 0 means not by time.",
     [](std::string_view text, Config* config) {
       return Store(ParseCount(text, 0, 31'536'000), &config->checkpoint_seconds);
     }},
    {"log-level", "LEVEL", "info", "debug, info, warn or error.", ApplyLogLevel},
    {"log-format", "FORMAT", "text", "json (one object a line) or text, on standard error.",
     ApplyLogFormat},
};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

std::string EnvironmentName(std::string_view setting) {
  const absl::string_view view(setting.data(), setting.size());
  return "STELE_" + absl::AsciiStrToUpper(absl::StrReplaceAll(view, {{"-", "_"}}));
}

std::string SettingsTable() {
  std::string table =
      "| flag and TOML key | environment | default | meaning |\n|---|---|---|---|\n";
  for (const Setting& setting : kSettings) {
    const absl::string_view name(setting.name.data(), setting.name.size());
    const absl::string_view value(setting.value.data(), setting.value.size());
    const absl::string_view text(setting.default_text.data(), setting.default_text.size());
    const absl::string_view help(setting.help.data(), setting.help.size());
    absl::StrAppend(&table, "| `--", name, value.empty() ? "" : " ", value, "` | `",
                    EnvironmentName(setting.name), "` | ",
                    text.empty() ? "(empty)" : absl::StrCat("`", text, "`"), " | ", help, " |\n");
  }
  return table;
}

}  // namespace stele::server
