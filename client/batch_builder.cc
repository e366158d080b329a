#include "client/batch_builder.h"

#include <algorithm>
#include <utility>

#include "client/record.h"

namespace stele::client {
namespace {

// Tag and length of one operation inside the request, and what the stream message and the request's
// own fields (request id, indexes) add.
constexpr size_t kOperationOverheadBytes = 8;
constexpr size_t kRequestOverheadBytes = 256;

}  // namespace

BatchLimits FitTo(const v1::Limits& server, BatchLimits limits) {
  if (server.max_operations() > 0) {
    limits.records_max = std::min<size_t>(limits.records_max, server.max_operations());
  }
  if (server.max_message_bytes() > 0) {
    limits.bytes_max = std::min<size_t>(limits.bytes_max, server.max_message_bytes());
  }
  if (server.max_atomic_bytes() > 0) {
    limits.bytes_max = std::min<size_t>(limits.bytes_max, server.max_atomic_bytes());
  }
  limits.records_max = std::max<size_t>(limits.records_max, 1);
  return limits;
}

BatchBuilder::BatchBuilder(absl::string_view collection, BatchLimits limits, bool insert)
    : collection_(collection), limits_(limits), insert_(insert) {}

std::optional<v1::WriteRequest> BatchBuilder::Add(v1::RecordInput record) {
  std::string id = record.id();
  v1::Operation operation = insert_ ? InsertOperation(collection_, std::move(record))
                                    : UpsertOperation(collection_, std::move(record));
  const size_t operation_bytes = operation.ByteSizeLong() + kOperationOverheadBytes;

  std::optional<v1::WriteRequest> full;
  if (batch_.operations_size() > 0) {
    const bool fits = static_cast<size_t>(batch_.operations_size()) < limits_.records_max &&
                      kRequestOverheadBytes + batch_bytes_ + operation_bytes <= limits_.bytes_max &&
                      ids_.find(id) == ids_.end();
    if (!fits) full = TakeBatch();
  }
  *batch_.add_operations() = std::move(operation);
  batch_bytes_ += operation_bytes;
  ids_.insert(std::move(id));
  return full;
}

std::optional<v1::WriteRequest> BatchBuilder::Flush() {
  if (batch_.operations_size() == 0) return std::nullopt;
  return TakeBatch();
}

v1::WriteRequest BatchBuilder::TakeBatch() {
  v1::WriteRequest batch = std::move(batch_);
  batch_ = v1::WriteRequest();
  batch_bytes_ = 0;
  ids_.clear();
  return batch;
}

}  // namespace stele::client
