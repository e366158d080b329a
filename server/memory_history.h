// MemoryService.GetHistory: the versions of a record as the log tells them.
//
// As memory_reads.h: a check without state, then the work. Thread safety: a plan belongs to one
// call.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/memory_reads.h"
#include "server/record_history.h"
#include "stele/v1/history.pb.h"

namespace stele::server {

// Points into its request.
class HistoryPlan {
 public:
  static absl::StatusOr<HistoryPlan> Make(const v1::GetHistoryRequest& request);
  absl::Status Run(const Engine& engine, const Stopped& stopped,
                   v1::GetHistoryResponse* response) const;

 private:
  // What the first page covers, and the newest entry that may be in this one.
  struct Begin {
    index::LogIndex pinned = 0;
    index::LogIndex at_most = 0;
  };
  absl::StatusOr<Begin> BeginOf(const Engine& engine, index::LogIndex published) const;

  absl::Status FillVersion(const Engine& engine, const RecordContent& content,
                           v1::RecordChange* wire) const;

  const v1::GetHistoryRequest* request_ = nullptr;
  int32_t page_size_ = 0;
  std::string arguments_;  // canonical bytes of what a page token binds
};

// OUT_OF_RANGE ENTRY_OUT_OF_RANGE unless `to_index` is one of the entries base .. newest.
absl::Status CheckToIndex(index::LogIndex to_index, index::LogIndex base, index::LogIndex newest);

// A failed walk, with a reason: DATA_LOSS or FAILED_PRECONDITION HISTORY_FAILED.
absl::Status HistoryFailed(const absl::Status& status);

}  // namespace stele::server
