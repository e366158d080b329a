#include "server/search_diff.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/search.h"
#include "server/call.h"
#include "server/conversion.h"
#include "server/errors.h"
#include "server/filter_wire.h"
#include "server/memory_search.h"
#include "server/outcomes.h"
#include "server/query_wire.h"
#include "server/replay_without.h"
#include "server/requests.h"
#include "server/views.h"

namespace stele::server {
namespace {

constexpr int kByIdsMax = 16;
constexpr int kLeftOutIdsMax = 1'000;

// A query with its filter, converted for a collection.
struct Question : PreparedQuery {
  std::optional<index::Filter> filter;
};

absl::Status Convert(const v1::SearchQuery& wire, const index::CollectionConfig& config,
                     Question* question) {
  if (wire.has_filter()) {
    absl::StatusOr<index::Filter> filter = ConvertFilter(wire.filter(), "query.filter");
    if (!filter.ok()) return filter.status();
    question->filter = *std::move(filter);
  }
  return PrepareQuery(wire, config, "query.",
                      question->filter.has_value() ? &*question->filter : nullptr, question);
}

// One state, with the question in its form and the answer. Without a collection nothing is found.
struct Side {
  const index::Collection* collection = nullptr;
  index::LogIndex n = 0;
  Question question;
  std::vector<index::SearchHit> hits;
  std::unordered_map<std::string_view, uint32_t> ranks;
  const std::set<std::string>* left_out = nullptr;

