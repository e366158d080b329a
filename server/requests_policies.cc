// Holds and retention.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "index/holds.h"
#include "server/errors.h"
#include "server/quote.h"
#include "server/requests.h"

namespace stele::server {
namespace {

using index::OperationKind;

absl::Status CheckHoldName(const std::string& name, const std::string& field) {
  if (!name.empty() && name.size() <= index::kHoldNameBytesMax && index::IsUtf8(name)) {
    return absl::OkStatus();
  }
  return BadField("HOLD_NAME", field,
                  absl::StrCat("it must have 1 to ", index::kHoldNameBytesMax, " bytes of UTF-8"));
}

absl::Status TakeIds(const v1::Hold& hold, std::vector<std::string>* ids) {
  if (static_cast<size_t>(hold.ids_size()) > index::kHoldIdsMax) {
    return BadField("TOO_MANY_IDS", "hold.ids",
                    absl::StrCat("it has ", hold.ids_size(), " ids, at most ", index::kHoldIdsMax,
                                 " are one hold"),
                    {{"limit", absl::StrCat(index::kHoldIdsMax)}});
  }
  for (int i = 0; i < hold.ids_size(); ++i) {
    const absl::Status status = CheckRecordId(hold.ids(i), absl::StrCat("hold.ids[", i, "]"));
    if (!status.ok()) return status;
    ids->push_back(hold.ids(i));
  }
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
  return absl::OkStatus();
}

}  // namespace

WriteDraft DraftSetHold(const v1::SetHoldRequest& request, const std::string& actor) {
  const v1::Hold& hold = request.hold();
  index::Operation operation;
  operation.kind = OperationKind::kSetHold;
  operation.collection = hold.collection();
  operation.hold = hold.name();
  operation.reason = hold.reason();
  absl::Status status = CheckRequestId(request.request_id(), "request_id");
  if (status.ok()) status = CheckCollectionName(hold.collection(), "hold.collection");
  if (status.ok()) status = CheckHoldName(hold.name(), "hold.name");
  if (status.ok() &&
      (hold.reason().size() > index::kHoldReasonBytesMax || !index::IsUtf8(hold.reason()))) {
    status = BadField(
        "HOLD_REASON", "hold.reason",
        absl::StrCat("it must be UTF-8 of at most ", index::kHoldReasonBytesMax, " bytes"));
  }
  if (status.ok()) status = TakeIds(hold, &operation.ids);
  if (!status.ok()) return Refuse(std::move(status));
  return DraftOne(std::move(operation), request.request_id(), actor, request.known_index());
}

WriteDraft DraftReleaseHold(const v1::ReleaseHoldRequest& request, const std::string& actor) {
  absl::Status status = CheckRequestId(request.request_id(), "request_id");
  if (status.ok()) status = CheckCollectionName(request.collection(), "collection");
  if (status.ok()) status = CheckHoldName(request.name(), "name");
  if (!status.ok()) return Refuse(std::move(status));
  index::Operation operation;
  operation.kind = OperationKind::kReleaseHold;
  operation.collection = request.collection();
  operation.hold = request.name();
  return DraftOne(std::move(operation), request.request_id(), actor, request.known_index());
}

WriteDraft DraftSetRetention(const v1::SetRetentionRequest& request, const std::string& actor) {
  absl::Status status = CheckRequestId(request.request_id(), "request_id");
  if (status.ok() && request.history_entries() > index::kHistoryEntriesMax) {
    status = BadField("HISTORY_OUT_OF_RANGE", "history_entries",
                      absl::StrCat("it is ", request.history_entries(), ", at most ",
                                   index::kHistoryEntriesMax, " entries can be kept"),
                      {{"limit", absl::StrCat(index::kHistoryEntriesMax)}});
  }
  if (!status.ok()) return Refuse(std::move(status));
  index::Operation operation;
  operation.kind = OperationKind::kSetHistory;
  operation.history_entries = request.history_entries();
  return DraftOne(std::move(operation), request.request_id(), actor, request.known_index());
}

}  // namespace stele::server
