// If these fail, the engine answers otherwise than the reference for some order of its stages, some
// clock or some crash; or it is not a function of its inputs.
//
// One thread: the stages of the write path are steps that a seeded scheduler chooses, so that
// commits stall behind hundreds of applied entries, replies overtake new requests, and readers
// stand between any two steps. The clock jumps by ten years either way; power is lost.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/recovery.h"
#include "tests/fault/world.h"
#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::fault {
namespace {

using index::Outcome;
using server::Engine;
using storage::FaultFileSystem;
using storage::PowerLoss;

constexpr int64_t kTenYearsMicros = int64_t{10} * 365 * 24 * 3600 * 1'000'000;
constexpr PowerLoss kLosses[] = {PowerLoss::kDrop, PowerLoss::kKeep, PowerLoss::kTorn,
                                 PowerLoss::kZeros, PowerLoss::kScattered};

// How often each thing happens; drawn anew for each seed, some of them never.
struct Mix {
  explicit Mix(index::TestRandom& random) {
    for (uint64_t* weight : {&submit, &retry, &reuse, &outcome, &apply, &commit, &notify, &snapshot,
                             &work_snapshot, &read, &read_old, &wait, &jump, &crash}) {
      *weight = random.Below(4) == 0 ? 0 : 1 + random.Below(20);
    }
    submit = std::max<uint64_t>(submit, 4);
    for (uint64_t* stage : {&apply, &commit, &notify}) *stage = std::max<uint64_t>(*stage, 1);
    crash = random.Below(3) == 0 ? 0 : 1;
    history = random.Below(3) == 0 ? 0 : random.Below(40);
  }
  uint64_t submit = 0, retry = 0, reuse = 0, outcome = 0;
  uint64_t apply = 0, commit = 0, notify = 0, work_snapshot = 0;
  uint64_t snapshot = 0, read = 0, read_old = 0, wait = 0, jump = 0, crash = 0;
  uint64_t history = 0;
};

class Simulation {
 public:
  Simulation(uint64_t seed, size_t requests)
      : random_(seed), losses_(seed), mix_(random_), script_(seed, requests) {
    std::filesystem::create_directories(directory_ / "graveyard");
    disk_ = std::make_shared<FaultFileSystem>(directory_ / "graveyard");
  }

  // Empty if all was as it must be; else what was not.
  std::string Run() {
    Open();
    for (int step = 0; fault_.empty() && (submitted_ < script_.size() || step < 400); ++step) {
      Act();
    }
    if (fault_.empty()) Finish();
    engine_.reset();
    return fault_;
  }

  const std::vector<std::string>& trace() const { return trace_; }
  uint64_t crashes() const { return crashes_; }

 private:
  void Note(std::string line) { trace_.push_back(std::move(line)); }
  void Fail(std::string what) {
    if (fault_.empty()) fault_ = std::move(what);
  }
  void Demand(bool condition, const std::string& what) {
    if (!condition) Fail(what);
  }

  void Open() {
    server::EngineOptions options = Options(directory_ / "data", disk_);
    options.stepped = true;
    options.history_entries = mix_.history;
    options.clock_micros = [this] { return clock_ += 7; };
    server::RecoveryReport report;
    auto engine = Engine::Open(options, &report);
    if (!engine.ok()) return Fail(std::string(engine.status().message()));
    engine_ = *std::move(engine);
    const absl::StatusOr<size_t> there = CheckLog(*engine_, script_, progress_.known());
    if (!there.ok()) return Fail(std::string(there.status().message()));
    submitted_ = *there;
    Note(absl::StrCat("open with ", *there, " requests, index ", report.position.log_index, ", ",
                      server::Hex(report.position.state_root)));
  }

  void Act() {
    const std::pair<uint64_t, void (Simulation::*)()> actions[] = {
        {mix_.submit, &Simulation::Submit},    {mix_.retry, &Simulation::Retry},
        {mix_.reuse, &Simulation::Reuse},      {mix_.outcome, &Simulation::AskOutcome},
        {mix_.apply, &Simulation::Apply},      {mix_.commit, &Simulation::Commit},
        {mix_.notify, &Simulation::Notify},    {mix_.snapshot, &Simulation::OrderSnapshot},
        {mix_.read, &Simulation::ReadNewest},  {mix_.read_old, &Simulation::ReadOld},
        {mix_.wait, &Simulation::Wait},        {mix_.jump, &Simulation::Jump},
        {mix_.crash, &Simulation::MaybeCrash}, {mix_.work_snapshot, &Simulation::WorkSnapshot}};
    uint64_t sum = 0;
    for (const auto& [weight, act] : actions) sum += weight;
    uint64_t drawn = random_.Below(sum);
    for (const auto& [weight, act] : actions) {
      if (drawn < weight) return (this->*act)();
      drawn -= weight;
    }
  }

