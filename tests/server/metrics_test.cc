// If this failed: operators would look at wrong numbers, or the HTTP port could be blocked by one
// client.
#include "server/metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "server/http_endpoint.h"
#include "server/logging.h"

namespace stele::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

EngineSample FullSample() {
  EngineSample sample;
  sample.log_index = 101;
  sample.state_index = 102;
  sample.write_poisoned = true;
  sample.now_micros = 5'500'000;
  sample.stats.entries_applied = 103;
  sample.stats.records_written = 104;
  sample.stats.queue_depth = 105;
  sample.stats.queue_bytes = 106;
  sample.stats.active_readers = 107;
  sample.stats.searches = 108;
  sample.stats.rows_scanned = 109;
  sample.stats.newest_snapshot_index = 110;
  sample.stats.newest_snapshot_micros = 3'000'000;
  sample.stats.journal.appends = 111;
  sample.stats.journal.bytes = 112;
  sample.stats.journal.syncs = 113;
  sample.stats.journal.last_sync_micros = 250'000;
  return sample;
}

// The value after a metric's name (labels included) at the start of a line.
std::string ValueOf(const std::string& text, const std::string& name) {
  const size_t at = ("\n" + text).find("\n" + name + " ");
  if (at == std::string::npos) return "absent";
  return text.substr(at + name.size() + 1, text.find('\n', at) - at - name.size() - 1);
}

TEST(Metrics, EngineValues) {
  Metrics metrics("1.2.3", "avx2");
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_log_index"), "absent");
  metrics.SetSource([] { return FullSample(); });
  const std::string text = metrics.Text();
  EXPECT_EQ(ValueOf(text, "stele_log_index"), "101");
  EXPECT_EQ(ValueOf(text, "stele_state_index"), "102");
  EXPECT_EQ(ValueOf(text, "stele_write_poisoned"), "1");
  EXPECT_EQ(ValueOf(text, "stele_entries_total"), "103");
  EXPECT_EQ(ValueOf(text, "stele_records_written_total"), "104");
  EXPECT_EQ(ValueOf(text, "stele_queue_depth"), "105");
  EXPECT_EQ(ValueOf(text, "stele_queue_bytes"), "106");
  EXPECT_EQ(ValueOf(text, "stele_active_readers"), "107");
  EXPECT_EQ(ValueOf(text, "stele_searches_total"), "108");
  EXPECT_EQ(ValueOf(text, "stele_search_rows_total"), "109");
  EXPECT_EQ(ValueOf(text, "stele_snapshot_index"), "110");
  EXPECT_EQ(ValueOf(text, "stele_snapshot_age_seconds"), "2.5");
  EXPECT_EQ(ValueOf(text, "stele_appends_total"), "111");
  EXPECT_EQ(ValueOf(text, "stele_log_bytes_total"), "112");
  EXPECT_EQ(ValueOf(text, "stele_syncs_total"), "113");
  EXPECT_EQ(ValueOf(text, "stele_sync_seconds"), "0.25");
  EXPECT_EQ(ValueOf(text, "stele_build_info{kernel=\"avx2\",version=\"1.2.3\"}"), "1");
  metrics.SetSource(nullptr);
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_log_index"), "absent");
}

TEST(Metrics, NoSnapshotIsAbsentNotZero) {
  Metrics metrics("1", "scalar");
  metrics.SetSource([] {
    EngineSample sample = FullSample();
    sample.stats.newest_snapshot_index.reset();
    return sample;
  });
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_snapshot_index"), "absent");
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_snapshot_age_seconds"), "absent");
}

TEST(Metrics, AClockSetBackGivesNoNegativeAge) {
  Metrics metrics("1", "scalar");
  metrics.SetSource([] {
    EngineSample sample = FullSample();
    sample.now_micros = 1;
    return sample;
  });
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_snapshot_age_seconds"), "0");
}

