// If these fail, an exact search is not the brute-force answer: a bound ruled out what belongs in
// it, or the answer depends on the kernels, on the other queries of a batch or on how the scan is
// divided.
//
// STELE_SEARCH_CASES: how many small cases are tried (100,000 by default; about 15,000 a second).
// STELE_SEED: the seed of half of them; it is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "index/search.h"
#include "tests/index/available_kernels.h"
#include "tests/property/commands.h"
#include "tests/property/scan_world.h"
#include "tests/property/vector_kinds.h"

namespace stele::property {
namespace {

using index::Metric;
using index::TestRandom;

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kDot, Metric::kCosine};

std::string Describe(const WorldQuery& query) {
  std::string out = "k " + std::to_string(query.k);
  if (query.distance_max.has_value()) out += " max " + std::to_string(*query.distance_max);
  if (query.tag.has_value()) out += " tag " + std::to_string(*query.tag);
  if (query.tag_below.has_value()) out += " tag below " + std::to_string(*query.tag_below);
  for (size_t i = 0; i < std::min<size_t>(query.vector.size(), 8); ++i) {
    out += " " + std::to_string(query.vector[i]);
  }
  return out;
}

// What all searches of a test did.
index::SearchCounts all_counts;

// All queries in one scan and, where `alone`, each in one of its own, with every kernel.
void Compare(const ScanWorld& world, index::LogIndex n, const std::vector<WorldQuery>& queries,
             bool alone) {
  std::vector<WorldAnswer> expected;
  for (const WorldQuery& query : queries) expected.push_back(world.Expected(query, n));
  for (const index::Kernels* kernels : index::AvailableKernels()) {
    const auto answers = Search(world.collection(), n, queries, *kernels, &all_counts);
    for (size_t i = 0; i < queries.size(); ++i) {
      ASSERT_EQ(answers[i], expected[i])
          << kernels->name << ", query " << i << " of " << queries.size() << " at " << n << ", "
          << world.dimension() << " d, metric " << static_cast<int>(world.metric()) << ": "
          << Describe(queries[i]);
      if (!alone || queries.size() == 1) continue;
      ASSERT_EQ(Search(world.collection(), n, {queries[i]}, *kernels, &all_counts)[0], expected[i])
          << kernels->name << ", alone at " << n << ", " << world.dimension() << " d, metric "
          << static_cast<int>(world.metric()) << ": " << Describe(queries[i]);
    }
  }
}

// A world of vectors of few kinds, and queries for it.
class Case {
 public:
  Case(uint32_t dimension, Metric metric, TestRandom* random)
      : random_(*random), source_(dimension, metric, random), world_(dimension, metric) {
    for (uint64_t left = 1 + random_.Below(3); left > 0; --left) {
      kinds_.push_back(static_cast<VectorKind>(random_.Below(kVectorKinds)));
    }
  }

  const ScanWorld& world() const { return world_; }
  ScanWorld& world() { return world_; }
  VectorSource& source() { return source_; }
  void set_kinds(std::vector<VectorKind> kinds) { kinds_ = std::move(kinds); }

