// If this failed: a setting could be misread, a typing error in a configuration be passed over in
// silence, a server listen to the world without keys, or docs/operations.md tell something else
// than the code.
#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "server/exit_code.h"
#include "server/tile_unit.h"

namespace stele::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& arguments,
                                  const Variables& variables = {}) {
  return ParseCommandLine(arguments, [&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string Refusal(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  const absl::StatusOr<CommandLine> line = Parse(arguments, variables);
  EXPECT_EQ(line.status().code(), absl::StatusCode::kInvalidArgument) << line.status();
  EXPECT_EQ(ExitCodeOf(line.status()), ExitCode::kUsage);
  return std::string(line.status().message());
}

class ConfigFile : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "config_test_" + std::to_string(getpid()) + ".toml";
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void Write(const std::string& text) { std::ofstream(path_) << text; }

  std::string path_;
};

TEST(Config, Defaults) {
  const absl::StatusOr<CommandLine> line = Parse({});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->mode, Mode::kServe);
  const Config& config = line->config;
  EXPECT_EQ(config.data_directory, "./stele-data");
  EXPECT_EQ(config.listen.ToString(), "127.0.0.1:7420");
  ASSERT_TRUE(config.http_listen.has_value());
  EXPECT_EQ(config.http_listen->ToString(), "127.0.0.1:7421");
  EXPECT_EQ(config.keys_file, "");
  EXPECT_FALSE(config.insecure_no_auth);
  EXPECT_EQ(config.search_threads, 0u);
  EXPECT_EQ(config.search_join_max, 32u);
  EXPECT_EQ(config.kernels, nullptr);
  EXPECT_EQ(config.history_entries, 10000u);
  EXPECT_EQ(config.snapshot_log_bytes, 256u << 20);
  EXPECT_EQ(config.snapshots_kept, 2u);
  EXPECT_EQ(config.queue_bytes_max, 256u << 20);
  EXPECT_EQ(config.memory_limit_bytes, 0u);
  EXPECT_EQ(config.ballast_bytes, 64u << 20);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_EQ(config.log_format, LogFormat::kText);
  EXPECT_TRUE(CheckServing(config).ok());
}

// Every setting by every source, with a value that is not its default.
TEST_F(ConfigFile, EverySettingBySource) {
  const Variables values = {{"data-dir", "/x"},
                            {"listen", "127.0.0.1:1"},
                            {"http-listen", "127.0.0.1:2"},
                            {"keys-file", "k"},
                            {"tls-cert", "c"},
                            {"tls-key", "y"},
                            {"tls-client-ca", "a"},
                            {"insecure-no-auth", "true"},
                            {"search-threads", "3"},
                            {"search-join-max", "2"},
                            {"kernel", "scalar"},
                            {"history-entries", "4"},
                            {"snapshot-log-bytes", "5KiB"},
                            {"snapshots-kept", "6"},
                            {"queue-bytes-max", "7MiB"},
                            {"memory-limit", "1GiB"},
                            {"ballast-bytes", "3MiB"},
                            {"signing-key", "s"},
                            {"witness-keys", "w"},
                            {"checkpoint-entries", "8"},
                            {"checkpoint-seconds", "9"},
                            {"log-level", "error"},
                            {"log-format", "json"}};
  ASSERT_EQ(values.size(), Settings().size()) << "a setting is not tested";
  std::vector<std::string> arguments;
  Variables variables;
  std::string toml;
  for (const auto& [name, value] : values) {
    arguments.push_back("--" + name + "=" + value);
    variables[EnvironmentName(name)] = value;
    toml += name + " = \"" + value + "\"\n";
  }
  Write(toml);
  for (const absl::StatusOr<CommandLine>& line :
       {Parse(arguments), Parse({}, variables), Parse({"--config", path_}),
        Parse({}, {{"STELE_CONFIG", path_}})}) {
    ASSERT_TRUE(line.ok()) << line.status();
    const Config& config = line->config;
    EXPECT_EQ(config.data_directory, "/x");
    EXPECT_EQ(config.listen.ToString(), "127.0.0.1:1");
    EXPECT_EQ(config.http_listen->ToString(), "127.0.0.1:2");
    EXPECT_EQ(config.keys_file + config.tls_cert + config.tls_key + config.tls_client_ca, "kcya");
    EXPECT_TRUE(config.insecure_no_auth);
    EXPECT_EQ(config.search_threads, 3u);
    EXPECT_EQ(config.search_join_max, 2u);
    ASSERT_NE(config.kernels, nullptr);
    EXPECT_STREQ(config.kernels->name, "scalar");
    EXPECT_EQ(config.history_entries, 4u);
    EXPECT_EQ(config.snapshot_log_bytes, 5u << 10);
    EXPECT_EQ(config.snapshots_kept, 6u);
    EXPECT_EQ(config.queue_bytes_max, 7u << 20);
    EXPECT_EQ(config.signing_key, "s");
    EXPECT_EQ(config.checkpoint_entries, 8u);
    EXPECT_EQ(config.checkpoint_seconds, 9u);
    EXPECT_EQ(config.log_level, LogLevel::kError);
    EXPECT_EQ(config.log_format, LogFormat::kJson);
  }
}

TEST_F(ConfigFile, FlagBeatsEnvironmentBeatsFile) {
  Write("search-threads = 1\nhistory-entries = 1\nsnapshots-kept = 1\n");
  const absl::StatusOr<CommandLine> line =
      Parse({"--config", path_, "--search-threads", "3"},
            {{"STELE_SEARCH_THREADS", "2"}, {"STELE_HISTORY_ENTRIES", "2"}});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.search_threads, 3u);
  EXPECT_EQ(line->config.history_entries, 2u);
  EXPECT_EQ(line->config.snapshots_kept, 1u);
}