  void Step(Engine::Stage stage) { engine_->Step(stage); }
  void Apply() { Step(Engine::Stage::kApply); }
  void Commit() { Step(Engine::Stage::kCommit); }
  void Notify() { Step(Engine::Stage::kNotify); }
  void WorkSnapshot() { Step(Engine::Stage::kSnapshot); }

  Engine::WriteCallback Expect(size_t request, bool again, uint64_t life) {
    return [this, request, again, life](const absl::StatusOr<server::WriteResult>& result) {
      if (life != crashes_) return;  // a client that went with the server
      if (!result.ok()) {
        Note(absl::StrCat("request ", request, " failed"));
        return Fail(std::string(result.status().message()));
      }
      Note(absl::StrCat("request ", request, " outcome ", int(result->commit.outcome), " index ",
                        result->commit.index, result->duplicate ? " again " : " ",
                        server::Hex(result->commit.state_root)));
      const Expected& expected = script_.expected(request);
      Demand(result->commit.outcome == expected.outcome, "another outcome");
      Demand(result->commit.state_root == expected.root, "another root");
      Demand(result->commit.index <= engine_->published_index(), "told before it was published");
      Demand(result->duplicate || !again, "executed twice");
      const auto [place, fresh] = indices_.try_emplace(request, result->commit.index);
      Demand(fresh || place->second == result->commit.index, "another entry for one request");
      progress_.Acknowledge(request, result->commit);
    };
  }

  void Submit() {
    if (submitted_ == script_.size()) return;
    progress_.Attempt(submitted_);
    engine_->Submit(MakeTask(script_.request(submitted_)), Expect(submitted_, false, crashes_));
    ++submitted_;
  }

  // In flight or long done.
  void Retry() {
    if (submitted_ == 0) return;
    const size_t request = random_.Below(submitted_);
    engine_->Submit(MakeTask(script_.request(request)), Expect(request, true, crashes_));
  }

  void Reuse() {
    if (submitted_ < 2) return;
    const size_t request = 1 + random_.Below(submitted_ - 1);
    index::Operation other;
    other.kind = index::OperationKind::kDropCollection;
    other.collection = "of no request";
    const Request reused{script_.request(request).id, {other}};
    server::WriteTask task = MakeTask(reused);
    engine_->Submit(std::move(task), [this](const absl::StatusOr<server::WriteResult>& result) {
      if (!result.ok()) return Fail(std::string(result.status().message()));
      Demand(result->commit.outcome == Outcome::kRequestIdReused, "an id was used twice");
    });
  }

  void AskOutcome() {
    const size_t request = random_.Below(script_.size());
    const bool submitted = request < submitted_;
    engine_->FindOutcome(
        "client", script_.request(request).id,
        [this, request, submitted,
         life = crashes_](const absl::StatusOr<server::WriteResult>& result) {
          if (life != crashes_) return;
          Note(absl::StrCat("outcome of ", request, ": ", int(result.status().code())));
          Demand(result.ok() == submitted, "an outcome that cannot be");
          if (result.ok()) {
            Demand(result->commit.state_root == script_.expected(request).root, "another outcome");
          }
        });
  }

  void OrderSnapshot() {
    engine_->CreateSnapshot(
        [this, life = crashes_](const absl::StatusOr<server::SnapshotInfo>& info) {
          if (life != crashes_ || !info.ok()) return;
          Note(absl::StrCat("snapshot of ", info->log_index, " ", server::Hex(info->state_root)));
        });
  }

