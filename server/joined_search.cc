#include "server/joined_search.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "server/views.h"

namespace stele::server {
namespace {

using std::chrono::steady_clock;

constexpr size_t kWaitingMax = 4096;
// Where several were seen at a time, the next pass waits so long at most for them to come back, as
// clients in a loop do: else the first to come back would get a pass of its own before the others.
constexpr int kLingerShare = 16;  // of the pass
constexpr std::chrono::milliseconds kLingerMax{5};

using Members = std::vector<JoinableSearch>;

bool AllStopped(const Members& members) {
  return std::all_of(members.begin(), members.end(),
                     [](const JoinableSearch& member) { return member.stopped(); });
}

void FinishAll(const Members& members, const absl::Status& status) {
  for (const JoinableSearch& member : members) member.done(status);
}

// One pass for all members.
void Answer(const Engine& engine, Members members) {
  const absl::StatusOr<CollectionView> opened =
      OpenCollection(engine, {}, members.front().collection);
  if (!opened.ok()) return FinishAll(members, opened.status());
  Members scanned;
  std::vector<index::SearchQuery> queries;
  for (JoinableSearch& member : members) {
    if (member.stopped()) {
      member.done(absl::CancelledError());
      continue;
    }
    const absl::StatusOr<index::SearchQuery> query = member.prepare(opened->collection->config());
    if (!query.ok()) {
      member.done(query.status());
      continue;
    }
    queries.push_back(*query);
    scanned.push_back(std::move(member));
  }
  if (scanned.empty()) return;
  const absl::StatusOr<SearchAnswer> found = engine.Search(
      opened->view, *opened->collection, queries, [&scanned] { return AllStopped(scanned); });
  if (!found.ok()) return FinishAll(scanned, found.status());
  if (scanned.size() > 1) engine.CountJoined(scanned.size());
  for (size_t i = 0; i < scanned.size(); ++i) {
    if (scanned[i].stopped()) {
      scanned[i].done(absl::CancelledError());
    } else {
      scanned[i].done(
          JoinedAnswer{&opened->view, opened->collection, &found->hits[i], &found->counts[i]});
    }
  }
}

}  // namespace

struct JoinedSearches::State : std::enable_shared_from_this<State> {
  struct Key {
    std::string collection;
    bool filtered;
    auto operator<=>(const Key&) const = default;
  };
  // One exists while a task of the executor leads it.
  struct Group {
    std::deque<JoinableSearch> waiting;
    size_t wanted = 0;  // the leader lingers until so many wait
  };

  State(const Engine* engine_in, Executor* executor_in, JoinOptions options_in)
      : engine(engine_in), executor(executor_in), options(options_in) {}

  // REQUIRES: the mutex held. The executor never calls back from inside.
  bool SubmitLeader(const Key& key) {
    return executor->Submit([self = shared_from_this(), key] { self->Lead(key); });
  }

  void Lead(const Key& key) {
    for (bool more = true; more;) {
      Members members = Take(key);
      const size_t count = members.size();
      const auto began = steady_clock::now();
      Answer(*engine, std::move(members));
      more = GoOn(key, count, steady_clock::now() - began);
    }
  }

  Members Take(const Key& key) {
    const std::lock_guard lock(mutex);
    std::deque<JoinableSearch>& waiting = groups.find(key)->second.waiting;
    Members members;
    while (!waiting.empty() && members.size() < options.searches_max) {
      members.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
    waiting_count -= members.size();
    return members;
  }

  // Whether the caller must lead once more. Whoever waits is otherwise led by a new task, behind
  // what else the executor has accepted in the meantime.
  bool GoOn(const Key& key, size_t count, steady_clock::duration pass) {
    std::unique_lock lock(mutex);
    const auto group = groups.find(key);
    Group& led = group->second;
    if (const size_t seen = count + led.waiting.size(); seen > 1) {
      led.wanted = std::min<size_t>(seen, options.searches_max);
      const auto linger = std::min<steady_clock::duration>(pass / kLingerShare, kLingerMax);
      changed.wait_for(lock, linger, [&led] { return led.waiting.size() >= led.wanted; });
      led.wanted = 0;
    }
    if (!led.waiting.empty()) return !SubmitLeader(key);
    groups.erase(group);
    return false;
  }

  const Engine* const engine;
  Executor* const executor;
  const JoinOptions options;
  std::mutex mutex;
  std::condition_variable changed;  // a group has as many as it wants
  std::map<Key, Group> groups;
  size_t waiting_count = 0;
};

JoinedSearches::JoinedSearches(const Engine* engine, Executor* executor, JoinOptions options)
    : state_(std::make_shared<State>(engine, executor, options)) {}

JoinedSearches::~JoinedSearches() = default;

bool JoinedSearches::Worthwhile(std::string_view collection) const {
  if (state_->options.searches_max < 2) return false;
  const absl::StatusOr<ReadView> view = state_->engine->Read(std::nullopt);
  if (!view.ok()) return false;
  const index::Collection* found = view->FindCollection(collection);
  if (found == nullptr) return false;
  const uint64_t rows = uint64_t{found->vectors().block_count()} * index::kBlockRows;
  return rows * index::NibbleBytes(found->config().dimension) >= state_->options.code_bytes_min;
}

bool JoinedSearches::Submit(JoinableSearch search) {
  State::Key key{search.collection, search.filtered};
  const std::lock_guard lock(state_->mutex);
  if (state_->waiting_count >= kWaitingMax) return false;
  const auto [place, is_new] = state_->groups.try_emplace(key);
  if (is_new && !state_->SubmitLeader(key)) {
    state_->groups.erase(place);
    return false;
  }
  State::Group& group = place->second;
  group.waiting.push_back(std::move(search));
  ++state_->waiting_count;
  if (group.wanted != 0 && group.waiting.size() >= group.wanted) state_->changed.notify_all();
  return true;
}

}  // namespace stele::server
