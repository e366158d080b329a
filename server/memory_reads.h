// The reads of MemoryService, in two steps: a check that needs no state, made before anything is
// waited for, and the work, on a thread that may block.
//
// It does not know gRPC: `stopped` tells whether anyone still waits for the answer, and is asked
// now and then; where it says so the work returns CANCELLED.
//
// Thread safety: a plan belongs to one call.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/filter.h"
#include "server/engine.h"
#include "server/views.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::server {

using Stopped = std::function<bool()>;

// Plans point into their request.
class GetPlan {
 public:
  static absl::StatusOr<GetPlan> Make(const v1::GetRecordsRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::GetRecordsResponse* response) const;

 private:
  const v1::GetRecordsRequest* request_ = nullptr;
  ReadPoint point_;
};

class ListPlan {
 public:
  static absl::StatusOr<ListPlan> Make(const v1::ListRecordsRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::ListRecordsResponse* response) const;

 private:
  const v1::ListRecordsRequest* request_ = nullptr;
  ReadPoint point_;
  int32_t page_size_ = 0;
  std::optional<index::Filter> filter_;
  std::string arguments_;  // canonical bytes of what a page token binds
};

class CountPlan {
 public:
  static absl::StatusOr<CountPlan> Make(const v1::CountRecordsRequest& request);
  // Without a filter it is O(1).
  bool is_short() const { return !filter_.has_value(); }
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::CountRecordsResponse* response) const;

 private:
  const v1::CountRecordsRequest* request_ = nullptr;
  ReadPoint point_;
  std::optional<index::Filter> filter_;
};

}  // namespace stele::server
