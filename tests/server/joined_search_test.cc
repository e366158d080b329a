// If these fail, searches that come at the same time get another's answer or none, wait for each
// other longer than for one pass, or push aside what the server has accepted before them.
#include "server/joined_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <mutex>
#include <random>
#include <thread>

namespace stele::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using Found = std::vector<std::pair<int64_t, std::string>>;

constexpr uint32_t kDimension = 16;
constexpr uint32_t kHits = 7;

std::vector<int32_t> RandomVector(std::mt19937* random) {
  std::vector<int32_t> vector(kDimension);
  for (int32_t& component : vector) component = static_cast<int32_t>((*random)() % 200001) - 100000;
  return vector;
}

// Sorts everything that is visible.
Found BruteForce(const JoinedAnswer& answer, std::span<const int32_t> query) {
  Found all;
  for (const auto* node = answer.collection->records().First(); node != nullptr;
       node = node->Next()) {
    const auto* version = index::FindVisible(node->payload.newest.Get(), answer.view->n());
    if (version == nullptr) continue;
    const std::vector<int32_t> row = answer.collection->vectors().Row(version->slot());
    const int64_t distance =
        index::ScalarKernels().squared_l2(query.data(), row.data(), kDimension);
    all.emplace_back(distance, version->id());
  }
  std::sort(all.begin(), all.end());
  all.resize(std::min<size_t>(all.size(), kHits));
  return all;
}

Found HitsOf(const JoinedAnswer& answer) {
  Found found;
  for (const index::SearchHit& hit : *answer.hits) {
    found.emplace_back(hit.distance, hit.version->id());
  }
  return found;
}