  const index::RecordVersion* Find(const std::string& id) const {
    return collection != nullptr ? collection->Find(id, n) : nullptr;
  }
  bool Passes(const index::RecordVersion& version) const {
    return question.query.filter == nullptr ||
           question.query.filter->Matches(index::AttributesView(version.attributes()));
  }
  int64_t Distance(const index::RecordVersion& version) const {
    return index::RawDistance(collection->config().metric, question.vector,
                              collection->vectors().Row(version.slot()));
  }
  // From 1; 0: not a hit. REQUIRES: Rank().
  uint32_t RankOf(std::string_view id) const {
    const auto found = ranks.find(id);
    return found != ranks.end() ? found->second : 0;
  }
  void Rank() {
    for (size_t i = 0; i < hits.size(); ++i) {
      ranks[hits[i].version->id()] = static_cast<uint32_t>(i + 1);
    }
  }
};

// All hits of `other` come before a record that is not one of them. Those that did not in `side`,
// where it has this rank.
void NameThoseBefore(const Side& side, uint32_t rank, const Side& other, v1::HitDiff* wire) {
  for (const index::SearchHit& hit : other.hits) {
    const uint32_t there = side.RankOf(hit.version->id());
    if (there != 0 && there < rank) continue;
    wire->add_by_ids(std::string(hit.version->id()));
    if (wire->by_ids_size() == kByIdsMax) return;
  }
}

v1::HitReason ReasonOf(const Side& before, const index::RecordVersion* was, const Side& after,
                       const index::RecordVersion* is, bool entered) {
  if (was == nullptr) return v1::HIT_REASON_RECORD_ADDED;
  if (is == nullptr) return v1::HIT_REASON_RECORD_REMOVED;
  if (before.Passes(*was) != after.Passes(*is)) return v1::HIT_REASON_ATTRIBUTES_CHANGED;
  if (before.Distance(*was) != after.Distance(*is)) return v1::HIT_REASON_VECTOR_CHANGED;
  return entered ? v1::HIT_REASON_MADE_ROOM : v1::HIT_REASON_PUSHED_OUT;
}

template <typename Response>
void Explain(const std::string& id, const Side& before, const Side& after, Response* response) {
  const uint32_t before_rank = before.RankOf(id);
  const uint32_t after_rank = after.RankOf(id);
  const index::RecordVersion* was = before.Find(id);
  const index::RecordVersion* is = after.Find(id);
  const bool in_both = before_rank > 0 && after_rank > 0;
  if (in_both && before.Distance(*was) == after.Distance(*is)) return;
  v1::HitDiff* wire = response->add_differences();
  wire->set_id(id);
  wire->set_before_rank(before_rank);
  wire->set_after_rank(after_rank);
  if (was != nullptr) wire->set_before_distance_raw(before.Distance(*was));
  if (is != nullptr) wire->set_after_distance_raw(after.Distance(*is));
  wire->set_change(in_both           ? v1::HIT_CHANGE_MOVED
                   : after_rank != 0 ? v1::HIT_CHANGE_ENTERED
                                     : v1::HIT_CHANGE_LEFT);
  if (in_both) return wire->set_reason(v1::HIT_REASON_VECTOR_CHANGED);
  if (after.left_out != nullptr && after.left_out->contains(id)) {
    return wire->set_reason(v1::HIT_REASON_LEFT_OUT);
  }
  wire->set_reason(ReasonOf(before, was, after, is, after_rank != 0));
  if (wire->reason() == v1::HIT_REASON_PUSHED_OUT) {
    NameThoseBefore(before, before_rank, after, wire);
  } else if (wire->reason() == v1::HIT_REASON_MADE_ROOM) {
    NameThoseBefore(after, after_rank, before, wire);
  }
}

// Those of the later answer by rank, then what left.
template <typename Response>
void ExplainAll(Side& before, Side& after, Response* response) {
  before.Rank();
  after.Rank();
  for (const index::SearchHit& hit : after.hits) {
    Explain(std::string(hit.version->id()), before, after, response);
  }
  for (const index::SearchHit& hit : before.hits) {
    const std::string id(hit.version->id());
    if (after.RankOf(id) == 0) Explain(id, before, after, response);
  }
}

template <typename Hits>
void FillHits(const Side& side, Hits* hits) {
  for (const index::SearchHit& hit : side.hits) {
    v1::Hit* wire = hits->Add();
    wire->mutable_record()->set_id(std::string(hit.version->id()));
    wire->mutable_record()->set_version(hit.version->born());
    wire->set_distance_raw(hit.distance);
    wire->set_score(ScoreOf(side.collection->config().metric, hit.distance));
  }
}

// What the search itself would refuse, in its words.
template <typename Request>
absl::Status CheckQuery(const Request& request, v1::SearchRequest* search) {
  search->set_collection(request.collection());
  *search->mutable_query() = request.query();
  return SearchPlan::Make(*search).status();
}

absl::Status SearchOn(const Engine& engine, const ReadView& view, const v1::SearchQuery& wire,
                      uint32_t k, const Stopped& stopped, Side* side) {
  side->n = view.n();
  if (side->collection == nullptr) return absl::OkStatus();
  if (absl::Status status = Convert(wire, side->collection->config(), &side->question);
      !status.ok()) {
    return status;
  }
  side->question.query.k = k;
  absl::StatusOr<SearchAnswer> found =
      engine.Search(view, *side->collection, {&side->question.query, 1}, stopped);
  if (!found.ok()) return found.status();
  side->hits = std::move(found->hits.front());
  return absl::OkStatus();
}

// On this thread: the state is not the engine's.
absl::Status ScanAlone(const Engine& engine, const Stopped& stopped, Side* side) {
  const index::SearchQuery& query = side->question.query;
  const index::SearchScan scan(*side->collection, side->n, {&query, 1}, engine.kernels());
  index::TopHits hits(query.k, query.distance_max);
  index::SearchCounts counts;
  const auto scratch = scan.MakeScratch();
  for (uint32_t stretch = 0; stretch < scan.stretch_count(); ++stretch) {
    if (stopped()) return absl::CancelledError();
    scan.Scan(stretch, stretch + 1, {&hits, 1}, {&counts, 1}, scratch.get());
  }
  side->hits = hits.TakeSorted();
  return absl::OkStatus();
}

ReadPoint PointAt(index::LogIndex index) {
  ReadPoint point;
  point.index = index;
  return point;
}

}  // namespace

absl::StatusOr<DiffSearchPlan> DiffSearchPlan::Make(const v1::DiffSearchRequest& request) {
  v1::SearchRequest search;
  if (absl::Status status = CheckQuery(request, &search); !status.ok()) return status;
  DiffSearchPlan plan;
  plan.request_ = &request;
  return plan;
}

absl::Status DiffSearchPlan::Run(const Engine& engine, const Stopped& stopped,
                                 v1::DiffSearchResponse* response) const {
  const absl::StatusOr<ReadView> views[] = {OpenView(engine, PointAt(request_->from_index())),
                                            OpenView(engine, PointAt(request_->to_index()))};
  Side sides[2];
  for (size_t i = 0; i < 2; ++i) {
    if (!views[i].ok()) return views[i].status();
    sides[i].collection = views[i]->FindCollection(request_->collection());
  }
  if (sides[0].collection == nullptr && sides[1].collection == nullptr) {
    return CollectionNotFound(request_->collection());
  }
  for (size_t i = 0; i < 2; ++i) {
    absl::Status status =
        SearchOn(engine, *views[i], request_->query(), request_->query().k(), stopped, &sides[i]);
    if (!status.ok()) return status;
  }
  FillPosition(views[0]->position(), response->mutable_before_position());
  FillPosition(views[1]->position(), response->mutable_position());
  FillHits(sides[0], response->mutable_before());
  FillHits(sides[1], response->mutable_after());
  ExplainAll(sides[0], sides[1], response);
  return absl::OkStatus();
}

absl::StatusOr<CounterfactualPlan> CounterfactualPlan::Make(
    const v1::CounterfactualSearchRequest& request) {
  v1::SearchRequest search;
  if (absl::Status status = CheckQuery(request, &search); !status.ok()) return status;
  switch (request.without_case()) {
    case v1::CounterfactualSearchRequest::kRecords: {
      const int count = request.records().ids_size();
      if (count == 0) return BadField("IDS_EMPTY", "records.ids", "name at least one record");
      if (count > kLeftOutIdsMax ||
          request.query().k() + static_cast<uint32_t>(count) > index::kSearchKMax) {
        return BadField("TOO_MANY_IDS", "records.ids",
                        absl::StrCat("it has ", count, " ids, at most ", kLeftOutIdsMax,
                                     ", and with k at most ", index::kSearchKMax, " are allowed"),
                        {{"limit", absl::StrCat(kLeftOutIdsMax)}});
      }
      for (int i = 0; i < count; ++i) {
        absl::Status status =
            CheckRecordId(request.records().ids(i), absl::StrCat("records.ids[", i, "]"));
        if (!status.ok()) return status;
      }
      break;
    }
    case v1::CounterfactualSearchRequest::kActor:
      if (request.actor().empty()) {
        return BadField("WITHOUT_EMPTY", "actor", "name the actor whose entries are left out");
      }
      break;
    case v1::CounterfactualSearchRequest::kEntries:
      if (request.entries().first_index() > request.entries().last_index()) {
        return BadField("INDEX_RANGE", "entries", "first_index must not be larger than last_index");
      }
      break;
    case v1::CounterfactualSearchRequest::WITHOUT_NOT_SET:
      return BadField("WITHOUT_EMPTY", "without",
                      "say what is left out: records, an actor or entries");
  }
  CounterfactualPlan plan;
  plan.request_ = &request;
  return plan;
}

absl::Status CounterfactualPlan::Run(const Engine& engine, const Stopped& stopped,
                                     v1::CounterfactualSearchResponse* response) const {
  return request_->has_records() ? RunWithoutRecords(engine, stopped, response)
                                 : RunWithoutEntries(engine, stopped, response);
}

namespace {

ReadPoint PointOf(const v1::CounterfactualSearchRequest& request) {
  return request.has_at_index() ? PointAt(request.at_index()) : ReadPoint();
}

}  // namespace

// Among the k and as many as are left out there are the k best of the rest.
absl::Status CounterfactualPlan::RunWithoutRecords(
    const Engine& engine, const Stopped& stopped,
    v1::CounterfactualSearchResponse* response) const {
  const absl::StatusOr<CollectionView> opened =
      OpenCollection(engine, PointOf(*request_), request_->collection());
  if (!opened.ok()) return opened.status();
  const std::set<std::string> ids(request_->records().ids().begin(),
                                  request_->records().ids().end());
  const uint32_t k = request_->query().k();
  Side actual;
  actual.collection = opened->collection;
  absl::Status status = SearchOn(engine, opened->view, request_->query(),
                                 k + static_cast<uint32_t>(ids.size()), stopped, &actual);
  if (!status.ok()) return status;
  Side without;
  without.collection = actual.collection;
  without.n = actual.n;
  without.left_out = &ids;
  status = Convert(request_->query(), without.collection->config(), &without.question);
  if (!status.ok()) return status;
  for (const index::SearchHit& hit : actual.hits) {
    if (without.hits.size() < k && !ids.contains(std::string(hit.version->id()))) {
      without.hits.push_back(hit);
    }
  }
  if (actual.hits.size() > k) actual.hits.resize(k);
  FillPosition(opened->view.position(), response->mutable_position());
  FillHits(actual, response->mutable_actual());
  FillHits(without, response->mutable_counterfactual());
  ExplainAll(actual, without, response);
  return absl::OkStatus();
}

absl::Status CounterfactualPlan::RunWithoutEntries(
    const Engine& engine, const Stopped& stopped,
    v1::CounterfactualSearchResponse* response) const {
  const absl::StatusOr<ReadView> view = OpenView(engine, PointOf(*request_));
  if (!view.ok()) return view.status();
  const index::LogIndex n = view->n();
  const bool by_actor = !request_->has_entries();
  const v1::LogRange& range = request_->entries();
  if (!by_actor && (range.first_index() < engine.base_index() || range.last_index() > n)) {
    return EntryOutOfRange(absl::StrCat("entries ", range.first_index(), " to ", range.last_index(),
                                        " are not all in this log up to the state that is asked, ",
                                        engine.base_index(), " to ", n),
                           engine.base_index(), n);
  }
  Side actual;
  actual.collection = view->FindCollection(request_->collection());
  if (actual.collection == nullptr) return CollectionNotFound(request_->collection());
  absl::Status status =
      SearchOn(engine, *view, request_->query(), request_->query().k(), stopped, &actual);
  if (!status.ok()) return status;

  // One at a time: each is as large as the memory itself.
  static std::atomic<bool> busy{false};
  if (busy.exchange(true)) return Overloaded();
  const std::unique_ptr<std::atomic<bool>, void (*)(std::atomic<bool>*)> slot(
      &busy, [](std::atomic<bool>* taken) { taken->store(false); });
  const absl::StatusOr<ReplayedState> replayed = ReplayWithout(
      engine, n,
      [&](index::LogIndex index, const index::CommandHeader& header) {
        // The entry that begins the log is nobody's.
        if (index == engine.base_index()) return false;
        return by_actor ? header.actor == request_->actor()
                        : range.first_index() <= index && index <= range.last_index();
      },
      stopped);
  if (absl::IsCancelled(replayed.status())) return replayed.status();
  if (!replayed.ok()) {
    return MakeError(replayed.status().code(), "REPLAY_FAILED",
                     std::string(replayed.status().message()));
  }
  Side without;
  without.n = n;
  without.collection = replayed->state->FindCollection(request_->collection(), n);
  if (without.collection != nullptr) {
    status = Convert(request_->query(), without.collection->config(), &without.question);
    if (!status.ok()) return status;
    status = ScanAlone(engine, stopped, &without);
    if (!status.ok()) return status;
  }
  FillPosition(view->position(), response->mutable_position());
  FillHits(actual, response->mutable_actual());
  FillHits(without, response->mutable_counterfactual());
  ExplainAll(actual, without, response);
  response->set_state_root(std::string(index::AsBytes(replayed->state->state_root())));
  response->set_entries_left_out(replayed->entries_left_out);
  response->set_entries_applied(replayed->entries_applied);
  response->set_outcomes_changed(replayed->outcomes_changed);
  return absl::OkStatus();
}

}  // namespace stele::server
