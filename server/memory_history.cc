#include "server/memory_history.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "index/codec.h"
#include "server/attributes_wire.h"
#include "server/errors.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/page_token.h"
#include "server/record_history.h"
#include "server/record_wire.h"
#include "server/requests.h"
#include "server/views.h"

namespace stele::server {
namespace {

// A page holds no more, whatever is asked for: the contents of all of them are built together.
constexpr int32_t kChangesMax = 1'000;

v1::ChangeKind KindToWire(RecordChange::Kind kind) {
  switch (kind) {
    case RecordChange::Kind::kCreated:
      return v1::CHANGE_KIND_CREATED;
    case RecordChange::Kind::kReplaced:
      return v1::CHANGE_KIND_REPLACED;
    case RecordChange::Kind::kWritten:
      return v1::CHANGE_KIND_WRITTEN;
    case RecordChange::Kind::kAttributesUpdated:
      return v1::CHANGE_KIND_ATTRIBUTES_UPDATED;
    case RecordChange::Kind::kDeleted:
      return v1::CHANGE_KIND_DELETED;
    case RecordChange::Kind::kDeletedByFilter:
      return v1::CHANGE_KIND_DELETED_BY_FILTER;
    case RecordChange::Kind::kCollectionDropped:
      return v1::CHANGE_KIND_COLLECTION_DROPPED;
    case RecordChange::Kind::kErased:
      return v1::CHANGE_KIND_ERASED;
  }
  return v1::CHANGE_KIND_UNSPECIFIED;
}

void FillChange(const RecordChange& change, v1::RecordChange* wire) {
  wire->set_log_index(change.index);
  wire->set_kind(KindToWire(change.kind));
  wire->set_actor(change.actor);
  wire->set_request_id(change.request_id);
  wire->set_timestamp_micros(change.timestamp_micros);
  if (change.commitment.has_value()) {
    wire->set_commitment(std::string(index::AsBytes(*change.commitment)));
  }
  wire->set_content_state(v1::CONTENT_STATE_NONE);
}

void FillContent(const RecordContent& content, const v1::Selector& selector, v1::RecordChange* wire,
                 v1::Record* record) {
  wire->set_content_state(v1::CONTENT_STATE_GIVEN);
  if (selector.vector()) {
    record->set_vector_q16(index::Encoder().Components(content.base->vector).Take());
  }
  if (selector.attributes()) DecodeAttributes(content.attributes, record->mutable_attributes());
  if (selector.document()) record->set_document(content.base->document);
}

bool SelectsAnything(const v1::Selector& selector) {
  return selector.vector() || selector.attributes() || selector.document();
}

// What the log does not hold is perhaps still in memory: the version that is there now.
absl::Status FillFromMemory(const Engine& engine, const v1::GetHistoryRequest& request,
                            v1::RecordChange* wire) {
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return view.status();
  const index::Collection* collection = view->FindCollection(request.collection());
  const index::RecordVersion* version =
      collection != nullptr ? collection->Find(request.id(), view->n()) : nullptr;
  if (version == nullptr || version->born() != wire->log_index()) return absl::OkStatus();
  RecordFiller filler(*view, *collection, request.selector(), kReplyBytesMax);
  wire->set_content_state(v1::CONTENT_STATE_GIVEN);
  return filler.Fill(*version, wire->mutable_record());
}

}  // namespace

absl::StatusOr<HistoryPlan> HistoryPlan::Make(const v1::GetHistoryRequest& request) {
  absl::Status status = CheckCollectionName(request.collection(), "collection");
  if (status.ok()) status = CheckRecordId(request.id(), "id");
  if (!status.ok()) return status;
  const absl::StatusOr<int32_t> page_size = PageSizeOf(request.page_size());
  if (!page_size.ok()) return page_size.status();
  HistoryPlan plan;
  plan.request_ = &request;
  plan.page_size_ = std::min(*page_size, kChangesMax);
  index::Encoder encoder;
  encoder.Sized("GetHistory").Sized(request.collection()).Sized(request.id());
  encoder.U8(request.has_to_index() ? 1 : 0).U64(request.to_index());
  encoder.U8(request.selector().vector() ? 1 : 0).U8(request.selector().attributes() ? 1 : 0);
  encoder.U8(request.selector().document() ? 1 : 0);
  plan.arguments_ = encoder.Take();
  return plan;
}

absl::Status CheckToIndex(index::LogIndex to_index, index::LogIndex base, index::LogIndex newest) {
  if (base <= to_index && to_index <= newest) return absl::OkStatus();
  return EntryOutOfRange(
      absl::StrCat("to_index is ", to_index, "; this log holds entries ", base, " to ", newest),
      base, newest);
}

absl::StatusOr<HistoryPlan::Begin> HistoryPlan::BeginOf(const Engine& engine,
                                                        index::LogIndex published) const {
  if (!request_->page_token().empty()) {
    const absl::StatusOr<PageToken> token =
        ReadPageToken(engine, request_->page_token(), arguments_);
    if (!token.ok()) return token.status();
    uint64_t last = 0;
    if (!absl::SimpleAtoi(token->last, &last) || last == 0) {
      return BadField("PAGE_TOKEN_INVALID", "page_token",
                      "it is not a next_page_token of this call");
    }
    return Begin{token->index, last - 1};
  }
  if (!request_->has_to_index()) return Begin{published, published};
  const absl::Status held = CheckToIndex(request_->to_index(), engine.base_index(), published);
  if (!held.ok()) return held;
  return Begin{published, request_->to_index()};
}

absl::Status HistoryPlan::Run(const Engine& engine, const Stopped& stopped,
                              v1::GetHistoryResponse* response) const {
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return view.status();
  const absl::StatusOr<Begin> begin = BeginOf(engine, view->n());
  if (!begin.ok()) return begin.status();
  FillPosition(view->position(), response->mutable_position());
  response->set_oldest_index(engine.base_index());

  RecordHistory history(&engine.journal(), request_->collection(), request_->id(), begin->at_most);
  std::vector<RecordChange> changes;
  bool more = false;
  for (;;) {
    if (stopped()) return absl::CancelledError();
    absl::StatusOr<std::optional<RecordChange>> change = history.Next();
    if (!change.ok()) return HistoryFailed(change.status());
    if (!change->has_value()) break;
    more = static_cast<int32_t>(changes.size()) == page_size_;
    if (more) break;
    changes.push_back(**std::move(change));
  }
  const v1::Selector& selector = request_->selector();
  std::vector<RecordContent> contents;
  if (SelectsAnything(selector)) {
    // `history` has gone one further than the page.
    RecordHistory rest(&engine.journal(), request_->collection(), request_->id(),
                       changes.empty() || changes.back().index == 0 ? 0 : changes.back().index - 1);
    absl::StatusOr<std::vector<RecordContent>> made = ContentsOf(changes, &rest);
    if (!made.ok()) return HistoryFailed(made.status());
    contents = *std::move(made);
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (bytes >= kPageBytes) {
      more = true;
      break;
    }
    v1::RecordChange* wire = response->add_changes();
    FillChange(changes[i], wire);
    if (!changes[i].is_end() && !contents.empty()) {
      if (absl::Status status = FillVersion(engine, contents[i], wire); !status.ok()) return status;
    }
    bytes += wire->ByteSizeLong();
  }
  if (more) {
    response->set_next_page_token(
        EncodePageToken({engine.log_id(), begin->pinned, HashArguments(arguments_),
                         absl::StrCat(response->changes().rbegin()->log_index())}));
  }
  return absl::OkStatus();
}

absl::Status HistoryPlan::FillVersion(const Engine& engine, const RecordContent& content,
                                      v1::RecordChange* wire) const {
  switch (content.state) {
    case RecordContent::State::kErased:
      wire->set_content_state(v1::CONTENT_STATE_ERASED);
      return absl::OkStatus();
    case RecordContent::State::kBeforeLog:
      wire->set_content_state(v1::CONTENT_STATE_BEFORE_LOG);
      return FillFromMemory(engine, *request_, wire);
    case RecordContent::State::kGiven:
      break;
  }
  v1::Record* record = wire->mutable_record();
  record->set_id(request_->id());
  record->set_version(wire->log_index());
  FillContent(content, request_->selector(), wire, record);
  return absl::OkStatus();
}

absl::Status HistoryFailed(const absl::Status& status) {
  return MakeError(status.code(), "HISTORY_FAILED", std::string(status.message()));
}

}  // namespace stele::server