// What happened, in order.
class Events {
 public:
  void Add(const std::string& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  std::vector<std::string> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> events_;
};

class JoinedSearchTest : public ::testing::Test {
 protected:
  void Open(uint32_t threads, size_t queue_max, uint32_t join_max = 32, uint64_t bytes_min = 0) {
    directory_ = fs::temp_directory_path() / ("stele joined " + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    EngineOptions options;
    options.data_directory = (directory_ / "data").string();
    options.search_threads = 2;
    RecoveryReport report;
    engine_ = Engine::Open(std::move(options), &report).value();
    index::Operation create;
    create.kind = index::OperationKind::kCreateCollection;
    create.collection = "c";
    create.config = {kDimension, index::Metric::kL2, ""};
    Write({create});
    std::vector<index::Operation> operations;
    for (int i = 0; i < 700; ++i) operations.push_back(Upsert(i));
    Write(std::move(operations));
    executor_ = std::make_unique<Executor>(threads, queue_max);
    joined_ = std::make_unique<JoinedSearches>(engine_.get(), executor_.get(),
                                               JoinOptions{join_max, bytes_min});
  }
  void TearDown() override {
    executor_.reset();
    engine_.reset();
    fs::remove_all(directory_);
  }

  void Write(std::vector<index::Operation> operations) {
    WriteTask task;
    task.request_id = "request " + std::to_string(++writes_);
    for (index::Operation& operation : operations) {
      task.operations.push_back(index::Prepare(std::move(operation)));
    }
    std::promise<bool> done;
    engine_->Submit(std::move(task), [&](const absl::StatusOr<WriteResult>& result) {
      done.set_value(result.ok() && result->commit.outcome == index::Outcome::kOk);
    });
    EXPECT_TRUE(done.get_future().get());
  }
  index::Operation Upsert(int number) {
    index::Operation operation;
    operation.collection = "c";
    operation.id = "r" + std::to_string(number);
    operation.vector = RandomVector(&random_);
    return operation;
  }

  // A search that compares its answer with brute force, and then is counted down.
  JoinableSearch Search(const std::string& name, std::function<bool()> stopped = nullptr) {
    std::shared_ptr<const std::vector<int32_t>> vector;
    {
      const std::lock_guard lock(random_mutex_);
      vector = std::make_shared<const std::vector<int32_t>>(RandomVector(&queries_random_));
    }
    JoinableSearch search;
    search.collection = "c";
    search.prepare = [this, vector,
                      name](const index::CollectionConfig&) -> absl::StatusOr<index::SearchQuery> {
      events_.Add("scan " + name);
      return index::SearchQuery{*vector, kHits, nullptr, std::nullopt};
    };
    search.stopped = stopped != nullptr ? std::move(stopped) : [] { return false; };
    ++begun_;
    const index::LogIndex published = engine_->published_index();
    search.done = [this, vector, name, published](const absl::StatusOr<JoinedAnswer>& answer) {
      if (answer.ok()) {
        EXPECT_EQ(HitsOf(*answer), BruteForce(*answer, *vector));
        EXPECT_GE(answer->view->n(), published);
      }
      events_.Add((answer.ok() ? "done " : "failed ") + name);
      --begun_;
      begun_.notify_all();
    };
    return search;
  }
  // The same, held in its preparation.
  JoinableSearch Held(const std::string& name) {
    JoinableSearch search = Search(name);
    search.prepare = [this,
                      prepare = std::move(search.prepare)](const index::CollectionConfig& config) {
      held_.set_value();
      release_.get_future().wait();
      return prepare(config);
    };
    return search;
  }
  void Submit(JoinableSearch search) { EXPECT_TRUE(joined_->Submit(std::move(search))); }
  void SubmitHeld() {
    Submit(Held("first"));
    held_.get_future().wait();
  }
  void Release() {
    release_.set_value();
    WaitForAll();
  }
  void WaitForAll() {
    for (int left = begun_.load(); left != 0; left = begun_.load()) begun_.wait(left);
  }

  fs::path directory_;
  std::mt19937 random_{3};
  std::mutex random_mutex_;
  std::mt19937 queries_random_{4};
  int writes_ = 0;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<JoinedSearches> joined_;
  std::promise<void> held_, release_;
  std::atomic<int> begun_{0};
  Events events_;
};

TEST_F(JoinedSearchTest, WhatComesDuringAPassSharesTheNext) {
  Open(2, 8);
  SubmitHeld();
  for (const char* name : {"a", "b", "c"}) Submit(Search(name));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "scan a", "scan b", "scan c",
                                          "done a", "done b", "done c"));
  EXPECT_EQ(engine_->stats().searches_joined, 3u);
  EXPECT_EQ(engine_->stats().searches, 4u);
  // Nothing is under way: no pass to wait for.
  Submit(Search("last"));
  WaitForAll();
  EXPECT_EQ(engine_->stats().searches_joined, 3u);
}

TEST_F(JoinedSearchTest, APassHasABoundAndTakesTheOldest) {
  Open(1, 8, 2);
  SubmitHeld();
  for (const char* name : {"a", "b", "c"}) Submit(Search(name));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "scan a", "scan b", "done a",
                                          "done b", "scan c", "done c"));
}

TEST_F(JoinedSearchTest, OneThatHasStoppedLeaves) {
  Open(1, 8);
  SubmitHeld();
  Submit(Search("gone", [] { return true; }));
  // Asked before the pass, then during it.
  Submit(Search("going", [asked = std::make_shared<std::atomic<int>>(0)] { return ++*asked > 1; }));
  Submit(Search("staying"));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "failed gone", "scan going",
                                          "scan staying", "failed going", "done staying"));
}

TEST_F(JoinedSearchTest, APassThatNobodyWaitsForIsGivenUp) {
  Open(1, 8);
  SubmitHeld();
  for (const char* name : {"a", "b"}) {
    Submit(Search(name, [asked = std::make_shared<std::atomic<int>>(0)] { return ++*asked > 1; }));
  }
  Release();
  EXPECT_THAT(events_.Take(),
              ElementsAre("scan first", "done first", "scan a", "scan b", "failed a", "failed b"));
  EXPECT_EQ(engine_->stats().searches, 1u);
}

