// Why two answers of one search differ: AuditService.DiffSearch and CounterfactualSearch.
//
// Both answers are exact searches, each of its own state. For what is not the same in them the
// record is looked at in both states: whether it is there, what the filter says of it, how far away
// it is; what is left was pushed out, or let in, by others.
//
// Thread safety: a plan belongs to one call. One replay runs at a time; more are OVERLOADED.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine.h"
#include "server/memory_reads.h"
#include "stele/v1/diff.pb.h"

namespace stele::server {

// As memory_reads.h: a check without state, then the work. Point into their requests.
class DiffSearchPlan {
 public:
  static absl::StatusOr<DiffSearchPlan> Make(const v1::DiffSearchRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::DiffSearchResponse* response) const;

 private:
  const v1::DiffSearchRequest* request_ = nullptr;
};

class CounterfactualPlan {
 public:
  static absl::StatusOr<CounterfactualPlan> Make(const v1::CounterfactualSearchRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::CounterfactualSearchResponse* response) const;

 private:
  absl::Status RunWithoutRecords(const Engine& engine, const Stopped& stopped,
                                 v1::CounterfactualSearchResponse* response) const;
  absl::Status RunWithoutEntries(const Engine& engine, const Stopped& stopped,
                                 v1::CounterfactualSearchResponse* response) const;

  const v1::CounterfactualSearchRequest* request_ = nullptr;
};

}  // namespace stele::server
