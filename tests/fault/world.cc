#include "tests/fault/world.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/offline.h"
#include "server/recovery.h"
#include "tests/reference/machine.h"

namespace stele::fault {
namespace {

using index::Operation;
using index::OperationKind;
using index::TestRandom;

constexpr uint32_t kDimension = 5;
constexpr int64_t kClock = 1'700'000'000'000'000;

std::string NameOf(uint64_t number) { return absl::StrCat("collection ", number); }

Operation Create(uint64_t number) {
  Operation operation;
  operation.kind = OperationKind::kCreateCollection;
  operation.collection = NameOf(number);
  operation.config = {kDimension, number % 2 == 0 ? index::Metric::kL2 : index::Metric::kDot,
                      "of a fault test"};
  return operation;
}

std::string Attributes(TestRandom& random) {
  index::AttributeMap attributes;
  attributes.emplace_back("n", index::EncodeInt64(static_cast<int64_t>(random.Below(5))));
  if (random.Below(2) == 0) attributes.emplace_back("t", *index::EncodeString("a text"));
  return index::EncodeAttributes(attributes);
}

index::Filter FilterOn(uint64_t n) {
  index::Filter filter;
  filter.kind = index::Filter::Kind::kCondition;
  filter.attribute = "n";
  filter.literals.push_back(index::EncodeInt64(static_cast<int64_t>(n)));
  return filter;
}

std::string Document(TestRandom& random) {
  std::string document(random.Below(random.Below(6) == 0 ? 1500 : 60) + 1, '\0');
  for (char& byte : document) byte = static_cast<char>(random.Next());
  return document;
}

Operation RecordOperation(TestRandom& random) {
  Operation operation;
  operation.collection = NameOf(random.Below(3));
  operation.id = absl::StrCat("record ", random.Below(25));
  const uint64_t kind = random.Below(12);
  if (random.Below(25) == 0) {
    operation.precondition.kind = index::Precondition::Kind::kExpectedVersion;
    operation.precondition.version = 1'000'000;  // never true
  }
  if (kind < 2) {
    operation.kind = OperationKind::kDelete;
    return operation;
  }
  operation.attributes = Attributes(random);
  if (kind < 3) {
    operation.kind = OperationKind::kUpdateAttributes;
    return operation;
  }
  operation.kind = kind == 3 ? OperationKind::kInsert : OperationKind::kUpsert;
  operation.vector = index::RandomVector(random, kDimension, 300'000);
  if (random.Below(2) == 0) operation.document = Document(random);
  return operation;
}

std::vector<Operation> Operations(TestRandom& random, size_t number) {
  if (number < 2) return {Create(number)};
  const uint64_t kind = random.Below(40);
  if (kind < 2) return {Create(random.Below(3))};
  if (kind == 2) {
    Operation drop;
    drop.kind = OperationKind::kDropCollection;
    drop.collection = NameOf(random.Below(3));
    return {drop};
  }
  if (kind == 3) {
    Operation operation;
    operation.kind = OperationKind::kDeleteByFilter;
    operation.collection = NameOf(random.Below(2));
    operation.filter = FilterOn(random.Below(5));
    operation.limit = 3;
    return {operation};
  }
  std::vector<Operation> operations;
  for (uint64_t left = random.Below(3) == 0 ? 1 + random.Below(6) : 1; left > 0; --left) {
    Operation operation = RecordOperation(random);
    const bool there = std::any_of(operations.begin(), operations.end(), [&](const Operation& o) {
      return o.collection == operation.collection && o.id == operation.id;
    });
    if (!there) operations.push_back(std::move(operation));
  }
  return operations;
}

index::Command CommandOf(const Request& request) {
  index::Command command;
  command.header.request_id = request.id;
  command.header.actor = "client";
  for (const Operation& operation : request.operations) {
    command.operations.push_back(index::Prepare(operation));
  }
  index::Seal(command);
  return command;
}

absl::Status Wrong(absl::string_view what) { return absl::InternalError(std::string(what)); }

absl::StatusOr<server::WriteResult> Write(server::Engine& engine, const Request& request) {
  std::promise<absl::StatusOr<server::WriteResult>> promise;
  engine.Submit(MakeTask(request), [&](absl::StatusOr<server::WriteResult> result) {
    promise.set_value(std::move(result));
  });
  return promise.get_future().get();
}

}  // namespace

Script::Script(uint64_t seed, size_t count) {
  TestRandom random(seed);
  reference::Machine machine;
  Request genesis;
  Operation first;
  first.kind = OperationKind::kGenesis;
  first.rules_version = index::kRulesVersion;
  genesis.operations.push_back(first);
  empty_root_ = index::DecodeCommitRecord(machine.Apply(CommandOf(genesis)).commit)->state_root;
  for (size_t i = 0; i < count; ++i) {
    requests_.push_back({absl::StrCat("request ", i), Operations(random, i)});
    const auto commit =
        index::DecodeCommitRecord(machine.Apply(CommandOf(requests_.back())).commit);
    expected_.push_back({commit->outcome, commit->state_root});
  }
}

const index::Hash& Script::RootAfter(size_t count) const {
  return count == 0 ? empty_root_ : expected_[count - 1].root;
}

size_t Progress::Known::acknowledged_count() const {
  size_t count = acknowledged.size();
  while (count > 0 && acknowledged[count - 1].empty()) --count;
  return count;
}

Progress::Known Progress::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

void Progress::Attempt(size_t request) {
  const std::lock_guard lock(mutex_);
  known_.attempted = std::max(known_.attempted, request + 1);
}

void Progress::Acknowledge(size_t request, const index::CommitRecord& commit) {
  const std::lock_guard lock(mutex_);
  if (known_.acknowledged.size() <= request) known_.acknowledged.resize(request + 1);
  known_.acknowledged[request] = index::EncodeCommitRecord(commit);
}

server::EngineOptions Options(const std::string& directory,
                              std::shared_ptr<rocksdb::FileSystem> file_system) {
  server::EngineOptions options;
  options.data_directory = directory;
  options.search_threads = 1;
  options.snapshot_log_bytes = 0;
  options.file_system = std::move(file_system);
  options.clock_micros = [] { return kClock; };
  return options;
}

server::WriteTask MakeTask(const Request& request) {
  server::WriteTask task;
  task.request_id = request.id;
  task.actor = "client";
  for (const Operation& operation : request.operations) {
    task.operations.push_back(index::Prepare(operation));
  }
  return task;
}

absl::StatusOr<server::SnapshotInfo> TakeSnapshot(server::Engine& engine) {
  std::promise<absl::StatusOr<server::SnapshotInfo>> promise;
  engine.CreateSnapshot(
      [&](absl::StatusOr<server::SnapshotInfo> info) { promise.set_value(std::move(info)); });
  return promise.get_future().get();
}

absl::Status Drive(server::Engine& engine, const Script& script, size_t from, size_t to,
                   uint64_t seed, Progress* progress) {
  TestRandom random(seed);
  std::mutex mutex;
  std::condition_variable changed;
  while (from < to) {
    const size_t end = std::min<size_t>(to, from + 1 + random.Below(5));
    size_t left = end - from;
    absl::Status status;
    for (; from < end; ++from) {
      progress->Attempt(from);
      engine.Submit(MakeTask(script.request(from)),
                    [&, from](const absl::StatusOr<server::WriteResult>& result) {
                      if (result.ok()) progress->Acknowledge(from, result->commit);
                      const std::lock_guard lock(mutex);
                      status.Update(result.status());
                      --left;
                      changed.notify_one();
                    });
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return left == 0; });
    if (!status.ok()) return status;
    lock.unlock();
    if (random.Below(10) == 0) TakeSnapshot(engine).IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> CheckLog(const server::Engine& engine, const Script& script,
                                const Progress::Known& known) {
  size_t next = 0;
  absl::Status status = engine.journal().Scan(
      0, engine.published_index(),
      [&](uint64_t index, std::string_view bytes, std::span<const std::string_view>) {
        const auto row = index::DecodeEntryRow(bytes);
        const auto header = row.has_value() ? index::DecodeHeader(row->header) : std::nullopt;
        const auto commit = row.has_value() ? index::DecodeCommitRecord(row->commit) : std::nullopt;
        if (!header.has_value() || !commit.has_value()) return Wrong("a row is malformed");
        if (commit->index != index) return Wrong("a commit record is of another entry");
        if (header->actor == "stele") return absl::OkStatus();
        if (next >= known.attempted) return Wrong("more entries than requests");
        if (header->request_id != script.request(next).id) {
          return Wrong(absl::StrCat("entry ", index, " holds ", header->request_id, " and not ",
                                    script.request(next).id));
        }
        const Expected& expected = script.expected(next);
        if (commit->outcome != expected.outcome || commit->state_root != expected.root) {
          return Wrong(
              absl::StrCat(header->request_id, " has not the reference's outcome or root"));
        }
        if (next < known.acknowledged.size() && !known.acknowledged[next].empty() &&
            known.acknowledged[next] != row->commit) {
          return Wrong(absl::StrCat(header->request_id, " is not as it was acknowledged"));
        }
        ++next;
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (next < known.acknowledged_count()) {
    return Wrong(absl::StrCat("of ", known.acknowledged_count(), " acknowledged requests only ",
                              next, " are there"));
  }
  if (engine.Read(std::nullopt)->position().state_root != script.RootAfter(next)) {
    return Wrong("the state root is not the reference's");
  }
  return next;
}

absl::Status Recover(const Recovery& recovery, const Script& script, const Progress::Known& known) {
  Progress unseen;
  Progress* const progress = recovery.progress != nullptr ? recovery.progress : &unseen;
  for (size_t i = 0; i < known.acknowledged.size(); ++i) {
    const auto commit = index::DecodeCommitRecord(known.acknowledged[i]);
    if (commit.has_value()) progress->Acknowledge(i, *commit);
  }
  if (known.attempted > 0) progress->Attempt(known.attempted - 1);
  const server::EngineOptions options = Options(recovery.directory, recovery.file_system);
  server::RecoveryReport report;
  auto engine = server::Engine::Open(options, &report);
  if (!engine.ok()) return engine.status();
  const absl::StatusOr<size_t> there = CheckLog(**engine, script, known);
  if (!there.ok()) return there.status();
  if (const auto all = Everything(**engine); !all.ok()) return all.status();
  if (*there > 0) {
    const size_t again = recovery.seed % *there;
    const auto result = Write(**engine, script.request(again));
    if (!result.ok()) return result.status();
    if (!result->duplicate) return Wrong("a request was executed twice");
    if (result->commit.state_root != script.expected(again).root) return Wrong("another reply");
  }
  absl::Status status = Drive(**engine, script, *there, script.size(), recovery.seed, progress);
  if (!status.ok()) return status;
  engine->reset();
  const auto replayed = server::ReplayLog(options, nullptr);
  if (!replayed.ok()) return replayed.status();
  engine = server::Engine::Open(options, &(report = {}));
  if (!engine.ok()) return engine.status();
  const absl::StatusOr<size_t> whole = CheckLog(**engine, script, progress->known());
  if (!whole.ok()) return whole.status();
  if (*whole != script.size()) return Wrong("what was written after the recovery is gone");
  if (replayed->position.state_root != report.position.state_root ||
      replayed->log_root != report.log_root) {
    return Wrong("recovery and replay differ");
  }
  return absl::OkStatus();
}

namespace {

absl::Status AppendCollection(const server::Engine& engine, const server::ReadView& view,
                              const index::Collection& collection, std::string* text) {
  absl::StrAppend(text, "collection ", collection.name(), " born ", collection.born(),
                  " dimension ", collection.config().dimension, " metric ",
                  int(collection.config().metric), " ", collection.config().description, " count ",
                  collection.StatsAt(view.n()).record_count, "\n");
  std::vector<std::vector<int32_t>> vectors;
  for (const auto* node = collection.records().First(); node != nullptr; node = node->Next()) {
    const auto* version = index::FindVisible(node->payload.newest.Get(), view.n());
    if (version == nullptr) continue;
    vectors.push_back(collection.vectors().Row(version->slot()));
    const std::string attributes(version->attributes());
    absl::StrAppend(text, "record ", std::string(version->id()), " version ", version->born(),
                    " attributes ", attributes, " vector");
    for (const int32_t x : vectors.back()) absl::StrAppend(text, " ", x);
    if (version->document() != nullptr) {
      const absl::StatusOr<std::string> document = view.ReadDocument(*version->document());
      if (!document.ok()) return document.status();
      absl::StrAppend(text, " document ", *document);
    }
    text->push_back('\n');
  }
  const index::Filter filter = FilterOn(1);
  for (size_t i = 0; i < vectors.size(); i += 7) {
    for (const index::Filter* const narrowed :
         {static_cast<const index::Filter*>(nullptr), &filter}) {
      const index::SearchQuery query{vectors[i], 5, narrowed, std::nullopt};
      const auto answer = engine.Search(view, collection, {&query, 1}, nullptr);
      if (!answer.ok()) return answer.status();
      for (const index::SearchHit& hit : answer->hits[0]) {
        absl::StrAppend(text, "hit ", std::string(hit.version->id()), " ", hit.distance, "\n");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Everything(const server::Engine& engine) {
  const absl::StatusOr<server::ReadView> view = engine.Read(std::nullopt);
  if (!view.ok()) return view.status();
  std::string text = absl::StrCat(
      "log ", engine.log_id().ToHex(), " index ", view->position().log_index, " state ",
      view->position().state_index, " root ", server::Hex(view->position().state_root),
      " log root ", server::Hex(engine.log_root()), "\n");
  absl::Status status = engine.journal().Scan(
      engine.base_index(), engine.published_index(),
      [&](uint64_t index, std::string_view entry, std::span<const std::string_view> items) {
        absl::StrAppend(&text, "entry ", index, " ", std::string(entry));
        for (const std::string_view item : items) absl::StrAppend(&text, " ", std::string(item));
        text.push_back('\n');
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  for (const index::Collection* collection = view->SeekCollection({}); collection != nullptr;
       collection = view->SeekCollection(collection->name() + '\0')) {
    status = AppendCollection(engine, *view, *collection, &text);
    if (!status.ok()) return status;
  }
  return text;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

uint64_t Seed() {
  const uint64_t seed = FromEnvironment(
      "STELE_SEED",
      static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()));
  std::printf("STELE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace stele::fault