  // Requests that the log holds up to an entry, by the journal itself.
  void ReadAt(std::optional<index::LogIndex> at) {
    const absl::StatusOr<server::ReadView> view = engine_->Read(at);
    if (!view.ok()) {
      Demand(at.has_value() && *at < engine_->history_index(), "a read was refused");
      return;
    }
    const auto bytes = engine_->journal().ReadEntry(view->n());
    if (!bytes.ok()) return Fail(std::string(bytes.status().message()));
    const auto row = index::DecodeEntryRow(*bytes);
    const auto commit = index::DecodeCommitRecord(row->commit);
    Demand(commit->state_root == view->position().state_root, "a view of another state");
    Note(absl::StrCat("read at ", view->n(), " ", server::Hex(view->position().state_root)));
    const index::Collection* const collection = view->SeekCollection({});
    if (collection == nullptr) return;
    const std::vector<int32_t> vector(collection->config().dimension, 1);
    const index::SearchQuery query{vector, 3, nullptr, std::nullopt};
    const auto answer = engine_->Search(*view, *collection, {&query, 1}, nullptr);
    if (!answer.ok()) return Fail(std::string(answer.status().message()));
    for (const index::SearchHit& hit : answer->hits[0]) {
      Note(absl::StrCat("hit ", std::string(hit.version->id()), " ", hit.distance));
    }
  }
  void ReadNewest() { ReadAt(std::nullopt); }
  void ReadOld() { ReadAt(random_.Below(engine_->published_index() + 1)); }

  void Wait() {
    const index::LogIndex index = engine_->published_index() + random_.Below(5);
    engine_->WhenPublished(index, [this, index, life = crashes_](bool reached) {
      if (life != crashes_ || !reached) return;
      Demand(engine_->published_index() >= index, "woken too early");
      Note(absl::StrCat("reached ", index));
    });
  }

  void Jump() {
    clock_ += static_cast<int64_t>(random_.Below(3) - 1) *
              static_cast<int64_t>(random_.Below(static_cast<uint64_t>(kTenYearsMicros)));
  }

  void MaybeCrash() {
    if (random_.Below(12) != 0) return;
    disk_->SetHook([](uint64_t, storage::FileOperation, const std::string&) {
      return rocksdb::IOStatus::IOError("no power");
    });
    ++crashes_;
    engine_.reset();
    disk_->LosePower(kLosses[random_.Below(std::size(kLosses))], losses_);
    Note("power lost");
    Open();
  }

  void Finish() {
    while (submitted_ < script_.size()) Submit();
    while (engine_->Step(Engine::Stage::kApply) || engine_->Step(Engine::Stage::kCommit) ||
           engine_->Step(Engine::Stage::kNotify) || engine_->Step(Engine::Stage::kSnapshot)) {
    }
    const absl::StatusOr<size_t> there = CheckLog(*engine_, script_, progress_.known());
    if (!there.ok()) return Fail(std::string(there.status().message()));
    Demand(*there == script_.size(), "requests are missing at the end");
    Note(absl::StrCat("end at ", engine_->published_index()));
  }

  storage::TemporaryDirectory directory_;
  index::TestRandom random_;
  std::mt19937_64 losses_;
  const Mix mix_;
  const Script script_;
  std::shared_ptr<FaultFileSystem> disk_;
  std::unique_ptr<Engine> engine_;
  Progress progress_;
  std::map<size_t, index::LogIndex> indices_;
  int64_t clock_ = 1'700'000'000'000'000;
  size_t submitted_ = 0;
  uint64_t crashes_ = 0;
  std::vector<std::string> trace_;
  std::string fault_;
};

// The long form: STELE_SIMULATIONS=n (make simulate).
TEST(SimulationTest, EverySeedTwiceWithEqualTraces) {
  const uint64_t seed = Seed();
  const uint64_t count = FromEnvironment("STELE_SIMULATIONS", 12);
  uint64_t crashes = 0, lines = 0;
  std::set<std::string> ends;
  for (uint64_t i = 0; i < count; ++i) {
    Simulation first(seed + i, 60 + (seed + i) % 90);
    ASSERT_EQ(first.Run(), "") << "STELE_SEED=" << seed + i;
    Simulation second(seed + i, 60 + (seed + i) % 90);
    ASSERT_EQ(second.Run(), "") << "STELE_SEED=" << seed + i;
    ASSERT_EQ(first.trace(), second.trace()) << "STELE_SEED=" << seed + i;
    crashes += first.crashes();
    lines += first.trace().size();
    ends.insert(first.trace().back());
    if (i % 1000 == 999 || i + 1 == count) {
      std::printf("%llu seeds twice: %llu crashes, %llu lines of trace\n",
                  static_cast<unsigned long long>(i + 1), static_cast<unsigned long long>(crashes),
                  static_cast<unsigned long long>(lines));
      std::fflush(stdout);
    }
  }
  EXPECT_GT(ends.size(), count < 5 ? 0u : 2u) << "all seeds do the same";
}

}  // namespace
}  // namespace stele::fault