  Vector RandomVector() {
    if (world_.size() > 0 && random_.Below(4) == 0) {
      const Vector& other = world_.vector(random_.Below(world_.size()));
      return random_.Below(2) == 0 ? other : source_.Near(other);
    }
    return source_.Make(kinds_[random_.Below(kinds_.size())]);
  }
  std::string RandomId() {
    std::string id;
    for (uint64_t left = 1 + random_.Below(4); left > 0; --left) {
      id += static_cast<char>(random_.Below(256));
    }
    return id;
  }
  void Upsert() { world_.Upsert(RandomId(), RandomVector(), Tag()); }
  // Rows that come and go, so that means are taken and later rows have one.
  void TakeMeans(uint64_t rows, bool recycle) {
    for (uint64_t i = 0; i < rows; ++i) {
      world_.Upsert("m" + std::to_string(i % 2000), RandomVector(), Tag());
    }
    for (uint64_t i = 0; i < 2000; ++i) {
      if (random_.Below(64) != 0) world_.Delete("m" + std::to_string(i));
    }
    world_.Reclaim(recycle);
  }
  // Some entries of every kind.
  void Change() {
    for (uint64_t left = random_.Below(60); left > 0; --left) {
      const std::string id =
          world_.size() > 0 ? world_.id(random_.Below(world_.size())) : RandomId();
      switch (random_.Below(5)) {
        case 0:
          world_.Delete(id);
          break;
        case 1:
          if (world_.collection().records().Find(id) != nullptr) world_.SetTag(id, Tag());
          break;
        case 2:
          world_.Upsert(id, RandomVector(), Tag());
          break;
        default:
          Upsert();
      }
    }
    if (random_.Below(4) == 0) world_.Reclaim(true);
  }
  WorldQuery RandomQuery() {
    WorldQuery query;
    query.vector = random_.Below(8) == 0 ? source_.Along() : RandomVector();
    const auto size = static_cast<uint32_t>(world_.size());
    const uint32_t ks[] = {1, 1, 2, 3, 10, 10, 30, std::max(1u, size), size + 5, 10'000};
    query.k = std::min(ks[random_.Below(std::size(ks))], 10'000u);
    if (random_.Below(3) == 0) query.tag_below = static_cast<int64_t>(random_.Below(12)) - 1;
    if (random_.Below(4) == 0) query.tag = static_cast<int64_t>(random_.Below(12)) - 1;
    if (size > 0 && random_.Below(2) == 0) {
      // A tie with some row, or one less than that.
      query.distance_max = world_.Distance(query.vector, world_.vector(random_.Below(size))) -
                           static_cast<int64_t>(random_.Below(3) == 0);
    }
    return query;
  }
  std::vector<WorldQuery> RandomQueries(uint64_t count) {
    std::vector<WorldQuery> queries;
    for (; count > 0; --count) queries.push_back(RandomQuery());
    return queries;
  }
  index::LogIndex RandomIndex() {
    if (random_.Below(2) == 0) return world_.last();
    return world_.first() + random_.Below(world_.last() - world_.first() + 1);
  }

 private:
  int64_t Tag() { return static_cast<int64_t>(random_.Below(10)); }

  TestRandom& random_;
  VectorSource source_;
  ScanWorld world_;
  std::vector<VectorKind> kinds_;
};

// Small cases of one seed.
void TrySmallCases(uint64_t seed, uint64_t cases) {
  SCOPED_TRACE("STELE_SEED=" + std::to_string(seed));
  TestRandom random(seed);
  static constexpr uint64_t kBatches[] = {1, 1, 2, 3, 4, 5, 7, 9};
  for (uint64_t done = 0; done < cases;) {
    const auto dimension = static_cast<uint32_t>(1 + random.Below(random.Below(4) == 0   ? 67
                                                                  : random.Below(2) == 0 ? 3
                                                                                         : 8));
    Case test(dimension, kMetrics[random.Below(3)], &random);
    if (random.Below(4) == 0) test.TakeMeans(1024, random.Below(2) == 0);
    for (uint64_t left = random.Below(300); left > 0; --left) test.Upsert();
    for (uint64_t left = 40; left > 0; --left) {
      if (random.Below(4) == 0) test.Change();
      if (test.world().last() == 0) continue;
      const auto queries = test.RandomQueries(kBatches[random.Below(std::size(kBatches))]);
      Compare(test.world(), test.RandomIndex(), queries, random.Below(4) == 0);
      if (testing::Test::HasFatalFailure()) return;
      done += queries.size();
    }
  }
}

TEST(ExactSearchTest, SmallCases) {
  const char* text = std::getenv("STELE_SEARCH_CASES");
  const uint64_t cases = text != nullptr ? std::strtoull(text, nullptr, 10) : 100'000;
  all_counts = {};
  TrySmallCases(SeedFromEnvironment(), cases / 2);
  TrySmallCases(41, cases / 2);
  // Both levels rule out what they can, or nothing was tested.
  EXPECT_LT(all_counts.kept4, all_counts.rows / 3);
  EXPECT_LT(all_counts.kept8, all_counts.kept4 * 9 / 10);
  EXPECT_GT(all_counts.candidates, 1000u);
  std::printf(
      "of %.0f million rows the first level kept %.1f %%, the second %.1f %%; "
      "postings named %.2f million\n",
      static_cast<double>(all_counts.rows) / 1e6,
      100.0 * static_cast<double>(all_counts.kept4) / static_cast<double>(all_counts.rows),
      100.0 * static_cast<double>(all_counts.kept8) / static_cast<double>(all_counts.rows),
      static_cast<double>(all_counts.candidates) / 1e6);
}

TEST(ExactSearchTest, EveryDimension) {
  TestRandom random(42);
  std::vector<uint32_t> dimensions = {100, 384, 768, 1536};
  for (uint32_t dimension = 1; dimension <= 67; ++dimension) dimensions.push_back(dimension);
  for (const uint32_t dimension : dimensions) {
    for (const Metric metric : kMetrics) {
      Case test(dimension, metric, &random);
      std::vector<VectorKind> kinds;
      for (uint64_t kind = 0; kind < kVectorKinds; ++kind) {
        kinds.push_back(static_cast<VectorKind>(kind));
      }
      test.set_kinds(kinds);
      for (int i = 0; i < 200; ++i) test.Upsert();
      test.Change();
      Compare(test.world(), test.RandomIndex(), test.RandomQueries(10), dimension % 3 == 0);
      if (HasFatalFailure()) return;
    }
  }
}

// Every vector many times, so that the k-th place stands among thousands of equal distances.
TEST(ExactSearchTest, ThousandsOfTies) {
  TestRandom random(43);
  for (const Metric metric : kMetrics) {
    for (const VectorKind kind :
         {VectorKind::kSmall, VectorKind::kLine, VectorKind::kOffset, VectorKind::kCodedEdge}) {
      Case test(4, metric, &random);
      test.set_kinds({kind});
      Vector vectors[3];
      for (Vector& vector : vectors) vector = test.source().Make(kind);
      for (int i = 0; i < 5000; ++i) {
        test.world().Upsert(test.RandomId() + std::to_string(i % 7), vectors[random.Below(3)],
                            static_cast<int64_t>(random.Below(10)));
      }
      std::vector<WorldQuery> queries;
      for (const uint32_t k : {1u, 10u, 1000u, 2500u, 10'000u}) {
        WorldQuery query = test.RandomQuery();
        query.k = k;
        queries.push_back(query);
        query.vector = vectors[1];
        queries.push_back(query);
      }
      Compare(test.world(), test.RandomIndex(), queries, true);
      if (HasFatalFailure()) return;
    }
  }
}

// Enough rows for two means, several stretches, and what is left of blocks that began before.
TEST(ExactSearchTest, ManyRowsUnderSeveralMeans) {
  TestRandom random(44);
  for (const Metric metric : kMetrics) {
    for (const uint32_t dimension : {1u, 2u, 6u}) {
      Case test(dimension, metric, &random);
      test.set_kinds({VectorKind::kOffset, VectorKind::kOffset, VectorKind::kIsotropic,
                      dimension == 1 ? VectorKind::kHeavyTailed : VectorKind::kLine});
      for (int i = 0; i < 21'000; ++i) {
        test.world().Upsert(std::to_string(i), test.RandomVector(),
                            static_cast<int64_t>(random.Below(10)));
      }
      ASSERT_EQ(test.world().collection().vectors().epoch_count(), 3u);
      for (int i = 0; i < 3000; ++i) {
        test.world().Delete(std::to_string(random.Below(random.Below(2) == 0 ? 21'000 : 3000)));
      }
      for (int round = 0; round < 4; ++round) {
        const auto queries = test.RandomQueries(round == 0 ? 1 : 6);
        Compare(test.world(), test.RandomIndex(), queries, round == 1);
        if (HasFatalFailure()) return;
        test.Change();
      }
      test.world().Reclaim(true);
      for (int i = 0; i < 1500; ++i) test.Upsert();
      Compare(test.world(), test.RandomIndex(), test.RandomQueries(12), true);
      if (HasFatalFailure()) return;
    }
  }
}

// Whoever scans what, in whatever order, and whatever they tell each other.
TEST(ExactSearchTest, DividedInAnyWay) {
  TestRandom random(45);
  for (const Metric metric : kMetrics) {
    for (const uint32_t dimension : {2u, 5u, 33u}) {
      Case test(dimension, metric, &random);
      test.set_kinds({VectorKind::kOffset, VectorKind::kSmall, VectorKind::kLine});
      for (int i = 0; i < 6000; ++i) test.Upsert();
      for (const size_t parts : {2u, 3u, 8u}) {
        const index::LogIndex n = test.RandomIndex();
        const auto queries = test.RandomQueries(random.Below(2) == 0 ? 2 : 6);
        std::vector<WorldAnswer> expected;
        for (const WorldQuery& query : queries) expected.push_back(test.world().Expected(query, n));
        for (const index::Kernels* kernels : index::AvailableKernels()) {
          ASSERT_EQ(SearchDivided(test.world().collection(), n, queries, *kernels, parts, random),
                    expected)
              << kernels->name << " " << parts << " parts, " << dimension << " d";
        }
      }
    }
  }
}

// One answer for a query, in whatever company.
TEST(ExactSearchTest, BatchesOfEverySize) {
  TestRandom random(46);
  for (const uint32_t dimension : {3u, 40u, 130u}) {
    Case test(dimension, kMetrics[dimension % 3], &random);
    test.set_kinds({VectorKind::kIsotropic, VectorKind::kOffset, VectorKind::kLine});
    for (int i = 0; i < 1500; ++i) test.Upsert();
    test.Change();
    for (const uint64_t size : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 15u, 16u, 17u, 33u, 100u}) {
      Compare(test.world(), test.RandomIndex(), test.RandomQueries(size), true);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace stele::property