TEST(Metrics, Calls) {
  Metrics metrics("1", "scalar");
  metrics.RpcFinished("Write", absl::StatusCode::kOk, 0.002);
  metrics.RpcFinished("WriteStream", absl::StatusCode::kCancelled, 3);
  metrics.RpcFinished("NoSuchMethod", static_cast<absl::StatusCode>(77), 1);
  const std::string text = metrics.Text();
  EXPECT_EQ(ValueOf(text, "stele_rpc_total{code=\"OK\",method=\"Write\"}"), "1");
  EXPECT_EQ(ValueOf(text, "stele_rpc_total{code=\"CANCELLED\",method=\"WriteStream\"}"), "1");
  EXPECT_EQ(ValueOf(text, "stele_rpc_total{code=\"UNKNOWN\",method=\"other\"}"), "1");
  EXPECT_EQ(ValueOf(text, "stele_rpc_seconds_bucket{method=\"Write\",le=\"0.001\"}"), "0");
  EXPECT_EQ(ValueOf(text, "stele_rpc_seconds_bucket{method=\"Write\",le=\"0.0025\"}"), "1");
  EXPECT_EQ(ValueOf(text, "stele_rpc_seconds_count{method=\"Write\"}"), "1");
}

TEST(Metrics, CallsFromManyThreads) {
  Metrics metrics("1", "scalar");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < 1000; ++i) {
        metrics.RpcFinished("Search", absl::StatusCode::kOk, 0.001);
        if (i % 100 == 0) metrics.Text();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ValueOf(metrics.Text(), "stele_rpc_total{code=\"OK\",method=\"Search\"}"), "4000");
}

TEST(Metrics, ProcessValuesAreReal) {
  Metrics metrics("1", "scalar");
  const std::string text = metrics.Text();
  EXPECT_GT(std::stod(ValueOf(text, "process_resident_memory_bytes")), 1e6);
  EXPECT_GT(std::stod(ValueOf(text, "process_open_fds")), 2);
  EXPECT_GT(std::stod(ValueOf(text, "process_start_time_seconds")), 1.6e9);
}

std::set<std::string> NamesIn(const std::string& text, const std::string& pattern) {
  const std::regex name(pattern);
  std::set<std::string> names;
  for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
    names.insert((*at)[1]);
  }
  return names;
}

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(STELE_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

TEST(Metrics, TheDocumentListsExactlyThese) {
  Metrics metrics("1", "scalar");
  metrics.SetSource([] { return FullSample(); });
  EXPECT_EQ(NamesIn(ReadSource("docs/operations.md"), "\\n\\| `((stele|process)_[a-z_]+)"),
            NamesIn("\n" + metrics.Text(), "\n# TYPE ([a-z_]+) "));
}

// A panel over a metric that is not there stays empty without a word.
TEST(Metrics, TheDashboardAsksForWhatExists) {
  Metrics metrics("1", "scalar");
  metrics.SetSource([] { return FullSample(); });
  const std::set<std::string> names = NamesIn("\n" + metrics.Text(), "\n# TYPE ([a-z_]+) ");
  const std::string dashboard = ReadSource("deploy/grafana/dashboards/stele.json");
  const std::set<std::string> used = NamesIn(dashboard, "\\b((stele|process)_[a-z_]*[a-z])\\b");
  EXPECT_GE(used.size(), 10u);
  for (std::string name : used) {
    if (name.ends_with("_bucket")) name.resize(name.size() - 7);
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

class HttpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<HttpEndpoint>> endpoint =
        HttpEndpoint::Start({"127.0.0.1", 0}, {[] { return std::string("stele_x 1\n"); },
                                               [this] {
                                                 return HealthReport{serving_, text_};
                                               }});
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    endpoint_ = *std::move(endpoint);
    ASSERT_NE(endpoint_->address().port, 0);
  }

  int Connect() const {
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(endpoint_->address().port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return descriptor;
  }
  std::string Ask(const std::string& request) const {
    const int descriptor = Connect();
    send(descriptor, request.data(), request.size(), MSG_NOSIGNAL);
    std::string answer;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(descriptor, buffer, sizeof buffer, 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(got));
    }
    close(descriptor);
    return answer;
  }
  std::string Get(const std::string& path) const {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  std::atomic<bool> serving_{true};
  std::string text_ = "serving";
  std::unique_ptr<HttpEndpoint> endpoint_;
};

TEST_F(HttpTest, Paths) {
  EXPECT_THAT(Get("/metrics"),
              AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("text/plain; version=0"),
                    HasSubstr("\r\n\r\nstele_x 1\n")));
  EXPECT_THAT(Get("/metrics?x=y"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("\r\n\r\nserving\n")));
  for (const char* path : {"/", "/metrics/", "/etc/passwd", "/../../etc/passwd", "/%2e%2e/etc"}) {
    EXPECT_THAT(Get(path), AllOf(Not(StartsWith("HTTP/1.1 2")), Not(HasSubstr("root:")))) << path;
  }
}

TEST_F(HttpTest, HealthTurnsTo503) {
  EXPECT_TRUE(QueryHealth(endpoint_->address()).ok());
  serving_ = false;
  text_ = "recovering";
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("recovering\n")));
  const absl::Status status = QueryHealth(endpoint_->address());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("HTTP 503: recovering"));
  const Address address = endpoint_->address();
  endpoint_.reset();
  EXPECT_EQ(QueryHealth(address).code(), absl::StatusCode::kUnavailable);
}

