// The records that may match a filter at a log index, in the order of their ids: those that the
// postings name where these narrow it down, else all.
//
// It does not apply the filter: the caller does, and may stop at any record.
//
// Thread safety: a reader like any other; one thread at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "index/collection.h"
#include "index/filter.h"
#include "index/types.h"

namespace stele::index {

class CandidateRecords {
 public:
  // Begins at the first id that is not below `from`. `filter` may be null.
  // REQUIRES: `collection` visible at n, n held by the caller as long as this lives.
  CandidateRecords(const Collection& collection, LogIndex n, const Filter* filter,
                   std::string_view from = {});

  // Goes to the next record, or (before any was asked for) to the first; false at the end.
  bool Advance();
  // Its version at n; null where there is none, as of a record that was deleted.
  const RecordVersion* version() const { return version_; }

 private:
  void Collect(const Filter& filter, std::string_view from);

  const Collection& collection_;
  const LogIndex n_;
  const RecordVersion* version_ = nullptr;
  bool narrowed_ = false;
  std::vector<const RecordVersion*> found_;  // where narrowed
  size_t next_ = 0;
  const RecordNode* node_ = nullptr;  // else: the next one
};

}  // namespace stele::index
