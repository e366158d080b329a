#include "server/revert.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/codec.h"
#include "index/command.h"
#include "server/attributes_wire.h"
#include "server/errors.h"
#include "server/memory_history.h"
#include "server/outcomes.h"
#include "server/quote.h"
#include "server/record_history.h"
#include "server/requests.h"
#include "server/views.h"
#include "server/write_door.h"

namespace stele::server {
namespace {

absl::Status CheckRequest(const v1::RevertRecordRequest& request) {
  absl::Status status = CheckRequestId(request.request_id(), "request_id");
  if (status.ok()) status = CheckCollectionName(request.collection(), "collection");
  if (status.ok()) status = CheckRecordId(request.id(), "id");
  return status;
}

void FillResponse(const WriteResult& result, v1::RevertRecordResponse* response) {
  FillPosition(result.position, response->mutable_position());
  response->set_inserted_count(result.commit.inserted_count);
  response->set_updated_count(result.commit.updated_count);
  response->set_deleted_count(result.commit.deleted_count);
  response->set_missing_count(result.commit.missing_count);
  response->set_duplicate(result.duplicate);
}

// One revert, from the look at the log to the reply. Lives until its call ends.
class Reversal : public std::enable_shared_from_this<Reversal> {
 public:
  Reversal(const Parts& parts, Call* call, const v1::RevertRecordRequest* request,
           v1::RevertRecordResponse* response)
      : parts_(parts), call_(call), request_(*request), response_(response) {}

  void Begin() {
    parts_.engine->FindOutcome(
        call_->actor(), request_.request_id(),
        [self = shared_from_this()](absl::StatusOr<WriteResult> seen) {
          RunDetached(self->parts_.executor, self->call_, [self, seen = std::move(seen)] {
            if (seen.ok()) return self->EndAgain(*seen);
            if (!absl::IsNotFound(seen.status())) {
              return self->call_->Done(ExplainWriteFailure(seen.status()));
            }
            self->Write();
          });
        });
  }

