// If this fails, a reader that runs beside the writer sees a state that never was, or memory that
// was given back under it. Most telling under ThreadSanitizer and AddressSanitizer.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "index/search.h"
#include "index/state_machine.h"
#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

const std::string kCollection = "c";

// What the server keeps: the published index, and who reads since when and at what.
class Registry {
 public:
  struct Held {
    LogIndex began;
    LogIndex n;
  };
  using Ticket = std::list<Held>::iterator;

  Ticket Enter() {
    const std::lock_guard lock(mutex_);
    // Readers of the past as well as of the present.
    const LogIndex n =
        published_ > horizon_ + 3 && ++entered_ % 2 == 0 ? published_ - 3 : published_;
    held_.push_front({published_, n});
    return held_.begin();
  }
  void Leave(Ticket ticket) {
    const std::lock_guard lock(mutex_);
    held_.erase(ticket);
  }
  void Publish(LogIndex index) {
    const std::lock_guard lock(mutex_);
    published_ = index;
  }
  // The horizon and the oldest reader to reclaim by.
  Held Reclaimable() {
    const std::lock_guard lock(mutex_);
    Held oldest{published_, published_ > 20 ? published_ - 20 : 0};
    horizon_ = oldest.n;
    for (const Held& held : held_) {
      oldest.began = std::min(oldest.began, held.began);
      oldest.n = std::min(oldest.n, held.n);
    }
    return oldest;
  }

 private:
  std::mutex mutex_;
  std::list<Held> held_;
  LogIndex published_ = 0;
  LogIndex horizon_ = 0;
  uint64_t entered_ = 0;
};

Operation RandomOperation(TestRandom& random) {
  constexpr uint32_t kDimension = 3;
  Operation operation;
  operation.collection = kCollection;
  operation.id = std::to_string(random.Below(150));
  switch (random.Below(60)) {
    case 0:
      operation.kind = OperationKind::kDropCollection;
      return operation;
    case 1:
      operation.kind = OperationKind::kCreateCollection;
      operation.config = {kDimension, Metric::kL2, ""};
      return operation;
    case 2:
      operation.kind = OperationKind::kDeleteByFilter;
      operation.limit = 20;
      return operation;
    default:
      break;
  }
  operation.attributes = EncodeAttributes({{"n", EncodeInt64(random.Within(5))}});
  if (random.Below(5) == 0) {
    operation.kind = OperationKind::kUpdateAttributes;
  } else if (random.Below(4) == 0) {
    operation.kind = OperationKind::kDelete;
  } else {
    operation.vector = RandomVector(random, kDimension, 100);
  }
  return operation;
}

// Count, list and search agree at n, and n's count stays what it was.
void ReadOnce(const StateMachine& machine, LogIndex n) {
  const Collection* collection = machine.FindCollection(kCollection, n);
  if (collection == nullptr) return;
  const uint64_t count = collection->StatsAt(n).record_count;
  uint64_t listed = 0;
  for (const auto* node = collection->records().First(); node != nullptr; node = node->Next()) {
    const RecordVersion* version = FindVisible(node->payload.newest.Get(), n);
    if (version == nullptr) continue;
    ++listed;
    ASSERT_EQ(collection->Find(version->id(), n), version);
  }
  ASSERT_EQ(listed, count);
  const std::vector<int32_t> vector(collection->config().dimension, 1);
  Filter filter;
  filter.kind = Filter::Kind::kCondition;
  filter.test = Filter::Test::kExists;
  filter.attribute = "n";
  SearchQuery query;
  query.vector = vector;
  query.k = 1000;
  query.filter = &filter;
  ASSERT_EQ(SearchAll(*collection, n, query, BestKernels()).size(), count);
}

// The answer by brute force over what is listed at n.
std::vector<std::pair<int64_t, std::string>> Nearest(const Collection& collection, LogIndex n,
                                                     const SearchQuery& query) {
  std::vector<std::pair<int64_t, std::string>> nearest;
  for (const auto* node = collection.records().First(); node != nullptr; node = node->Next()) {
    const RecordVersion* version = FindVisible(node->payload.newest.Get(), n);
    if (version == nullptr) continue;
    if (query.filter != nullptr && !query.filter->Matches(AttributesView(version->attributes()))) {
      continue;
    }
    const std::vector<int32_t> row = collection.vectors().Row(version->slot());
    int64_t distance = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const int64_t difference = int64_t{row[i]} - query.vector[i];
      distance += difference * difference;
    }
    nearest.emplace_back(distance, version->id());
  }
  std::sort(nearest.begin(), nearest.end());
  nearest.resize(std::min<size_t>(nearest.size(), query.k));
  return nearest;
}

// How much of the search was at work.
struct Work {
  std::atomic<uint64_t> ruled_out{0};
  std::atomic<uint64_t> narrowed{0};
};