TEST_F(ConfigFile, FlagNamesTheFileBeforeTheEnvironment) {
  Write("snapshots-kept = 9\n");
  const absl::StatusOr<CommandLine> line =
      Parse({"--config", path_}, {{"STELE_CONFIG", "/does/not/exist"}});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.snapshots_kept, 9u);
}

TEST_F(ConfigFile, ErrorsNameFileLineAndKey) {
  Write("# a comment\nsnapshots-kept = 3\nsnapshot-kept = 3\n");
  EXPECT_THAT(Refusal({"--config", path_}),
              AllOf(HasSubstr(path_ + " line 3"), HasSubstr("snapshot-kept"), HasSubstr("--help")));
  Write("\n\nsnapshots-kept = 0\n");
  EXPECT_THAT(Refusal({"--config", path_}),
              AllOf(HasSubstr(path_ + " line 3"), HasSubstr("snapshots-kept"),
                    HasSubstr("\"0\" is not a whole number from 1 to 1000")));
  Write("listen = [1]\n");
  EXPECT_THAT(Refusal({"--config", path_}), AllOf(HasSubstr("line 1"), HasSubstr("listen")));
  Write("[server]\nlisten = \"127.0.0.1:1\"\n");
  EXPECT_THAT(Refusal({"--config", path_}), AllOf(HasSubstr("line 1"), HasSubstr("server")));
  Write("listen = \n");
  EXPECT_THAT(Refusal({"--config", path_}), AllOf(HasSubstr(path_), HasSubstr("not TOML")));
  Write("listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n");
  EXPECT_THAT(Refusal({"--config", path_}), HasSubstr(path_));
}

// A value that a stronger source overrides is still checked: it will count on the next start.
TEST_F(ConfigFile, OverriddenValuesAreChecked) {
  Write("log-level = \"loud\"\n");
  EXPECT_THAT(Refusal({"--config", path_, "--log-level", "info"}), HasSubstr("loud"));
}

TEST(Config, MissingFile) {
  EXPECT_THAT(Refusal({"--config", "/does/not/exist.toml"}), HasSubstr("/does/not/exist.toml"));
  EXPECT_THAT(Refusal({"--config", "/tmp"}), HasSubstr("not a regular file"));
}

TEST(Config, BadFlags) {
  EXPECT_THAT(Refusal({"--lisen=127.0.0.1:1"}), AllOf(HasSubstr("--lisen"), HasSubstr("--help")));
  EXPECT_THAT(Refusal({"serve"}), HasSubstr("serve"));
  EXPECT_THAT(Refusal({"--listen"}), HasSubstr("--listen"));
  EXPECT_THAT(Refusal({"--listen", "a:1", "--listen", "b:2"}), HasSubstr("--listen"));
  EXPECT_THAT(Refusal({"--verify", "--health-check"}), HasSubstr("verify"));
  EXPECT_THAT(Refusal({"--new-key", "name"}), HasSubstr("--new-key"));
}