 private:
  // What the record was after to_index: nothing where it was not there.
  absl::StatusOr<std::optional<RecordThen>> Target() const {
    const Engine& engine = *parts_.engine;
    const absl::Status held =
        CheckToIndex(request_.to_index(), engine.base_index(), engine.published_index());
    if (!held.ok()) return held;
    absl::StatusOr<std::optional<RecordThen>> then =
        RecordAfter(&engine.journal(), request_.collection(), request_.id(), request_.to_index());
    if (!then.ok()) return HistoryFailed(then.status());
    const bool unknown = then->has_value()
                             ? !(*then)->change.is_end() &&
                                   (*then)->content.state == RecordContent::State::kBeforeLog
                             : engine.base_index() > 0;
    if (unknown) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "CONTENT_BEFORE_LOG",
          absl::StrCat("what ", Quote(request_.id()), " was after entry ", request_.to_index(),
                       " was written before this log began, at ", engine.base_index()));
    }
    if (then->has_value() && !(*then)->change.is_end() &&
        (*then)->content.state == RecordContent::State::kErased) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "CONTENT_ERASED",
                       absl::StrCat("the content of ", Quote(request_.id()), " after entry ",
                                    request_.to_index(), " has been erased"));
    }
    if (then->has_value() && (*then)->change.is_end()) then->reset();
    return then;
  }

  // The version that the write expects to replace; 0 where there is none.
  absl::StatusOr<index::LogIndex> CurrentVersion() const {
    const absl::StatusOr<CollectionView> opened =
        OpenCollection(*parts_.engine, {}, request_.collection());
    if (!opened.ok()) return opened.status();
    const index::RecordVersion* version = opened->collection->Find(request_.id(), opened->view.n());
    return version != nullptr ? version->born() : 0;
  }

  void Write() {
    const absl::StatusOr<std::optional<RecordThen>> target = Target();
    if (!target.ok()) return call_->Done(target.status());
    const absl::StatusOr<index::LogIndex> current = CurrentVersion();
    if (!current.ok()) return call_->Done(current.status());
    v1::WriteRequest write;
    write.set_request_id(request_.request_id());
    write.set_known_index(request_.known_index());
    v1::Operation* operation = write.add_operations();
    operation->set_collection(request_.collection());
    if (*current != 0) {
      operation->mutable_precondition()->set_expected_version(*current);
    } else {
      operation->mutable_precondition()->set_must_not_exist(true);
    }
    if (target->has_value()) {
      const RecordContent& content = (*target)->content;
      v1::RecordInput* record = operation->mutable_upsert();
      record->set_id(request_.id());
      record->mutable_vector()->set_q16(index::Encoder().Components(content.base->vector).Take());
      DecodeAttributes(content.attributes, record->mutable_attributes());
      record->set_document(content.base->document);
    } else {
      operation->mutable_delete_record()->set_id(request_.id());
    }
    const NewestCollections collections(*parts_.engine);
    SubmitDraft(parts_.engine, DraftWrite(write, call_->actor(), collections.Lookup()),
                [self = shared_from_this()](const absl::StatusOr<WriteResult>& result) {
                  if (!result.ok()) return self->call_->Done(result.status());
                  if (result->commit.outcome == index::Outcome::kRequestIdReused) {
                    // Perhaps by a twin that found another version.
                    return self->ReadAgain();
                  }
                  self->End(*result);
                });
  }

  void ReadAgain() {
    parts_.engine->FindOutcome(call_->actor(), request_.request_id(),
                               [self = shared_from_this()](absl::StatusOr<WriteResult> seen) {
                                 if (!seen.ok())
                                   return self->call_->Done(ExplainWriteFailure(seen.status()));
                                 RunDetached(
                                     self->parts_.executor, self->call_,
                                     [self, seen = *std::move(seen)] { self->EndAgain(seen); });
                               });
  }

  // The request id was used before: by this revert, or by something else.
  void EndAgain(WriteResult seen) {
    const absl::StatusOr<bool> same = WroteTheSame(seen.commit.index);
    if (!same.ok()) return call_->Done(same.status());
    if (!*same) {
      seen.commit.outcome = index::Outcome::kRequestIdReused;
      return call_->Done(StatusOf(seen));
    }
    seen.duplicate = true;
    End(seen);
  }

  absl::StatusOr<bool> WroteTheSame(index::LogIndex index) const {
    const storage::Journal& journal = parts_.engine->journal();
    const absl::StatusOr<std::string> item = journal.ReadItem(index, 0);
    if (!item.ok()) return HistoryFailed(item.status());
    const bool alone = absl::IsNotFound(journal.ReadItem(index, 1).status());
    const std::optional<index::Operation> wrote = index::DecodeOperation(*item);
    if (!alone) return false;
    if (!wrote.has_value()) return false;
    if (wrote->collection != request_.collection() || wrote->id != request_.id()) return false;
    // What is left says no more than that it was executed.
    if (wrote->erased) return true;
    // A revert always has a precondition; what it was, only the first sending knew.
    if (wrote->precondition.kind == index::Precondition::Kind::kNone) return false;
    const absl::StatusOr<std::optional<RecordThen>> target = Target();
    if (!target.ok()) return target.status();
    if (!target->has_value()) return wrote->kind == index::OperationKind::kDelete;
    const RecordContent& content = (*target)->content;
    return wrote->kind == index::OperationKind::kUpsert && wrote->vector == content.base->vector &&
           wrote->attributes == content.attributes && wrote->document == content.base->document;
  }

  void End(const WriteResult& result) {
    const absl::Status status = StatusOf(result);
    if (status.ok()) FillResponse(result, response_);
    call_->Done(status);
  }

  const Parts parts_;
  Call* const call_;
  const v1::RevertRecordRequest request_;
  v1::RevertRecordResponse* const response_;
};

}  // namespace

void Revert(const Parts& parts, Call* call, const v1::RevertRecordRequest* request,
            v1::RevertRecordResponse* response) {
  if (absl::Status status = CheckRequest(*request); !status.ok()) return call->Done(status);
  std::make_shared<Reversal>(parts, call, request, response)->Begin();
}

}  // namespace stele::server
