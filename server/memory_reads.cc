#include "server/memory_reads.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/candidates.h"
#include "index/codec.h"
#include "index/record.h"
#include "server/errors.h"
#include "server/filter_wire.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/record_wire.h"
#include "server/requests.h"
#include "server/views.h"

namespace stele::server {
namespace {

// Documents are read from disk, so fewer of them between two looks at the deadline.
constexpr uint32_t kRecordsPerCheck = 32;

template <typename Request>
absl::StatusOr<std::optional<index::Filter>> FilterOf(const Request& request) {
  if (!request.has_filter()) return std::optional<index::Filter>();
  absl::StatusOr<index::Filter> filter = ConvertFilter(request.filter(), "filter");
  if (!filter.ok()) return filter.status();
  return std::optional<index::Filter>(*std::move(filter));
}

bool Matches(const std::optional<index::Filter>& filter, const index::RecordVersion& version) {
  return !filter.has_value() || filter->Matches(index::AttributesView(version.attributes()));
}

// What all pages of one listing have in common.
std::string ArgumentsOf(const v1::ListRecordsRequest& request,
                        const std::optional<index::Filter>& filter) {
  index::Encoder encoder;
  encoder.Sized("ListRecords").Sized(request.collection());
  encoder.U8(request.has_at_index() ? 1 : 0).U64(request.at_index());
  encoder.U8(request.has_at_time_micros() ? 1 : 0).I64(request.at_time_micros());
  encoder.U8(request.selector().vector() ? 1 : 0).U8(request.selector().attributes() ? 1 : 0);
  encoder.U8(request.selector().document() ? 1 : 0).U8(filter.has_value() ? 1 : 0);
  if (filter.has_value()) index::EncodeFilter(*filter, encoder);
  return encoder.Take();
}

}  // namespace

absl::StatusOr<GetPlan> GetPlan::Make(const v1::GetRecordsRequest& request) {
  absl::Status status = CheckCollectionName(request.collection(), "collection");
  if (!status.ok()) return status;
  if (request.ids().empty()) return BadField("IDS_EMPTY", "ids", "name at least one record");
  if (request.ids_size() > kGetIdsMax) {
    return BadField("TOO_MANY_IDS", "ids",
                    absl::StrCat("it has ", request.ids_size(), " ids, at most ", kGetIdsMax,
                                 " are allowed; split the request"),
                    {{"limit", absl::StrCat(kGetIdsMax)}});
  }
  for (int i = 0; i < request.ids_size(); ++i) {
    status = CheckRecordId(request.ids(i), absl::StrCat("ids[", i, "]"));
    if (!status.ok()) return status;
  }
  const absl::StatusOr<ReadPoint> point = ReadPointOf(request);
  if (!point.ok()) return point.status();
  GetPlan plan;
  plan.request_ = &request;
  plan.point_ = *point;
  return plan;
}

absl::Status GetPlan::Run(const Engine& engine, const Stopped& stopped,
                          v1::GetRecordsResponse* response) const {
  const absl::StatusOr<CollectionView> opened =
      OpenCollection(engine, point_, request_->collection());
  if (!opened.ok()) return opened.status();
  const auto& [view, collection] = *opened;
  FillPosition(view.position(), response->mutable_position());
  RecordFiller filler(view, *collection, request_->selector(), kReplyBytesMax);
  uint32_t count = 0;
  for (const std::string& id : request_->ids()) {
    if (++count % kRecordsPerCheck == 0 && stopped()) return absl::CancelledError();
    const index::RecordVersion* version = collection->Find(id, view.n());
    if (version == nullptr) {
      response->add_missing_ids(id);
      continue;
    }
    if (absl::Status status = filler.Fill(*version, response->add_records()); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ListPlan> ListPlan::Make(const v1::ListRecordsRequest& request) {
  absl::Status status = CheckCollectionName(request.collection(), "collection");
  if (!status.ok()) return status;
  const absl::StatusOr<int32_t> page_size = PageSizeOf(request.page_size());
  if (!page_size.ok()) return page_size.status();
  absl::StatusOr<std::optional<index::Filter>> filter = FilterOf(request);
  if (!filter.ok()) return filter.status();
  const absl::StatusOr<ReadPoint> point = ReadPointOf(request);
  if (!point.ok()) return point.status();
  ListPlan plan;
  plan.request_ = &request;
  plan.point_ = *point;
  plan.page_size_ = *page_size;
  plan.filter_ = *std::move(filter);
  plan.arguments_ = ArgumentsOf(request, plan.filter_);
  return plan;
}

absl::Status ListPlan::Run(const Engine& engine, const Stopped& stopped,
                           v1::ListRecordsResponse* response) const {
  absl::StatusOr<Page> page = OpenPage(engine, request_->page_token(), arguments_, point_);
  if (!page.ok()) return page.status();
  const ReadView& view = page->view;
  const absl::StatusOr<const index::Collection*> collection =
      FindCollection(view, request_->collection());
  if (!collection.ok()) return collection.status();
  FillPosition(view.position(), response->mutable_position());
  RecordFiller filler(view, **collection, request_->selector(), kReplyBytesMax);
  uint32_t rows = 0;
  uint32_t returned = 0;
  index::CandidateRecords records(**collection, view.n(), filter_.has_value() ? &*filter_ : nullptr,
                                  page->last.value_or(""));
  while (records.Advance()) {
    if (++rows % kRowsPerCheck == 0 && stopped()) return absl::CancelledError();
    const index::RecordVersion* version = records.version();
    if (version == nullptr || version->id() == page->last || !Matches(filter_, *version)) continue;
    // Only now: a page that is full and has nothing behind it is the last.
    if (response->records_size() == page_size_ || filler.bytes() >= kPageBytes) {
      response->set_next_page_token(
          NextPageToken(engine, view, arguments_, response->records().rbegin()->id()));
      break;
    }
    if (++returned % kRecordsPerCheck == 0 && stopped()) {
      return absl::CancelledError();
    }
    if (absl::Status status = filler.Fill(*version, response->add_records()); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CountPlan> CountPlan::Make(const v1::CountRecordsRequest& request) {
  absl::Status status = CheckCollectionName(request.collection(), "collection");
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<index::Filter>> filter = FilterOf(request);
  if (!filter.ok()) return filter.status();
  const absl::StatusOr<ReadPoint> point = ReadPointOf(request);
  if (!point.ok()) return point.status();
  CountPlan plan;
  plan.request_ = &request;
  plan.point_ = *point;
  plan.filter_ = *std::move(filter);
  return plan;
}

absl::Status CountPlan::Run(const Engine& engine, const Stopped& stopped,
                            v1::CountRecordsResponse* response) const {
  const absl::StatusOr<CollectionView> opened =
      OpenCollection(engine, point_, request_->collection());
  if (!opened.ok()) return opened.status();
  const auto& [view, collection] = *opened;
  FillPosition(view.position(), response->mutable_position());
  uint64_t count = 0;
  if (!filter_.has_value()) {
    count = collection->StatsAt(view.n()).record_count;
  } else {
    uint32_t rows = 0;
    index::CandidateRecords records(*collection, view.n(), &*filter_);
    while (records.Advance()) {
      if (++rows % kRowsPerCheck == 0 && stopped()) return absl::CancelledError();
      if (records.version() != nullptr && Matches(filter_, *records.version())) ++count;
    }
  }
  response->set_count(count);
  return absl::OkStatus();
}

}  // namespace stele::server