TEST(Config, BadValuesNameTheirSource) {
  EXPECT_THAT(Refusal({"--search-threads=many"}),
              AllOf(HasSubstr("flag --search-threads"), HasSubstr("many"), HasSubstr("1024")));
  EXPECT_THAT(Refusal({}, {{"STELE_SEARCH_THREADS", "-1"}}),
              AllOf(HasSubstr("environment variable STELE_SEARCH_THREADS"), HasSubstr("-1")));
}

struct BadValue {
  const char* name;
  const char* value;
};

class BadValues : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValues, AreRefused) {
  const std::string name = GetParam().name;
  EXPECT_THAT(Refusal({"--" + name + "=" + GetParam().value}), HasSubstr("flag --" + name));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadValues,
    ::testing::Values(
        BadValue{"listen", ""}, BadValue{"listen", "7420"}, BadValue{"listen", "127.0.0.1"},
        BadValue{"listen", ":7420"}, BadValue{"listen", "127.0.0.1:"},
        BadValue{"listen", "127.0.0.1:65536"}, BadValue{"listen", "127.0.0.1:-1"},
        BadValue{"listen", "127.0.0.1: 1"}, BadValue{"listen", "::1:7420"},
        BadValue{"listen", "[127.0.0.1]:1"}, BadValue{"listen", "a b:1"},
        BadValue{"http-listen", "off"}, BadValue{"http-listen", "[::1]:7421"},
        BadValue{"data-dir", ""}, BadValue{"kernel", ""}, BadValue{"kernel", "sse9"},
        BadValue{"history-entries", "1e3"}, BadValue{"history-entries", "18446744073709551616"},
        BadValue{"search-threads", "1025"}, BadValue{"snapshot-log-bytes", "1MB"},
        BadValue{"snapshot-log-bytes", "MiB"},
        BadValue{"snapshot-log-bytes", "18446744073709551615GiB"}, BadValue{"queue-bytes-max", "0"},
        BadValue{"queue-bytes-max", "1 MiB"}, BadValue{"insecure-no-auth", "maybe"},
        BadValue{"log-level", "INFO"}, BadValue{"log-format", "xml"}));

TEST(Config, KernelThatThisMachineLacks) {
  for (const char* name : {"avx2", "avx512", "avx512vnni", "avx512amx", "neon", "neondot"}) {
    const std::string flag = std::string("--kernel=") + name;
    if (KernelsByName(name) != nullptr) {
      EXPECT_TRUE(Parse({flag}).ok());
    } else {
      EXPECT_THAT(Refusal({flag}), AllOf(HasSubstr("this processor cannot"), HasSubstr(name)));
    }
  }
  EXPECT_THAT(Refusal({}, {{"STELE_KERNEL", "neon9"}}), HasSubstr("STELE_KERNEL"));
}

TEST(Config, EmptyTurnsHttpOff) {
  EXPECT_FALSE(Parse({"--http-listen", ""})->config.http_listen.has_value());
  EXPECT_FALSE(Parse({"--http-listen="})->config.http_listen.has_value());
  EXPECT_FALSE(Parse({}, {{"STELE_HTTP_LISTEN", ""}})->config.http_listen.has_value());
}

TEST(Config, Modes) {
  EXPECT_EQ(Parse({"--verify"})->mode, Mode::kVerify);
  EXPECT_EQ(Parse({"--health-check"})->mode, Mode::kHealthCheck);
  const absl::StatusOr<CommandLine> restore = Parse({"--restore", "s.snap", "--data-dir", "d"});
  EXPECT_EQ(restore->mode, Mode::kRestore);
  EXPECT_EQ(restore->snapshot_path, "s.snap");
  EXPECT_EQ(restore->config.data_directory, "d");
  const absl::StatusOr<CommandLine> key = Parse({"--new-key", "alice", "writer"});
  EXPECT_EQ(key->mode, Mode::kNewKey);
  EXPECT_EQ(key->key_name + key->key_role, "alicewriter");
  EXPECT_EQ(Parse({"--hash-key", "alice", "writer"})->mode, Mode::kHashKey);
}

