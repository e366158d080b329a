#include "server/outcomes.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/commit_record.h"
#include "server/errors.h"

namespace stele::server {
namespace {

using absl::StatusCode;
using index::CommitRecord;
using index::Outcome;

struct Refusal {
  StatusCode code = StatusCode::kInternal;
  const char* reason = "";
  std::string message;
  const char* current = nullptr;  // the metadata key under which `current` travels
  bool names_operation = true;
};

Refusal RefusalOf(const CommitRecord& commit) {
  switch (commit.outcome) {
    case Outcome::kCollectionNotFound:
      return {StatusCode::kNotFound, "COLLECTION_NOT_FOUND", "there is no such collection"};
    case Outcome::kCollectionExists:
      return {StatusCode::kAlreadyExists, "COLLECTION_EXISTS",
              "there is a collection of this name already"};
    case Outcome::kRecordExists:
      return {StatusCode::kAlreadyExists, "RECORD_EXISTS",
              "there is a record of this id already; upsert replaces it", "current_version"};
    case Outcome::kRecordNotFound:
      return {StatusCode::kNotFound, "RECORD_NOT_FOUND", "there is no record of this id"};
    case Outcome::kPreconditionFailed:
      return {StatusCode::kAborted, "PRECONDITION_FAILED",
              commit.current == 0
                  ? std::string("the precondition does not hold: there is no record of this id")
                  : absl::StrCat("the precondition does not hold: the record's version is ",
                                 commit.current),
              "current_version"};
    case Outcome::kStateIndexMismatch:
      return {StatusCode::kAborted, "STATE_INDEX_MISMATCH",
              absl::StrCat("the state was last changed by entry ", commit.current,
                           "; read again and decide anew"),
              "current_state_index", false};
    case Outcome::kDimensionMismatch:
      return {StatusCode::kInvalidArgument, "DIMENSION_MISMATCH",
              absl::StrCat("the collection's dimension is ", commit.current), "dimension"};
    case Outcome::kNotNormalized:
      return {StatusCode::kInvalidArgument, "NOT_NORMALIZED",
              "the collection has become one of METRIC_COSINE; send the request anew"};
    case Outcome::kRequestTooOld:
      return {StatusCode::kFailedPrecondition, "REQUEST_TOO_OLD",
              "its known_index lies before what is remembered, so whether it was executed is not "
              "known; read, and if needed send it under a new request_id",
              "oldest_index", false};
    case Outcome::kDuplicateRequest:
      return {StatusCode::kInternal, "DUPLICATE_REQUEST", "the request had been executed before",
              "first_index", false};
    case Outcome::kRequestIdReused:
      return {StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
              absl::StrCat("entry ", commit.index,
                           " used this request_id for other content; give every write its own"),
              nullptr, false};
    case Outcome::kAttributesTooLarge:
      return {
          StatusCode::kInvalidArgument, "ATTRIBUTES_TOO_LARGE",
          absl::StrCat("the record would have more than ", index::kAttributesMax,
                       " attributes, or more than ", index::kAttributesBytesMax, " bytes of them")};
    case Outcome::kTooManyCollections:
      return {StatusCode::kResourceExhausted, "TOO_MANY_COLLECTIONS",
              absl::StrCat("there are ", index::kCollectionsMax, " collections already"), nullptr,
              false};
    case Outcome::kOptionsMismatch:
      return {
          StatusCode::kAborted, "COLLECTION_CHANGED",
          "the collection was dropped and created anew with other options while the request was "
          "on its way; send it again under a new request_id"};
    case Outcome::kNotErasable:
      return {StatusCode::kFailedPrecondition, "COLLECTION_NOT_ERASABLE",
              "the collection was not created as erasable"};
    case Outcome::kHeld:
      return {StatusCode::kFailedPrecondition, "HELD",
              absl::StrCat("a legal hold, set by entry ", commit.current,
                           ", forbids it; `ListHolds` tells which"),
              "hold_index"};
    case Outcome::kHoldExists:
      return {StatusCode::kAlreadyExists, "HOLD_EXISTS",
              absl::StrCat("entry ", commit.current, " set a hold of this name"), "hold_index",
              false};
    case Outcome::kHoldNotFound:
      return {StatusCode::kNotFound, "HOLD_NOT_FOUND", "the collection has no hold of this name",
              nullptr, false};
    case Outcome::kTooManyHolds:
      return {StatusCode::kResourceExhausted, "TOO_MANY_HOLDS",
              "the collection has as many holds as it can have", nullptr, false};
    case Outcome::kMalformed:
    case Outcome::kOk:
      break;
  }
  return {StatusCode::kInternal, "MALFORMED", "the entry is malformed", nullptr, false};
}

}  // namespace

void FillPosition(const Position& position, v1::Position* wire) {
  wire->set_log_index(position.log_index);
  wire->set_state_index(position.state_index);
  wire->set_state_root(std::string(index::AsBytes(position.state_root)));
}

void FillWriteResponse(const WriteResult& result, v1::WriteResponse* response) {
  FillPosition(result.position, response->mutable_position());
  response->set_inserted_count(result.commit.inserted_count);
  response->set_updated_count(result.commit.updated_count);
  response->set_deleted_count(result.commit.deleted_count);
  response->set_missing_count(result.commit.missing_count);
  response->set_more(result.commit.more);
  response->set_duplicate(result.duplicate);
}

bool IsLogged(const WriteResult& result) {
  switch (result.commit.outcome) {
    case Outcome::kRequestTooOld:
    case Outcome::kDuplicateRequest:
    case Outcome::kRequestIdReused:
      return false;
    default:
      return true;
  }
}

absl::Status StatusOf(const WriteResult& result) {
  const CommitRecord& commit = result.commit;
  if (commit.outcome == Outcome::kOk) return absl::OkStatus();
  const Refusal refusal = RefusalOf(commit);
  std::map<std::string, std::string> metadata;
  std::string message = refusal.message;
  if (IsLogged(result)) {
    metadata["logged"] = "true";
    metadata["log_index"] = absl::StrCat(commit.index);
    if (refusal.names_operation) {
      metadata["operation"] = absl::StrCat(commit.failed_item);
      message = absl::StrCat("operations[", commit.failed_item, "]: ", message);
    }
    if (result.duplicate) metadata["duplicate"] = "true";
  }
  if (commit.outcome == Outcome::kRequestIdReused)
    metadata["log_index"] = absl::StrCat(commit.index);
  if (refusal.current != nullptr) metadata[refusal.current] = absl::StrCat(commit.current);
  return MakeError(refusal.code, refusal.reason, message, std::move(metadata));
}

absl::Status ExplainWriteFailure(const absl::Status& status) {
  if (status.ok() || status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo").has_value()) {
    return status;
  }
  const std::string message(status.message());
  switch (status.code()) {
    case StatusCode::kResourceExhausted:
      return MakeError(status.code(), "WRITES_EXHAUSTED", message);
    case StatusCode::kUnavailable:
      return MakeError(status.code(), "WRITES_UNAVAILABLE", message);
    default:
      return MakeError(status.code(), "WRITE_FAILED", message);
  }
}

}  // namespace stele::server
