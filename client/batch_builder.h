// Splits a sequence of records into write requests that the server accepts.
//
// Does not send anything and makes no request ids. Not thread-safe.
//
// Invariants:
//  1. The split is a function of the records and the limits alone, so an interrupted import cuts
//     the same batches again.
//  2. A batch holds every id at most once: a repeated id begins the next batch, and the later
//     record wins, as it would one by one.
//  3. No batch exceeds the limits, except one that holds a single record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>

#include "absl/strings/string_view.h"
#include "stele/v1/admin_service.pb.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client {

struct BatchLimits {
  size_t records_max = 1000;
  // Serialised size. 1 MiB keeps entries small enough to pipeline and large enough to amortise a
  // sync.
  size_t bytes_max = size_t{1} << 20;
};

// The same, lowered to what the server accepts.
BatchLimits FitTo(const v1::Limits& server, BatchLimits limits);

class BatchBuilder {
 public:
  // `insert`: the operations are inserts instead of upserts.
  BatchBuilder(absl::string_view collection, BatchLimits limits, bool insert = false);

  // Adds a record. Returns the batch before it, if this record did not fit into that one.
  std::optional<v1::WriteRequest> Add(v1::RecordInput record);

  // The last batch; nothing if there is none.
  std::optional<v1::WriteRequest> Flush();

 private:
  v1::WriteRequest TakeBatch();

  const std::string collection_;
  const BatchLimits limits_;
  const bool insert_;
  v1::WriteRequest batch_;
  size_t batch_bytes_ = 0;
  std::unordered_set<std::string> ids_;
};

}  // namespace stele::client
