// If this failed: a client would be told the wrong thing about its write, or could not tell a
// rejection that is in the log, and final, from one that is not.
#include "server/outcomes.h"

#include <gtest/gtest.h>

#include "server/errors.h"
#include "tests/server/error_details.h"

namespace stele::server {
namespace {

using absl::StatusCode;
using index::Outcome;

WriteResult Result(Outcome outcome) {
  WriteResult result;
  result.commit.outcome = outcome;
  result.commit.index = 41;
  result.commit.failed_item = 3;
  result.commit.current = 17;
  return result;
}

struct Row {
  Outcome outcome;
  StatusCode code;
  const char* reason;
  bool logged;
  const char* current_key;  // "" where `current` says nothing
};

TEST(Outcomes, EveryOneHasItsCodeAndReason) {
  const Row rows[] = {
      {Outcome::kCollectionNotFound, StatusCode::kNotFound, "COLLECTION_NOT_FOUND", true, ""},
      {Outcome::kCollectionExists, StatusCode::kAlreadyExists, "COLLECTION_EXISTS", true, ""},
      {Outcome::kRecordExists, StatusCode::kAlreadyExists, "RECORD_EXISTS", true,
       "current_version"},
      {Outcome::kRecordNotFound, StatusCode::kNotFound, "RECORD_NOT_FOUND", true, ""},
      {Outcome::kPreconditionFailed, StatusCode::kAborted, "PRECONDITION_FAILED", true,
       "current_version"},
      {Outcome::kStateIndexMismatch, StatusCode::kAborted, "STATE_INDEX_MISMATCH", true,
       "current_state_index"},
      {Outcome::kDimensionMismatch, StatusCode::kInvalidArgument, "DIMENSION_MISMATCH", true,
       "dimension"},
      {Outcome::kNotNormalized, StatusCode::kInvalidArgument, "NOT_NORMALIZED", true, ""},
      {Outcome::kRequestTooOld, StatusCode::kFailedPrecondition, "REQUEST_TOO_OLD", false,
       "oldest_index"},
      {Outcome::kRequestIdReused, StatusCode::kInvalidArgument, "REQUEST_ID_REUSED", false, ""},
      {Outcome::kAttributesTooLarge, StatusCode::kInvalidArgument, "ATTRIBUTES_TOO_LARGE", true,
       ""},
      {Outcome::kTooManyCollections, StatusCode::kResourceExhausted, "TOO_MANY_COLLECTIONS", true,
       ""},
      {Outcome::kMalformed, StatusCode::kInternal, "MALFORMED", true, ""},
      {Outcome::kOptionsMismatch, StatusCode::kAborted, "COLLECTION_CHANGED", true, ""},
      {Outcome::kHeld, StatusCode::kFailedPrecondition, "HELD", true, "hold_index"},
      {Outcome::kHoldExists, StatusCode::kAlreadyExists, "HOLD_EXISTS", true, "hold_index"},
      {Outcome::kHoldNotFound, StatusCode::kNotFound, "HOLD_NOT_FOUND", true, ""},
      {Outcome::kTooManyHolds, StatusCode::kResourceExhausted, "TOO_MANY_HOLDS", true, ""},
      {Outcome::kNotErasable, StatusCode::kFailedPrecondition, "COLLECTION_NOT_ERASABLE", true, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.reason);
    const WriteResult result = Result(row.outcome);
    const absl::Status status = StatusOf(result);
    const Details details = DetailsOf(status);
    EXPECT_EQ(status.code(), row.code);
    EXPECT_EQ(details.reason, row.reason);
    EXPECT_EQ(IsLogged(result), row.logged);
    EXPECT_EQ(details.metadata.count("logged"), row.logged ? 1u : 0u);
    if (row.logged) {
      EXPECT_EQ(details.metadata.at("log_index"), "41");
    }
    if (*row.current_key != '\0') {
      EXPECT_EQ(details.metadata.at(row.current_key), "17");
    }
  }
  EXPECT_TRUE(StatusOf(Result(Outcome::kOk)).ok());
  EXPECT_TRUE(IsLogged(Result(Outcome::kOk)));
}

TEST(Outcomes, NameTheOperationAndTheEarlierEntry) {
  const Details failed = DetailsOf(StatusOf(Result(Outcome::kRecordNotFound)));
  EXPECT_EQ(failed.metadata.at("operation"), "3");
  EXPECT_EQ(failed.metadata.at("logged"), "true");
  EXPECT_EQ(DetailsOf(StatusOf(Result(Outcome::kStateIndexMismatch))).metadata.count("operation"),
            0u);
  EXPECT_EQ(DetailsOf(StatusOf(Result(Outcome::kRequestIdReused))).metadata.at("log_index"), "41");
}

TEST(Outcomes, ResponseCarriesEveryCount) {
  WriteResult result = Result(Outcome::kOk);
  result.position.log_index = 41;
  result.position.state_index = 40;
  result.position.state_root.fill(0xab);
  result.commit.inserted_count = 1;
  result.commit.updated_count = 2;
  result.commit.deleted_count = 3;
  result.commit.missing_count = 4;
  result.commit.more = true;
  result.duplicate = true;
  v1::WriteResponse response;
  FillWriteResponse(result, &response);
  EXPECT_EQ(response.position().log_index(), 41u);
  EXPECT_EQ(response.position().state_index(), 40u);
  EXPECT_EQ(response.position().state_root(), std::string(32, '\xab'));
  EXPECT_EQ(response.inserted_count(), 1u);
  EXPECT_EQ(response.updated_count(), 2u);
  EXPECT_EQ(response.deleted_count(), 3u);
  EXPECT_EQ(response.missing_count(), 4u);
  EXPECT_TRUE(response.more());
  EXPECT_TRUE(response.duplicate());
}

TEST(Outcomes, EngineFailuresGetAReasonOnce) {
  EXPECT_EQ(DetailsOf(ExplainWriteFailure(absl::ResourceExhaustedError("x"))).reason,
            "WRITES_EXHAUSTED");
  EXPECT_EQ(DetailsOf(ExplainWriteFailure(absl::UnavailableError("x"))).reason,
            "WRITES_UNAVAILABLE");
  EXPECT_EQ(DetailsOf(ExplainWriteFailure(absl::DataLossError("x"))).reason, "WRITE_FAILED");
  EXPECT_EQ(DetailsOf(ExplainWriteFailure(MakeError(StatusCode::kUnavailable, "OWN", "x"))).reason,
            "OWN");
}

}  // namespace
}  // namespace stele::server