TEST_F(HttpTest, Methods) {
  const std::string head = Ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(head, AllOf(StartsWith("HTTP/1.1 200 "), Not(HasSubstr("stele_x"))));
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    EXPECT_THAT(
        Ask(std::string(method) + " /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        StartsWith("HTTP/1.1 405 "));
  }
}

TEST_F(HttpTest, OversizedAndBrokenRequests) {
  EXPECT_THAT(Get("/" + std::string(20'000, 'a')), Not(StartsWith("HTTP/1.1 2")));
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n"),
              Not(StartsWith("HTTP/1.1 2")));
  EXPECT_THAT(Ask(std::string("\0\1\2\3\r\n\r\n", 8)), Not(StartsWith("HTTP/1.1 2")));
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

// More silent clients than threads: the port answers again once their time is over.
TEST_F(HttpTest, SilentClientsDoNotBlockForLong) {
  std::vector<int> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(Connect());
    if (i % 2 == 0) send(silent.back(), "GET /met", 8, MSG_NOSIGNAL);
  }
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200 "));
  // They were not closed by us: the server had to let go of one to answer.
  for (const int descriptor : silent) close(descriptor);
}

TEST_F(HttpTest, AddressInUse) {
  const absl::Status status =
      HttpEndpoint::Start(endpoint_->address(), endpoint_->content()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(endpoint_->address().ToString()), HasSubstr("already in use")));
}

TEST_F(HttpTest, OtherAddresses) {
  for (const char* host : {"localhost", "0.0.0.0"}) {
    const absl::StatusOr<std::unique_ptr<HttpEndpoint>> endpoint =
        HttpEndpoint::Start({host, 0}, endpoint_->content());
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_TRUE(QueryHealth((*endpoint)->address().ForClient()).ok()) << host;
  }
}

TEST(Logging, Json) {
  EXPECT_EQ(
      FormatLogLine(
          LogFormat::kJson, "hello",
          {{"text", "a \"b\"\n\x01"}, {"count", 3u}, {"delta", -4}, {"on", true}, {"share", 0.5}}),
      "\"msg\":\"hello\",\"text\":\"a \\\"b\\\"\\n\\u0001\",\"count\":3,\"delta\":-4,\"on\":true,"
      "\"share\":0.5");
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, "x", {{"bad", std::string("\xff")}}),
            "\"msg\":\"x\",\"bad\":\"\xEF\xBF\xBD\"");
}

// A value from outside can neither end the line nor look like another field.
TEST(Logging, Text) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, "hello",
                          {{"path", "/a/b:1"},
                           {"none", ""},
                           {"forged", "x\nerror"},
                           {"pair", "a=b"},
                           {"count", 3}}),
            "hello path=/a/b:1 none=\"\" forged=\"x\\nerror\" pair=\"a=b\" count=3");
}

}  // namespace
}  // namespace stele::server