// Searches of so many queries together that every stage of the scan takes part; the last two look
// for a value that few records have.
void SearchOnce(const StateMachine& machine, LogIndex n, Work* work) {
  constexpr uint32_t kNearest = 4;
  const Collection* collection = machine.FindCollection(kCollection, n);
  if (collection == nullptr) return;
  std::vector<std::vector<int32_t>> vectors;
  for (int32_t i = 0; i < 7; ++i) vectors.emplace_back(collection->config().dimension, 20 * i);
  Filter rare;
  rare.kind = Filter::Kind::kCondition;
  rare.test = Filter::Test::kEquals;
  rare.attribute = "n";
  rare.literals = {EncodeInt64(3)};
  std::vector<SearchQuery> queries;
  std::vector<TopHits> hits;
  for (const std::vector<int32_t>& vector : vectors) {
    queries.push_back({vector, kNearest, queries.size() < 5 ? nullptr : &rare, std::nullopt});
    hits.emplace_back(kNearest, std::nullopt);
  }
  std::vector<SearchCounts> counts(queries.size());
  // Sanitizers do not see the masked loads of the others.
  const Kernels& kernels = n % 2 == 0 ? BestKernels() : ScalarKernels();
  const SearchScan scan(*collection, n, queries, kernels);
  scan.Scan(0, scan.stretch_count(), hits, counts, scan.MakeScratch().get());
  for (size_t i = 0; i < queries.size(); ++i) {
    std::vector<std::pair<int64_t, std::string>> found;
    for (const SearchHit& hit : hits[i].TakeSorted()) {
      found.emplace_back(hit.distance, hit.version->id());
    }
    ASSERT_EQ(found, Nearest(*collection, n, queries[i])) << "at " << n;
    if (queries[i].filter == nullptr) work->ruled_out += counts[i].rows - counts[i].computed;
    if (counts[i].candidates > 0) ++work->narrowed;
  }
}

// What a writer does while three threads read.
struct Race {
  uint32_t dimension;
  std::function<Operation(TestRandom&)> next;
  std::function<void(const StateMachine&, LogIndex)> read;
  int entries;
  uint64_t reads;
};

void RunRace(const Race& race) {
  StateMachine machine;
  Registry registry;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  TestRandom random(4);
  const auto apply = [&](Operation operation) {
    Command command;
    command.operations.push_back(Prepare(std::move(operation)));
    Seal(command);
    machine.Apply(machine.next_index(), command);
    registry.Publish(machine.next_index() - 1);
  };
  Operation operation;
  operation.kind = OperationKind::kGenesis;
  operation.rules_version = kRulesVersion;
  apply(operation);
  operation.kind = OperationKind::kCreateCollection;
  operation.collection = kCollection;
  operation.config = {race.dimension, Metric::kL2, ""};
  apply(operation);
  for (int i = 0; i < 10; ++i) {
    operation.kind = OperationKind::kUpsert;
    operation.id = std::to_string(i);
    operation.vector.assign(race.dimension, i);
    operation.attributes = EncodeAttributes({{"n", EncodeInt64(i)}});
    apply(operation);
  }

  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!done && !::testing::Test::HasFatalFailure()) {
        const Registry::Ticket ticket = registry.Enter();
        race.read(machine, ticket->n);
        registry.Leave(ticket);
        ++reads;
      }
    });
  }
  for (int i = 0; i < race.entries || (reads < race.reads && i < 2'000'000); ++i) {
    apply(race.next(random));
    const Registry::Held oldest = registry.Reclaimable();
    std::vector<std::unique_ptr<Collection>> garbage;
    machine.Reclaim(oldest.n, oldest.began, 8, &garbage);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(reads, 0u);
}

TEST(ReadersTest, SeeTheirIndexWhileTheWriterGoesOn) {
  RunRace({3, RandomOperation, ReadOnce, 20'000, 2000});
}

// Few records, so that a reader is often in the middle of the one that changes.
TEST(ReadersTest, SeeTheirAttributesWhileTheseChange) {
  const auto next = [](TestRandom& random) {
    Operation operation;
    operation.kind = OperationKind::kUpdateAttributes;
    operation.collection = kCollection;
    operation.id = std::to_string(random.Below(10));
    operation.attributes = EncodeAttributes({{"n", EncodeInt64(random.Within(5))}});
    return operation;
  };
  RunRace({3, next, ReadOnce, 30'000, 2000});
}

// Rows come, die and are written over in blocks that are full and blocks that are not, with
// residuals of every width and under several means.
TEST(ReadersTest, FindTheNearestWhileRowsAreWrittenOver) {
  constexpr uint32_t kDimension = 40;
  Work work;
  const auto next = [](TestRandom& random) {
    Operation operation;
    operation.collection = kCollection;
    // So many that blocks are full at times, and so few changes at a time.
    operation.id = std::to_string(random.Below(1500));
    const uint64_t kind = random.Below(12);
    if (kind == 0) {
      operation.kind = OperationKind::kDelete;
      return operation;
    }
    operation.attributes = EncodeAttributes({{"n", EncodeInt64(random.Within(20))}});
    if (kind == 1) {
      operation.kind = OperationKind::kUpdateAttributes;
    } else {
      constexpr int32_t kBounds[] = {100, 2'000, 400'000, 100'000'000};
      operation.vector = RandomVector(random, kDimension, kBounds[random.Below(4)]);
    }
    return operation;
  };
  const auto read = [&](const StateMachine& machine, LogIndex n) { SearchOnce(machine, n, &work); };
  RunRace({kDimension, next, read, 10'000, 1000});
  EXPECT_GT(work.ruled_out, 0u);
  EXPECT_GT(work.narrowed, 0u);
}

}  // namespace
}  // namespace stele::index
