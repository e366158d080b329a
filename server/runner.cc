#include "server/runner.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/admin_service.h"
#include "server/audit_service.h"
#include "server/checkpointer.h"
#include "server/collection_service.h"
#include "server/data_directory.h"
#include "server/executor.h"
#include "server/gate.h"
#include "server/grpc_server.h"
#include "server/health_service.h"
#include "server/http_endpoint.h"
#include "server/key_ring.h"
#include "server/memory_service.h"
#include "server/metrics.h"
#include "server/recovering_service.h"
#include "server/recovery.h"
#include "server/signals.h"
#include "server/tile_unit.h"
#include "server/tls.h"
#include "server/version.h"
#include "storage/ballast.h"

namespace stele::server {
namespace {

constexpr std::chrono::seconds kGrace{30};
constexpr std::chrono::seconds kWatchPeriod{1};
constexpr std::chrono::milliseconds kDrainPoll{5};
constexpr uint64_t kGrpcBytes = uint64_t{1} << 30;
constexpr size_t kExecutorQueueMax = 4096;

EngineSample SampleEngine(const Engine& engine) {
  EngineSample sample;
  sample.stats = engine.stats();
  sample.write_poisoned = engine.write_poisoned();
  sample.log_index = engine.published_index();
  if (const absl::StatusOr<ReadView> view = engine.Read(std::nullopt); view.ok()) {
    sample.log_index = view->position().log_index;
    sample.state_index = view->position().state_index;
  }
  sample.now_micros = SystemClockMicros();
  return sample;
}

// Between the signal thread, the HTTP threads and main.
class Progress {
 public:
  enum class Phase : uint8_t { kRecovering, kServing, kStopping };

