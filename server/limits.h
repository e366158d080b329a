// Limits that act at the door, besides the constants of the rules version in index/types.h. They
// refuse requests; they never decide what a logged entry does. GetServerInfo and docs/protocol.md
// state them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stele/v1/admin_service.pb.h"

namespace stele::server {

// Canonical bytes of all operations of one request together.
inline constexpr uint64_t kAtomicBytesMax = uint64_t{32} << 20;

inline constexpr int32_t kPageSizeMax = 10'000;
inline constexpr int32_t kPageSizeDefault = 1'000;
// A page ends with the record that reaches this.
inline constexpr uint64_t kPageBytes = uint64_t{4} << 20;
inline constexpr int kGetIdsMax = 1'000;
inline constexpr int kBatchQueriesMax = 1'024;
inline constexpr uint64_t kBatchHitsMax = 1'000'000;  // sum of k over the queries
// Records of one reply; leaves room for the rest of it under max_message_bytes.
inline constexpr uint64_t kReplyBytesMax = uint64_t{63} << 20;

// Of one WriteStream, not acknowledged; then it stops reading.
inline constexpr size_t kStreamEntriesMax = 64;
inline constexpr uint64_t kStreamBytesMax = uint64_t{64} << 20;

// Rows between two looks at deadline and cancellation.
inline constexpr uint32_t kRowsPerCheck = 1'024;

void FillLimits(v1::Limits* limits);

}  // namespace stele::server
