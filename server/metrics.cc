#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "server/process_metrics.h"
#include "server/roles.h"

namespace stele::server {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// Seconds: a synced write takes some 0.2 ms, a scan of millions of rows some seconds.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1,    0.25,    0.5,    1.0,   2.5,    5.0,   10.0, 30.0};
constexpr size_t kCodeCount = 17;
constexpr std::string_view kOther = "other";
constexpr double kMicros = 1e-6;

std::string CodeName(absl::StatusCode code) {
  return absl::AsciiStrToUpper(absl::StatusCodeToString(code));
}

MetricFamily Single(std::string name, std::string help, MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return {std::move(name), std::move(help), type, {metric}};
}

class FamilyList {
 public:
  template <typename T>
  void Count(std::string name, std::string help, T value) {
    families_.push_back(
        Single(std::move(name), std::move(help), MetricType::Counter, static_cast<double>(value)));
  }
  template <typename T>
  void Gauge(std::string name, std::string help, T value) {
    families_.push_back(
        Single(std::move(name), std::move(help), MetricType::Gauge, static_cast<double>(value)));
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void AddLog(const EngineSample& sample, FamilyList* list) {
  list->Gauge("stele_log_index", "Newest published log index.", sample.log_index);
  list->Gauge("stele_state_index", "Newest log index that changed the state.", sample.state_index);
  list->Gauge("stele_write_poisoned",
              "1 after a failed write or sync: reads go on, writes are refused until a restart.",
              sample.write_poisoned ? 1 : 0);
  const storage::Journal::Stats& journal = sample.stats.journal;
  list->Count("stele_appends_total", "Group commits since the start.", journal.appends);
  list->Count("stele_syncs_total", "Syncs of log and watermark since the start.", journal.syncs);
  list->Gauge("stele_sync_seconds", "Duration of the last group commit, write and both syncs.",
              static_cast<double>(journal.last_sync_micros) * kMicros);
  list->Count("stele_log_bytes_total", "Bytes appended to the log since the start.", journal.bytes);
}

void AddWork(const EngineSample& sample, FamilyList* list) {
  const EngineStats& stats = sample.stats;
  list->Count("stele_entries_total", "Log entries applied since the start.", stats.entries_applied);
  list->Count("stele_records_written_total",
              "Records inserted, updated and deleted since the start.", stats.records_written);
  list->Gauge("stele_queue_depth", "Writes accepted and not yet applied.", stats.queue_depth);
  list->Gauge("stele_queue_bytes", "Bytes of the writes in the queue.", stats.queue_bytes);
  list->Gauge("stele_active_readers", "Reads that hold a state now.", stats.active_readers);
  list->Count("stele_searches_total", "Search queries answered since the start.", stats.searches);
  list->Count("stele_searches_joined_total",
              "Of these, answered in one pass over memory with others.", stats.searches_joined);
  list->Count("stele_search_rows_total", "Rows scanned by searches since the start.",
              stats.rows_scanned);
}

void AddSnapshot(const EngineSample& sample, FamilyList* list) {
  if (!sample.stats.newest_snapshot_index.has_value()) return;
  const int64_t age = sample.now_micros - sample.stats.newest_snapshot_micros;
  list->Gauge("stele_snapshot_index", "Log index of the newest snapshot; absent without one.",
              *sample.stats.newest_snapshot_index);
  list->Gauge("stele_snapshot_age_seconds", "Age of the newest snapshot; absent without one.",
              static_cast<double>(std::max<int64_t>(age, 0)) * kMicros);
}

std::vector<MetricFamily> EngineFamilies(const EngineSample& sample) {
  FamilyList list;
  AddLog(sample, &list);
  AddWork(sample, &list);
  AddSnapshot(sample, &list);
  return list.Take();
}

std::vector<MetricFamily> ProcessFamilies() {
  FamilyList list;
  const ProcessSample sample = SampleProcess();
  list.Count("process_cpu_seconds_total", "CPU time of this process.", sample.cpu_seconds);
  list.Gauge("process_resident_memory_bytes", "Resident memory of this process.",
             sample.resident_bytes);
  list.Gauge("process_open_fds", "Open file descriptors of this process.", sample.open_files);
  list.Gauge("process_start_time_seconds", "When this process started, in Unix time.",
             sample.start_seconds);
  return list.Take();
}

}  // namespace

struct Metrics::Method {
  prometheus::Histogram* seconds = nullptr;
  std::array<prometheus::Counter*, kCodeCount> codes{};
};

struct Metrics::Impl {
  prometheus::Registry registry;
  // One metric for each method and code from the start: a call touches no map that is written.
  std::map<std::string, Method, std::less<>> methods;
};

Metrics::Metrics(std::string_view version, std::string_view kernel)
    : impl_(std::make_unique<Impl>()) {
  auto& calls = prometheus::BuildCounter()
                    .Name("stele_rpc_total")
                    .Help("Finished calls by method and status code.")
                    .Register(impl_->registry);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("stele_rpc_seconds")
                      .Help("Duration of finished calls by method.")
                      .Register(impl_->registry);
  const auto add = [&](std::string_view name) {
    const std::string label(name);
    Method& method = impl_->methods[label];
    method.seconds = &seconds.Add({{"method", label}}, kSeconds);
    for (size_t code = 0; code < kCodeCount; ++code) {
      method.codes[code] =
          &calls.Add({{"method", label}, {"code", CodeName(static_cast<absl::StatusCode>(code))}});
    }
  };
  for (const MethodRule& rule : MethodRules()) add(rule.method);
  add(kOther);
  prometheus::BuildGauge()
      .Name("stele_build_info")
      .Help("Always 1; the labels tell what runs.")
      .Register(impl_->registry)
      .Add({{"version", std::string(version)}, {"kernel", std::string(kernel)}})
      .Set(1);
}

Metrics::~Metrics() = default;

Metrics::Method& Metrics::FindMethod(std::string_view method) {
  const auto found = impl_->methods.find(method);
  return found != impl_->methods.end() ? found->second : impl_->methods.find(kOther)->second;
}

void Metrics::RpcFinished(std::string_view method, absl::StatusCode code, double seconds) {
  Method& counted = FindMethod(method);
  const auto number = static_cast<size_t>(code);
  const auto unknown = static_cast<size_t>(absl::StatusCode::kUnknown);
  counted.codes[number < kCodeCount ? number : unknown]->Increment();
  counted.seconds->Observe(seconds);
}

void Metrics::SetSource(Source source) {
  const std::lock_guard lock(source_mutex_);
  source_ = std::move(source);
}

std::string Metrics::Text() const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  {
    const std::lock_guard lock(source_mutex_);
    const std::optional<EngineSample> sample = source_ ? source_() : std::nullopt;
    if (sample.has_value()) {
      for (MetricFamily& family : EngineFamilies(*sample)) families.push_back(std::move(family));
    }
  }
  for (MetricFamily& family : ProcessFamilies()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace stele::server
