// If these fail, a search is not the brute-force answer, depends on the kernel or on how the scan
// is divided, or a filter means two things.
#include "index/search.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/index/available_kernels.h"
#include "tests/property/commands.h"
#include "tests/property/comparison.h"

namespace stele::property {
namespace {

std::string Ids(const std::vector<index::SearchHit>& hits) {
  std::string out;
  for (const index::SearchHit& hit : hits) {
    out += std::to_string(hit.distance) + " " + std::string(hit.version->id()) + "\n";
  }
  return out;
}

std::string Ids(const std::vector<reference::Hit>& hits) {
  std::string out;
  for (const reference::Hit& hit : hits) {
    out += std::to_string(static_cast<int64_t>(hit.distance)) + " " + hit.id + "\n";
  }
  return out;
}

// Some query of `collection` at n with every kernel against sorting everything.
void CompareOnce(const index::Collection& collection, index::LogIndex n,
                 const reference::Collection& expected, CommandSource& source) {
  index::TestRandom& random = source.random();
  const std::vector<int32_t> vector =
      source.RandomVector(expected.config.dimension, expected.config.metric);
  const index::Filter filter = source.RandomFilter();
  index::SearchQuery query;
  query.vector = vector;
  query.k = static_cast<uint32_t>(1 + random.Below(random.Below(2) == 0 ? 4 : 400));
  if (random.Below(2) == 0) query.filter = &filter;
  if (random.Below(3) == 0) {
    const auto all = reference::Search(expected, vector, 1000, nullptr, std::nullopt);
    if (!all.empty()) {
      query.distance_max = static_cast<int64_t>(all[random.Below(all.size())].distance);
      if (random.Below(3) == 0) --*query.distance_max;
    }
  }
  const std::string answer =
      Ids(reference::Search(expected, vector, query.k, query.filter, query.distance_max));
  for (const index::Kernels* kernels : index::AvailableKernels()) {
    ASSERT_EQ(Ids(SearchInParts(collection, n, query, *kernels)), answer)
        << "at " << n << ", " << kernels->name;
  }
}

TEST(SearchTest, IsBruteForceAtEveryIndex) {
  const uint64_t fresh_seed = SeedFromEnvironment();
  for (const uint64_t seed : {uint64_t{21}, uint64_t{22}, uint64_t{23}, fresh_seed}) {
    SCOPED_TRACE("STELE_SEED=" + std::to_string(seed));
    CommandSource source(seed);
    index::StateMachine machine;
    reference::Machine reference;
    std::map<index::LogIndex, reference::State> states;
    index::LogIndex horizon = 0;
    for (index::LogIndex i = 0; i < 400; ++i) {
      const index::Command command = source.Next(reference.state());
      machine.Apply(i, command);
      reference.Apply(command);
      states[i] = reference.state();
      if (i % 50 == 49) {
        std::vector<std::unique_ptr<index::Collection>> garbage;
        horizon = i - 20;
        machine.Reclaim(horizon, index::kNever, 1000, &garbage);
        machine.Reclaim(horizon, index::kNever, 1000, &garbage);
      }
      const index::LogIndex n = horizon + source.random().Below(i - horizon + 1);
      for (const auto& [name, collection] : states.at(n).collections) {
        CompareOnce(*machine.FindCollection(name, n), n, collection, source);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Many records, several blocks, many ties, and holes where rows died.
TEST(SearchTest, IsBruteForceOverManyBlocks) {
  for (const index::Metric metric :
       {index::Metric::kL2, index::Metric::kDot, index::Metric::kCosine}) {
    CommandSource source(31);
    index::StateMachine machine;
    reference::Machine reference;
    const auto apply = [&](std::vector<index::Operation> operations) {
      index::Command command;
      for (auto& operation : operations) {
        command.operations.push_back(index::Prepare(std::move(operation)));
      }
      index::Seal(command);
      machine.Apply(machine.next_index(), command);
      reference.Apply(command);
    };
    index::Operation operation;
    operation.kind = index::OperationKind::kGenesis;
    operation.rules_version = 1;
    apply({operation});
    operation.kind = index::OperationKind::kCreateCollection;
    operation.collection = "c";
    operation.config = {5, metric, ""};
    apply({operation});
    std::vector<index::Operation> batch;
    for (int i = 0; i < 600; ++i) {
      index::Operation upsert;
      upsert.collection = "c";
      upsert.id = std::to_string(i * 7919 % 600);
      upsert.vector = source.RandomVector(5, metric);
      upsert.attributes = source.RandomAttributes();
      batch.push_back(std::move(upsert));
      // Small batches: a vector that COSINE refuses takes its batch with it.
      if (batch.size() == 5) {
        apply(std::move(batch));
        batch.clear();
      }
    }
    index::Operation by_filter;
    by_filter.kind = index::OperationKind::kDeleteByFilter;
    by_filter.collection = "c";
    by_filter.limit = 300;
    by_filter.filter.kind = index::Filter::Kind::kCondition;
    by_filter.filter.test = index::Filter::Test::kExists;
    by_filter.filter.attribute = "n";
    apply({by_filter});
    const index::LogIndex n = machine.next_index() - 1;
    ASSERT_GT(reference.state().collections.at("c").records.size(), 100u);
    for (int i = 0; i < 200; ++i) {
      CompareOnce(*machine.FindCollection("c", n), n, reference.state().collections.at("c"),
                  source);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(FilterTest, MeansWhatTheReferenceSays) {
  CommandSource source(SeedFromEnvironment());
  size_t matching = 0;
  for (int i = 0; i < 200'000; ++i) {
    const index::Filter filter = source.RandomFilter();
    const std::string attributes = source.RandomAttributes();
    const bool expected = reference::Matches(filter, reference::ParseAttributes(attributes));
    ASSERT_EQ(filter.Matches(index::AttributesView(attributes)), expected);
    matching += expected ? 1 : 0;
  }
  EXPECT_GT(matching, 20'000u);
  EXPECT_LT(matching, 180'000u);
}

}  // namespace
}  // namespace stele::property
