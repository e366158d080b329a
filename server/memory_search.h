// Search and BatchSearch: one or many queries over one collection on one state.
//
// As memory_reads.h: a check without state, then the work. Thread safety: a plan belongs to one
// call.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/filter.h"
#include "index/search.h"
#include "server/engine.h"
#include "server/joined_search.h"
#include "server/memory_reads.h"
#include "server/query_wire.h"
#include "server/receipts.h"
#include "server/record_wire.h"
#include "server/views.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::server {

// Points into its request. `receipts` makes the receipts; without it there are none.
class SearchPlan {
 public:
  static absl::StatusOr<SearchPlan> Make(const v1::SearchRequest& request,
                                         const Receipts* receipts = nullptr);
  static absl::StatusOr<SearchPlan> Make(const v1::BatchSearchRequest& request,
                                         const Receipts* receipts = nullptr);

  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::SearchResponse* response) const;
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::BatchSearchResponse* response) const;

  // Whether a Search may share a pass with others, if its collection is worth it.
  bool joinable() const;
  const std::string& collection() const { return *collection_; }
  // The same search as one to be joined: its answer is written to `response`, then `done` called.
  // REQUIRES: joinable(); plan, engine and response live until `done`.
  JoinableSearch ToJoin(const Engine& engine, Stopped stopped, v1::SearchResponse* response,
                        std::function<void(absl::Status)> done) const;

 private:
  struct Query {
    const v1::SearchQuery* wire = nullptr;
    std::string field;  // path of the query in the request
    std::optional<index::Filter> filter;
  };
  // Everything an answer needs.
  struct Answer : CollectionView {
    std::vector<PreparedQuery> prepared;
    SearchAnswer found;
    JoinedAnswer Of(size_t query) const {
      return {&view, collection, &found.hits[query], &found.counts[query]};
    }
  };

  template <typename Request>
  absl::Status SetCommon(const Request& request, const Receipts* receipts);
  absl::Status Add(const v1::SearchQuery& query, std::string field);
  absl::Status Prepare(const Query& query, const index::CollectionConfig& config,
                       PreparedQuery* prepared) const;
  absl::StatusOr<Answer> Search(const Engine& engine, const Stopped& stopped) const;
  absl::Status Reply(const Engine& engine, const JoinedAnswer& answer,
                     const index::SearchQuery& query, const Stopped& stopped,
                     v1::SearchResponse* response) const;
  // Nothing where there is to be no receipt.
  absl::Status AddReceipt(const JoinedAnswer& answer, const index::SearchQuery& query,
                          const Stopped& stopped, RecordFiller* filler, std::string* text) const;
  void Explain(const Engine& engine, const JoinedAnswer& answer, size_t query,
               v1::SearchExplanation* wire) const;

  const std::string* collection_ = nullptr;
  const v1::Selector* selector_ = nullptr;
  ReadPoint point_;
  bool explain_ = false;
  const Receipts* receipts_ = nullptr;
  bool receipt_asked_ = false;
  std::vector<Query> queries_;
};

}  // namespace stele::server