// They must work under a broken configuration, too.
TEST(Config, HelpAndVersionAlwaysWork) {
  const Variables broken = {{"STELE_LISTEN", "nonsense"}};
  const absl::StatusOr<CommandLine> help = Parse({"--help"}, broken);
  ASSERT_TRUE(help.ok());
  EXPECT_EQ(help->mode, Mode::kPrintText);
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(help->text, HasSubstr("--" + std::string(setting.name)));
  }
  EXPECT_THAT(help->text, HasSubstr("read, write and drop everything"));
  EXPECT_THAT(help->text, HasSubstr("Exit codes"));
  EXPECT_THAT(Parse({"--version"}, broken)->text, HasSubstr("stele-server "));
}

TEST(Config, ListenBeyondLoopbackNeedsKeysOrTheFlag) {
  for (const char* listen :
       {"0.0.0.0:1", "[::]:1", "192.168.1.2:1", "example.org:1", "128.0.0.1:1"}) {
    const std::string flag = std::string("--listen=") + listen;
    const absl::Status status = CheckServing(Parse({flag})->config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("--insecure-no-auth"), HasSubstr("--keys-file"),
                      HasSubstr("read, write and drop everything")));
    EXPECT_TRUE(CheckServing(Parse({flag, "--keys-file=k"})->config).ok());
    EXPECT_TRUE(CheckServing(Parse({flag, "--insecure-no-auth"})->config).ok());
    EXPECT_FALSE(CheckServing(Parse({flag, "--insecure-no-auth=false"})->config).ok());
  }
  for (const char* listen : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(CheckServing(Parse({std::string("--listen=") + listen})->config).ok()) << listen;
  }
}

// Certificates alone say who somebody is, not what he may do.
TEST(Config, ClientCertificatesDoNotReplaceTheKeysFile) {
  EXPECT_FALSE(
      CheckServing(
          Parse({"--listen=0.0.0.0:1", "--tls-cert=c", "--tls-key=k", "--tls-client-ca=a"})->config)
          .ok());
}

TEST(Config, SettingsThatBelongTogether) {
  EXPECT_FALSE(CheckServing(Parse({"--tls-cert=c"})->config).ok());
  EXPECT_FALSE(CheckServing(Parse({"--tls-key=c"})->config).ok());
  EXPECT_FALSE(CheckServing(Parse({"--tls-client-ca=c"})->config).ok());
  EXPECT_FALSE(CheckServing(Parse({"--keys-file=k", "--insecure-no-auth"})->config).ok());
}

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(STELE_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(OperationsDocument, HoldsTheTableOfSettings) {
  EXPECT_THAT(ReadSource("docs/operations.md"), HasSubstr(SettingsTable()));
}

TEST(OperationsDocument, HoldsTheExitCodes) {
  EXPECT_THAT(ReadSource("docs/operations.md"), HasSubstr("```\n" + ExitCodeText() + "```"));
}

TEST(ExampleConfiguration, IsValidAndNamesEverySetting) {
  const std::string path = std::string(STELE_SOURCE_DIR) + "/deploy/stele.toml";
  const absl::StatusOr<CommandLine> line = Parse({"--config", path});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.data_directory, "/var/lib/stele");
  const std::string text = ReadSource("deploy/stele.toml");
  for (const Setting& setting : Settings()) {
    EXPECT_TRUE(text.find("\n" + std::string(setting.name) + " = ") != std::string::npos ||
                text.find("\n# " + std::string(setting.name) + " = ") != std::string::npos)
        << setting.name;
  }
}

// What the commented lines show must be right, too.
TEST_F(ConfigFile, ExampleConfigurationWithEverythingTurnedOn) {
  std::string text = ReadSource("deploy/stele.toml");
  for (const Setting& setting : Settings()) {
    const std::string commented = "\n# " + std::string(setting.name) + " = ";
    const size_t at = text.find(commented);
    if (at != std::string::npos) text.erase(at + 1, 2);
  }
  Write(text);
  EXPECT_TRUE(Parse({"--config", path_}).ok()) << Parse({"--config", path_}).status();
}

}  // namespace
}  // namespace stele::server
