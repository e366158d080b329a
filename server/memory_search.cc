#include "server/memory_search.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/conversion.h"
#include "server/errors.h"
#include "server/filter_wire.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/views.h"

namespace stele::server {
namespace {

const std::string kAlgorithm(index::kExactAlgorithm);
constexpr uint32_t kHitsPerCheck = 32;

template <typename Hits>
absl::Status FillHits(std::span<const index::SearchHit> hits, index::Metric metric,
                      const Stopped& stopped, RecordFiller* filler, Hits* wire) {
  uint32_t count = 0;
  for (const index::SearchHit& hit : hits) {
    if (++count % kHitsPerCheck == 0 && stopped()) return absl::CancelledError();
    v1::Hit* out = wire->Add();
    out->set_distance_raw(hit.distance);
    out->set_score(ScoreOf(metric, hit.distance));
    if (absl::Status status = filler->Fill(*hit.version, out->mutable_record()); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

template <typename Request>
absl::Status SearchPlan::SetCommon(const Request& request, const Receipts* receipts) {
  collection_ = &request.collection();
  selector_ = &request.selector();
  explain_ = request.explain();
  receipts_ = receipts;
  receipt_asked_ = request.receipt();
  const absl::StatusOr<ReadPoint> point = ReadPointOf(request);
  if (!point.ok()) return point.status();
  point_ = *point;
  return CheckCollectionName(request.collection(), "collection");
}

absl::Status SearchPlan::Add(const v1::SearchQuery& query, std::string field) {
  if (query.k() == 0 || query.k() > index::kSearchKMax) {
    return BadField("K_OUT_OF_RANGE", absl::StrCat(field, ".k"),
                    absl::StrCat("it is ", query.k(), ", it must be 1 to ", index::kSearchKMax),
                    {{"limit", absl::StrCat(index::kSearchKMax)}});
  }
  if (query.vector().form_case() == v1::Vector::FORM_NOT_SET) {
    return BadField("VECTOR_MISSING", absl::StrCat(field, ".vector"),
                    "set one of its forms: q16, float32, floats or float64");
  }
  if (query.has_threshold()) {
    // Of any metric: what is refused does not depend on it.
    const absl::StatusOr<int64_t> bound =
        ConvertThreshold(query.threshold(), index::Metric::kL2, absl::StrCat(field, ".threshold"));
    if (!bound.ok()) return bound.status();
  }
  Query& added = queries_.emplace_back();
  added.wire = &query;
  if (query.has_filter()) {
    absl::StatusOr<index::Filter> filter =
        ConvertFilter(query.filter(), absl::StrCat(field, ".filter"));
    if (!filter.ok()) return filter.status();
    added.filter = *std::move(filter);
  }
  added.field = std::move(field);
  return absl::OkStatus();
}

absl::StatusOr<SearchPlan> SearchPlan::Make(const v1::SearchRequest& request,
                                            const Receipts* receipts) {
  SearchPlan plan;
  absl::Status status = plan.SetCommon(request, receipts);
  if (status.ok()) status = plan.Add(request.query(), "query");
  if (!status.ok()) return status;
  return plan;
}

absl::StatusOr<SearchPlan> SearchPlan::Make(const v1::BatchSearchRequest& request,
                                            const Receipts* receipts) {
  SearchPlan plan;
  absl::Status status = plan.SetCommon(request, receipts);
  if (!status.ok()) return status;
  if (request.queries().empty()) {
    return BadField("QUERIES_EMPTY", "queries", "give at least one query");
  }
  if (request.queries_size() > kBatchQueriesMax) {
    return BadField("BATCH_TOO_LARGE", "queries",
                    absl::StrCat("it has ", request.queries_size(), " queries, at most ",
                                 kBatchQueriesMax, " are allowed; split the request"),
                    {{"limit", absl::StrCat(kBatchQueriesMax)}});
  }
  uint64_t k_sum = 0;
  for (int i = 0; i < request.queries_size(); ++i) {
    status = plan.Add(request.queries(i), absl::StrCat("queries[", i, "]"));
    if (!status.ok()) return status;
    k_sum += request.queries(i).k();
  }
  if (k_sum > kBatchHitsMax) {
    return BadField("BATCH_TOO_LARGE", "queries",
                    absl::StrCat("their k add up to ", k_sum, ", at most ", kBatchHitsMax,
                                 " are allowed; split the request"),
                    {{"limit", absl::StrCat(kBatchHitsMax)}});
  }
  return plan;
}

absl::Status SearchPlan::Prepare(const Query& query, const index::CollectionConfig& config,
                                 PreparedQuery* prepared) const {
  return PrepareQuery(*query.wire, config, absl::StrCat(query.field, "."),
                      query.filter.has_value() ? &*query.filter : nullptr, prepared);
}

absl::StatusOr<SearchPlan::Answer> SearchPlan::Search(const Engine& engine,
                                                      const Stopped& stopped) const {
  absl::StatusOr<CollectionView> opened = OpenCollection(engine, point_, *collection_);
  if (!opened.ok()) return opened.status();
  Answer answer{*std::move(opened), std::vector<PreparedQuery>(queries_.size()), {}};

  std::vector<index::SearchQuery> queries;
  for (size_t i = 0; i < queries_.size(); ++i) {
    absl::Status status = Prepare(queries_[i], answer.collection->config(), &answer.prepared[i]);
    if (!status.ok()) return status;
    queries.push_back(answer.prepared[i].query);
  }
  absl::StatusOr<SearchAnswer> found =
      engine.Search(answer.view, *answer.collection, queries, stopped);
  if (!found.ok()) return found.status();
  answer.found = *std::move(found);
  return answer;
}

void SearchPlan::Explain(const Engine& engine, const JoinedAnswer& answer, size_t query,
                         v1::SearchExplanation* wire) const {
  const index::SearchCounts& counts = *answer.counts;
  wire->set_algorithm(kAlgorithm);
  wire->set_kernel(engine.kernels().name);
  wire->set_search_threads(engine.search_threads());
  wire->set_rows_visible(answer.collection->StatsAt(answer.view->n()).record_count);
  wire->set_rows_scanned(counts.rows);
  wire->set_rows_kept_4bit(counts.kept4);
  wire->set_rows_kept_8bit(counts.kept8);
  wire->set_rows_filter_tested(counts.filter_tests);
  wire->set_rows_computed(counts.computed);
  wire->set_bytes_read(counts.bytes);
  wire->set_filter_strategy(counts.narrowed                      ? v1::FILTER_STRATEGY_POSTINGS
                            : queries_[query].filter.has_value() ? v1::FILTER_STRATEGY_SCAN
                                                                 : v1::FILTER_STRATEGY_NONE);
  wire->set_filter_candidates(counts.candidates);
}

absl::Status SearchPlan::AddReceipt(const JoinedAnswer& answer, const index::SearchQuery& query,
                                    const Stopped& stopped, RecordFiller* filler,
                                    std::string* text) const {
  if (receipts_ == nullptr) return absl::OkStatus();
  if (!receipt_asked_ && !Receipts::AlwaysGiven(*answer.collection)) return absl::OkStatus();
  if (stopped()) return absl::CancelledError();
  absl::StatusOr<std::string> made =
      receipts_->Make(*answer.view, *answer.collection, query, *answer.hits);
  if (!made.ok()) return made.status();
  *text = *std::move(made);
  return filler->Count(text->size());
}

absl::Status SearchPlan::Reply(const Engine& engine, const JoinedAnswer& answer,
                               const index::SearchQuery& query, const Stopped& stopped,
                               v1::SearchResponse* response) const {
  FillPosition(answer.view->position(), response->mutable_position());
  response->set_algorithm(kAlgorithm);
  if (explain_) Explain(engine, answer, 0, response->mutable_explanation());
  RecordFiller filler(*answer.view, *answer.collection, *selector_, kReplyBytesMax);
  const absl::Status status = FillHits(*answer.hits, answer.collection->config().metric, stopped,
                                       &filler, response->mutable_hits());
  if (!status.ok()) return status;
  return AddReceipt(answer, query, stopped, &filler, response->mutable_receipt());
}

absl::Status SearchPlan::Run(const Engine& engine, const Stopped& stopped,
                             v1::SearchResponse* response) const {
  const absl::StatusOr<Answer> answer = Search(engine, stopped);
  if (!answer.ok()) return answer.status();
  return Reply(engine, answer->Of(0), answer->prepared[0].query, stopped, response);
}

absl::Status SearchPlan::Run(const Engine& engine, const Stopped& stopped,
                             v1::BatchSearchResponse* response) const {
  const absl::StatusOr<Answer> answer = Search(engine, stopped);
  if (!answer.ok()) return answer.status();
  FillPosition(answer->view.position(), response->mutable_position());
  response->set_algorithm(kAlgorithm);
  RecordFiller filler(answer->view, *answer->collection, *selector_, kReplyBytesMax);
  for (size_t query = 0; query < queries_.size(); ++query) {
    v1::BatchSearchResponse::Result* result = response->add_results();
    absl::Status status = FillHits(answer->found.hits[query], answer->collection->config().metric,
                                   stopped, &filler, result->mutable_hits());
    if (status.ok()) {
      status = AddReceipt(answer->Of(query), answer->prepared[query].query, stopped, &filler,
                          result->mutable_receipt());
    }
    if (!status.ok()) return status;
    if (explain_) Explain(engine, answer->Of(query), query, result->mutable_explanation());
  }
  return absl::OkStatus();
}

bool SearchPlan::joinable() const {
  return point_.is_newest() && queries_.size() == 1 && queries_.front().wire->k() <= kJoinedKMax;
}

JoinableSearch SearchPlan::ToJoin(const Engine& engine, Stopped stopped,
                                  v1::SearchResponse* response,
                                  std::function<void(absl::Status)> done) const {
  JoinableSearch search;
  search.collection = *collection_;
  search.filtered = queries_.front().filter.has_value();
  const auto prepared = std::make_shared<PreparedQuery>();
  search.prepare =
      [this,
       prepared](const index::CollectionConfig& config) -> absl::StatusOr<index::SearchQuery> {
    const absl::Status status = Prepare(queries_.front(), config, prepared.get());
    if (!status.ok()) return status;
    return prepared->query;
  };
  search.stopped = stopped;
  search.done = [this, &engine, prepared, stopped = std::move(stopped), response,
                 done = std::move(done)](const absl::StatusOr<JoinedAnswer>& answer) {
    done(answer.ok() ? Reply(engine, *answer, prepared->query, stopped, response)
                     : answer.status());
  };
  return search;
}

}  // namespace stele::server