  // False if the server is already stopping.
  bool Enter(Phase phase) {
    const std::lock_guard lock(mutex_);
    if (phase_ == Phase::kStopping) return false;
    phase_ = phase;
    changed_.notify_all();
    return true;
  }
  Phase phase() const {
    const std::lock_guard lock(mutex_);
    return phase_;
  }
  // True if the server is to stop.
  bool WaitForStop(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [this] { return phase_ == Phase::kStopping; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Phase phase_ = Phase::kRecovering;
};

class Runner {
 public:
  explicit Runner(const Config& config)
      : config_(config),
        kernels_(config.kernels != nullptr ? config.kernels : &BestKernels()),
        metrics_(kVersion, kernels_->name),
        signals_({[this] { OnStop(); }, [this] { OnReload(); }}) {}

  ExitCode Run();

 private:
  using Phase = Progress::Phase;

  absl::Status Prepare();
  absl::Status ListenForHttp();
  absl::Status Recover();
  absl::Status OpenCheckpointer();
  absl::Status ServeUntilStopped();
  void Drain(GrpcServer* server, HealthService* health, Gate* gate);
  GrpcServer::Options ServerOptions() const;
  HealthReport Health() const;
  void PrintReady(const Address& address) const;
  void WatchUntilStopped();
  void OnStop();
  void OnReload();
  ExitCode Fail(ExitCode code, const absl::Status& status) const;

  const Config& config_;
  const index::Kernels* const kernels_;
  Metrics metrics_;
  Progress progress_;
  std::mutex keys_mutex_;  // the signal thread may ask for the keys before they are there
  std::unique_ptr<KeyRing> keys_;
  Credentials credentials_;
  Address address_;  // of the gRPC port, once it is known
  std::atomic<bool> write_poisoned_{false};
  std::atomic<uint64_t> entries_replayed_{0};  // while recovering
  std::atomic<uint64_t> entries_total_{0};     // 0: not known yet
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<HttpEndpoint> http_;
  SignalWatcher signals_;
};

ExitCode Runner::Fail(ExitCode code, const absl::Status& status) const {
  LogError("stele-server ends", {{"reason", std::string(status.message())},
                                 {"code", absl::StatusCodeToString(status.code())},
                                 {"exit_code", static_cast<int>(code)}});
  return code;
}

ExitCode Runner::Run() {
  if (absl::Status status = Prepare(); !status.ok()) return Fail(ExitCode::kUsage, status);
  if (absl::Status status = ListenForHttp(); !status.ok()) return Fail(ExitCode::kFailure, status);
  if (absl::Status status = Recover(); !status.ok()) return Fail(ExitCodeOf(status), status);
  if (absl::Status status = ServeUntilStopped(); !status.ok()) {
    return Fail(ExitCode::kFailure, status);
  }
  metrics_.SetSource(nullptr);
  checkpointer_.reset();
  engine_.reset();
  http_.reset();
  LogInfo("stopped");
  return ExitCode::kOk;
}

absl::Status Runner::Prepare() {
  if (absl::Status status = CheckServing(config_); !status.ok()) return status;
  if (!config_.keys_file.empty()) {
    absl::StatusOr<std::unique_ptr<KeyRing>> keys = KeyRing::Load(config_.keys_file);
    if (!keys.ok()) return keys.status();
    for (const std::string& warning : (*keys)->warnings()) {
      LogWarn("keys file", {{"warning", warning}});
    }
    const std::lock_guard lock(keys_mutex_);
    keys_ = *std::move(keys);
  }
  absl::StatusOr<Credentials> credentials =
      MakeCredentials({config_.tls_cert, config_.tls_key, config_.tls_client_ca});
  if (!credentials.ok()) return credentials.status();
  credentials_ = *std::move(credentials);
  for (const std::string& warning : credentials_.warnings) LogWarn("TLS", {{"warning", warning}});
  if (config_.insecure_no_auth && !config_.listen.IsLoopback()) {
    LogWarn("no authentication: anyone who reaches the port can read, write and drop everything",
            {{"address", config_.listen.ToString()}});
  }
  if (keys_ != nullptr && config_.tls_cert.empty() && !config_.listen.IsLoopback()) {
    LogWarn("API keys and data travel unencrypted: give tls-cert and tls-key",
            {{"address", config_.listen.ToString()}});
  }
  umask(077);
  return absl::OkStatus();
}

absl::Status Runner::ListenForHttp() {
  if (!config_.http_listen.has_value()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<HttpEndpoint>> http = HttpEndpoint::Start(
      *config_.http_listen, {[this] { return metrics_.Text(); }, [this] { return Health(); }});
  if (!http.ok()) return http.status();
  http_ = *std::move(http);
  LogInfo("metrics and health are served", {{"address", http_->address().ToString()}});
  return absl::OkStatus();
}

HealthReport Runner::Health() const {
  switch (progress_.phase()) {
    case Phase::kRecovering: {
      const uint64_t total = entries_total_.load();
      if (total == 0) return {false, "recovering"};
      return {false, absl::StrCat("recovering: entry ", entries_replayed_.load(), " of ", total)};
    }
    case Phase::kServing:
      return {true, write_poisoned_.load()
                        ? "serving reads; writes are refused since a failed write"
                        : "serving"};
    case Phase::kStopping:
      return {false, "stopping"};
  }
  return {};
}

GrpcServer::Options Runner::ServerOptions() const {
  GrpcServer::Options options;
  options.listen = config_.listen;
  if (address_.port != 0) options.listen = address_;
  options.credentials = credentials_.credentials;
  options.memory_bytes_max = kGrpcBytes + 2 * config_.queue_bytes_max;
  return options;
}

absl::Status Runner::Recover() {
  HealthService health;
  RecoveringService refusals;
  GrpcServer::Options options = ServerOptions();
  options.services = {&health};
  options.fallback = &refusals;
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(options);
  if (!server.ok()) return server.status();
  address_ = (*server)->address();
  LogInfo("recovering", {{"version", kVersion},
                         {"data_directory", config_.data_directory},
                         {"address", address_.ToString()},
                         {"kernel", kernels_->name}});
  RecoveryReport report;
  EngineOptions engine_options = ToEngineOptions(config_);
  engine_options.recovery_progress = [this](uint64_t done, uint64_t total) {
    entries_replayed_.store(done);
    entries_total_.store(total);
  };
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(engine_options, &report);
  if (absl::IsResourceExhausted(engine.status()) && storage::DropBallast(config_.data_directory)) {
    LogWarn("the disk is full: the ballast is given up",
            {{"reason", std::string(engine.status().message())}});
    engine = Engine::Open(engine_options, &(report = {}));
  }
  (*server)->Shutdown(std::chrono::milliseconds(0), nullptr);
  if (!engine.ok()) return engine.status();
  engine_ = *std::move(engine);
  for (const std::string& refused : report.refused_snapshots) {
    LogWarn("a snapshot was refused", {{"reason", refused}});
  }
  for (const std::string& name : ForeignNames(config_.data_directory)) {
    LogWarn("not Stele's, and left alone",
            {{"data_directory", config_.data_directory}, {"name", name}});
  }
  LogInfo("recovered", {{"report", report.Describe()},
                        {"replayed_entries", report.replayed_entries},
                        {"log_index", report.position.log_index},
                        {"state_index", report.position.state_index},
                        {"state_root", Hex(report.position.state_root)},
                        {"log_root", Hex(report.log_root)}});
  if (const absl::Status kept = storage::KeepBallast(config_.data_directory, config_.ballast_bytes);
      !kept.ok()) {
    LogWarn("there is no ballast", {{"reason", std::string(kept.message())}});
  }
  metrics_.SetSource([this]() -> std::optional<EngineSample> { return SampleEngine(*engine_); });
  return OpenCheckpointer();
}

absl::Status Runner::OpenCheckpointer() {
  Checkpointer::Options options;
  options.data_directory = config_.data_directory;
  options.key_file = config_.signing_key;
  options.entries = config_.checkpoint_entries;
  options.seconds = config_.checkpoint_seconds;
  if (!config_.witness_keys.empty()) {
    absl::StatusOr<std::vector<index::WitnessKey>> witnesses =
        ReadWitnessKeys(config_.witness_keys);
    if (!witnesses.ok()) return witnesses.status();
    options.witnesses = *std::move(witnesses);
  }
  options.on_error = [](const absl::Status& status) {
    LogError("no checkpoint could be signed", {{"reason", std::string(status.message())}});
  };
  absl::StatusOr<std::unique_ptr<Checkpointer>> made =
      Checkpointer::Open(engine_.get(), std::move(options));
  if (!made.ok()) return made.status();
  checkpointer_ = *std::move(made);
  LogInfo("checkpoints are signed",
          {{"verifier_key", index::EncodeVerifierKey(checkpointer_->key())},
           {"signed_size", checkpointer_->Last().checkpoint.size}});
  return absl::OkStatus();
}

absl::Status Runner::ServeUntilStopped() {
  const uint32_t cores = std::max(2u, std::thread::hardware_concurrency());
  ReceiptLog receipt_log(engine_.get(), {}, [](const std::string& what) {
    LogError("receipts that are not in the log", {{"reason", what}});
  });
  Executor executor(cores, kExecutorQueueMax);
  Gate gate(keys_.get(), &metrics_);
  MemoryService memory(engine_.get(), &gate, &executor, checkpointer_.get(), &receipt_log,
                       {.searches_max = config_.search_join_max});
  CollectionService collections(engine_.get(), &gate, &executor);
  AdminService admin(engine_.get(), &gate, &executor, checkpointer_.get());
  AuditService audit(engine_.get(), &gate, &executor, checkpointer_.get());
  HealthService health;
  GrpcServer::Options options = ServerOptions();
  options.services = {&memory, &collections, &admin, &audit, &health};
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(options);
  if (!server.ok()) return server.status();
  health.SetServing(true);
  if (progress_.Enter(Phase::kServing)) {
    LogInfo("serving", {{"address", address_.ToString()},
                        {"tls", !config_.tls_cert.empty()},
                        {"client_certificates", !config_.tls_client_ca.empty()},
                        {"authentication", keys_ != nullptr},
                        {"search_threads", engine_->search_threads()},
                        {"kernel", kernels_->name}});
    PrintReady(address_);
    WatchUntilStopped();
  }
  Drain(server->get(), &health, &gate);
  return absl::OkStatus();
}

void Runner::Drain(GrpcServer* server, HealthService* health, Gate* gate) {
  LogInfo("stopping: finishing what was accepted", {{"grace_seconds", kGrace.count()}});
  health->Shutdown();
  const auto deadline = std::chrono::steady_clock::now() + kGrace;
  gate->Close();
  // While the port is still open: a connection that is closed with something unread in it is reset,
  // and the client loses answers that it has not read. gRPC ends a connection with a ping, whose
  // reply says that they have been read.
  while (gate->calls_inside() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kDrainPoll);
  }
  // What is open now are streams that end with the connection, reflection's for example.
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  server->Shutdown(std::max(left, std::chrono::milliseconds(0)),
                   [gate] { return gate->calls_inside() == 0; });
}

void Runner::PrintReady(const Address& address) const {
  absl::StatusOr<ReadView> view = engine_->Read(std::nullopt);
  const Position position = view.ok() ? view->position() : Position{};
  std::printf("stele-server %s listening on %s log_index %llu state_root %s\n",
              std::string(kVersion).c_str(), address.ToString().c_str(),
              static_cast<unsigned long long>(position.log_index),
              Hex(position.state_root).c_str());
  std::fflush(stdout);
}

void Runner::WatchUntilStopped() {
  while (!progress_.WaitForStop(kWatchPeriod)) {
    if (!engine_->write_poisoned() || write_poisoned_.exchange(true)) continue;
    LogError("a write or sync failed: writes are refused until a restart, reads go on",
             {{"log_index", engine_->published_index()}});
  }
}

void Runner::OnStop() {
  if (progress_.phase() == Phase::kRecovering) {
    // Nothing has been accepted, and the files are as safe as after a crash: that is their design.
    LogInfo("stopped while recovering");
    _exit(static_cast<int>(ExitCode::kOk));
  }
  progress_.Enter(Phase::kStopping);
}

void Runner::OnReload() {
  const std::lock_guard lock(keys_mutex_);
  if (keys_ == nullptr) {
    LogWarn("SIGHUP ignored: there is no keys file");
    return;
  }
  if (const absl::Status status = keys_->Reload(); !status.ok()) {
    LogError("the keys stay as they were", {{"reason", std::string(status.message())}});
    return;
  }
  for (const std::string& warning : keys_->warnings()) LogWarn("keys file", {{"warning", warning}});
  LogInfo("keys read again", {{"callers", keys_->size()}});
}

}  // namespace

EngineOptions ToEngineOptions(const Config& config) {
  EngineOptions options;
  options.data_directory = config.data_directory;
  options.probe_path = FindProbe();
  options.search_threads = config.search_threads;
  options.kernels = config.kernels;
  options.history_entries = config.history_entries;
  options.snapshot_log_bytes = config.snapshot_log_bytes;
  options.snapshots_kept = config.snapshots_kept;
  options.queue_bytes_max = config.queue_bytes_max;
  options.memory_limit_bytes = config.memory_limit_bytes;
  return options;
}

ExitCode Serve(const Config& config) {
  Runner runner(config);
  return runner.Run();
}

}  // namespace stele::server