TEST_F(JoinedSearchTest, OneThatIsWrongFailsAlone) {
  Open(1, 8);
  SubmitHeld();
  JoinableSearch wrong = Search("wrong");
  wrong.prepare = [](const index::CollectionConfig&) { return absl::InvalidArgumentError("no"); };
  Submit(std::move(wrong));
  Submit(Search("right"));
  JoinableSearch elsewhere = Search("elsewhere");
  elsewhere.collection = "not there";
  Submit(std::move(elsewhere));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "failed elsewhere",
                                          "failed wrong", "scan right", "done right"));
}

TEST_F(JoinedSearchTest, FilteredOnesDoNotJoinTheOthers) {
  Open(1, 8);
  SubmitHeld();
  Submit(Search("a"));
  JoinableSearch filtered = Search("filtered");
  filtered.filtered = true;
  Submit(std::move(filtered));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "scan filtered",
                                          "done filtered", "scan a", "done a"));
  EXPECT_EQ(engine_->stats().searches_joined, 0u);
}

TEST_F(JoinedSearchTest, WhatWasAcceptedBeforeRunsBeforeTheNextPass) {
  Open(1, 8);
  SubmitHeld();
  ASSERT_TRUE(executor_->Submit([this] { events_.Add("other"); }));
  for (const char* name : {"a", "b"}) Submit(Search(name));
  Release();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "other", "scan a", "scan b",
                                          "done a", "done b"));
}

TEST_F(JoinedSearchTest, AFullExecutorRefusesTheFirstButDropsNobody) {
  Open(1, 1);
  SubmitHeld();
  ASSERT_TRUE(executor_->Submit([this] { events_.Add("other"); }));
  // Without a pass of their own kind to wait for, there is no room for them.
  JoinableSearch filtered = Search("filtered");
  filtered.filtered = true;
  EXPECT_FALSE(joined_->Submit(std::move(filtered)));
  --begun_;
  for (const char* name : {"a", "b"}) Submit(Search(name));
  Release();
  executor_.reset();
  EXPECT_THAT(events_.Take(), ElementsAre("scan first", "done first", "scan a", "scan b", "done a",
                                          "done b", "other"));
}

TEST_F(JoinedSearchTest, ManyAtOnceWhileWritesGoOn) {
  Open(2, 64, 5);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop.load(); i = (i + 1) % 700) {
      Write({Upsert(i), Upsert(700 + i)});
      index::Operation remove;
      remove.kind = index::OperationKind::kDelete;
      remove.collection = "c";
      remove.id = "r" + std::to_string(700 + i);
      Write({std::move(remove)});
    }
  });
  std::vector<std::thread> searchers;
  for (int t = 0; t < 8; ++t) {
    searchers.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        std::promise<void> done;
        JoinableSearch search = Search(std::to_string(t));
        search.done = [&done,
                       inner = std::move(search.done)](const absl::StatusOr<JoinedAnswer>& answer) {
          EXPECT_TRUE(answer.ok()) << answer.status();
          inner(answer);
          done.set_value();
        };
        Submit(std::move(search));
        done.get_future().wait();
      }
    });
  }
  for (std::thread& thread : searchers) thread.join();
  stop.store(true);
  writer.join();
  EXPECT_EQ(engine_->stats().searches, 320u);
}

TEST_F(JoinedSearchTest, OnlyLongPassesAreWorthwhile) {
  uint64_t code_bytes = 0;
  {
    Open(1, 8, 2);
    const absl::StatusOr<ReadView> view = engine_->Read(std::nullopt);
    code_bytes = uint64_t{view->FindCollection("c")->vectors().block_count()} * 64 * 16;
  }
  EXPECT_TRUE(joined_->Worthwhile("c"));
  EXPECT_FALSE(joined_->Worthwhile("not there"));
  TearDown();
  Open(1, 8, 2, code_bytes);
  EXPECT_TRUE(joined_->Worthwhile("c"));
  TearDown();
  Open(1, 8, 2, code_bytes + 1);
  EXPECT_FALSE(joined_->Worthwhile("c"));
  TearDown();
  Open(1, 8, 1);
  EXPECT_FALSE(joined_->Worthwhile("c"));
}

}  // namespace
}  // namespace stele::server
