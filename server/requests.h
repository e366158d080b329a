// From request messages to log entries: every check that needs no more than the request and the
// shape of the collections it names, and the preparation that Apply would otherwise do on the
// engine's thread.
//
// It does not submit, and decides nothing that depends on records: those outcomes are the state
// machine's.
//
// Thread safety: pure functions.
//
// Invariant: a task that is returned is well formed (index::IsWellFormed) and within all limits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/types.h"
#include "server/engine.h"
#include "stele/v1/collection_service.pb.h"
#include "stele/v1/erasure.pb.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::server {

// What the door must know of a collection.
struct CollectionShape {
  uint32_t dimension = 0;
  index::Metric metric = index::Metric::kL2;
  index::LogIndex born = 0;
  bool erasable = false;
};
// Nothing where there is no such collection now.
using CollectionLookup = std::function<std::optional<CollectionShape>(std::string_view name)>;

// A write on its way to the engine, or why it is refused.
struct WriteDraft {
  absl::Status status;
  WriteTask task;  // complete where status is OK; request id and actor are there in doubt, too
  // Where the refusal follows from a collection that may have been another one when the request was
  // first sent: a retry of what was executed then must get its reply.
  struct Doubt {
    std::optional<index::LogIndex> collection_born;  // nothing: there is no such collection now
  };
  std::optional<Doubt> doubt;
};

WriteDraft Refuse(absl::Status status);
// A draft of one operation that has passed its checks.
WriteDraft DraftOne(index::Operation operation, const std::string& request_id,
                    const std::string& actor, index::LogIndex known_index);

// docs/protocol.md, "Errors", lists the reasons.
WriteDraft DraftWrite(const v1::WriteRequest& request, const std::string& actor,
                      const CollectionLookup& lookup);
WriteDraft DraftCreate(const v1::CreateCollectionRequest& request, const std::string& actor);
WriteDraft DraftDrop(const v1::DropCollectionRequest& request, const std::string& actor,
                     const CollectionLookup& lookup);

WriteDraft DraftSetHold(const v1::SetHoldRequest& request, const std::string& actor);
WriteDraft DraftReleaseHold(const v1::ReleaseHoldRequest& request, const std::string& actor);
WriteDraft DraftSetRetention(const v1::SetRetentionRequest& request, const std::string& actor);

// INVALID_ARGUMENT: REQUEST_ID_MISSING, REQUEST_ID_TOO_LONG.
absl::Status CheckRequestId(std::string_view request_id, std::string_view field);
// INVALID_ARGUMENT: COLLECTION_NAME.
absl::Status CheckCollectionName(std::string_view name, std::string_view field);
// INVALID_ARGUMENT: ID_EMPTY, ID_TOO_LONG, ID_NOT_UTF8.
absl::Status CheckRecordId(std::string_view id, std::string_view field);
// NOT_FOUND: COLLECTION_NOT_FOUND.
absl::Status CollectionNotFound(std::string_view name);
// INVALID_ARGUMENT: PAGE_SIZE_NEGATIVE. 0 gives the default, more than the largest the largest.
absl::StatusOr<int32_t> PageSizeOf(int32_t page_size);

// The metric of index/, and back. Nothing for METRIC_UNSPECIFIED and numbers that have no meaning.
std::optional<index::Metric> MetricFromWire(v1::Metric metric);
v1::Metric MetricToWire(index::Metric metric);

}  // namespace stele::server
