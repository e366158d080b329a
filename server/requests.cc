#include "server/requests.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "index/arithmetic.h"
#include "index/codec.h"
#include "index/command.h"
#include "server/errors.h"
#include "server/limits.h"
#include "server/quote.h"

namespace stele::server {
namespace {

absl::Status TooLong(std::string_view reason, std::string_view field, size_t size, uint32_t limit) {
  return BadField(reason, field,
                  absl::StrCat("it has ", size, " bytes, at most ", limit, " are allowed"),
                  {{"limit", absl::StrCat(limit)}});
}

}  // namespace

WriteDraft Refuse(absl::Status status) {
  WriteDraft draft;
  draft.status = std::move(status);
  return draft;
}

WriteDraft DraftOne(index::Operation operation, const std::string& request_id,
                    const std::string& actor, index::LogIndex known_index) {
  WriteDraft draft;
  draft.task.request_id = request_id;
  draft.task.actor = actor;
  draft.task.known_index = known_index;
  draft.task.operations.push_back(index::Prepare(std::move(operation)));
  return draft;
}

absl::Status CheckRequestId(std::string_view request_id, std::string_view field) {
  if (request_id.empty()) {
    return BadField("REQUEST_ID_MISSING", field,
                    "give every write an id of its own, and the same one again when it is retried");
  }
  if (request_id.size() > index::kRequestIdBytesMax) {
    return TooLong("REQUEST_ID_TOO_LONG", field, request_id.size(), index::kRequestIdBytesMax);
  }
  return absl::OkStatus();
}

absl::Status CheckCollectionName(std::string_view name, std::string_view field) {
  if (name.empty()) return BadField("COLLECTION_NAME", field, "a collection must be named");
  if (name.size() > index::kCollectionNameBytesMax) {
    return TooLong("COLLECTION_NAME", field, name.size(), index::kCollectionNameBytesMax);
  }
  if (!index::IsUtf8(name)) return BadField("COLLECTION_NAME", field, "it must be UTF-8");
  return absl::OkStatus();
}

absl::Status CheckRecordId(std::string_view id, std::string_view field) {
  if (id.empty()) return BadField("ID_EMPTY", field, "a record must have an id");
  if (id.size() > index::kIdBytesMax) {
    return TooLong("ID_TOO_LONG", field, id.size(), index::kIdBytesMax);
  }
  if (!index::IsUtf8(id)) return BadField("ID_NOT_UTF8", field, "an id must be UTF-8");
  return absl::OkStatus();
}

absl::Status CollectionNotFound(std::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, "COLLECTION_NOT_FOUND",
                   absl::StrCat("there is no collection ", Quote(name)),
                   {{"collection", std::string(name)}});
}

absl::StatusOr<int32_t> PageSizeOf(int32_t page_size) {
  if (page_size < 0) {
    return BadField(
        "PAGE_SIZE_NEGATIVE", "page_size",
        absl::StrCat("it is ", page_size, "; use 0 for the default of ", kPageSizeDefault));
  }
  if (page_size == 0) return kPageSizeDefault;
  return page_size < kPageSizeMax ? page_size : kPageSizeMax;
}

std::optional<index::Metric> MetricFromWire(v1::Metric metric) {
  switch (metric) {
    case v1::METRIC_L2:
      return index::Metric::kL2;
    case v1::METRIC_DOT:
      return index::Metric::kDot;
    case v1::METRIC_COSINE:
      return index::Metric::kCosine;
    default:
      return std::nullopt;
  }
}

v1::Metric MetricToWire(index::Metric metric) {
  switch (metric) {
    case index::Metric::kL2:
      return v1::METRIC_L2;
    case index::Metric::kDot:
      return v1::METRIC_DOT;
    case index::Metric::kCosine:
      return v1::METRIC_COSINE;
  }
  return v1::METRIC_UNSPECIFIED;
}

WriteDraft DraftCreate(const v1::CreateCollectionRequest& request, const std::string& actor) {
  const v1::CollectionConfig& config = request.config();
  if (absl::Status status = CheckRequestId(request.request_id(), "request_id"); !status.ok()) {
    return Refuse(std::move(status));
  }
  if (absl::Status status = CheckCollectionName(config.name(), "config.name"); !status.ok()) {
    return Refuse(std::move(status));
  }
  if (config.dimension() == 0 || config.dimension() > index::kDimensionMax) {
    return Refuse(BadField(
        "DIMENSION_OUT_OF_RANGE", "config.dimension",
        absl::StrCat("it is ", config.dimension(), ", it must be 1 to ", index::kDimensionMax),
        {{"limit", absl::StrCat(index::kDimensionMax)}}));
  }
  const std::optional<index::Metric> metric = MetricFromWire(config.metric());
  if (!metric.has_value()) {
    return Refuse(BadField("METRIC_UNSPECIFIED", "config.metric",
                           "name METRIC_L2, METRIC_DOT or METRIC_COSINE"));
  }
  const std::string& description = config.options().description();
  if (description.size() > index::kDescriptionBytesMax) {
    return Refuse(TooLong("DESCRIPTION_TOO_LONG", "config.options.description", description.size(),
                          index::kDescriptionBytesMax));
  }
  if (!index::IsUtf8(description)) {
    return Refuse(
        BadField("DESCRIPTION_NOT_UTF8", "config.options.description", "it must be UTF-8"));
  }
  if (!v1::ReceiptPolicy_IsValid(config.options().receipts())) {
    return Refuse(BadField("RECEIPT_POLICY_UNKNOWN", "config.options.receipts",
                           absl::StrCat(static_cast<int>(config.options().receipts()),
                                        " is no policy that this server knows")));
  }
  index::Operation operation;
  operation.kind = index::OperationKind::kCreateCollection;
  operation.collection = config.name();
  operation.config = {config.dimension(), *metric, description,
                      static_cast<index::ReceiptPolicy>(config.options().receipts()),
                      config.options().erasable()};
  return DraftOne(std::move(operation), request.request_id(), actor, request.known_index());
}

WriteDraft DraftDrop(const v1::DropCollectionRequest& request, const std::string& actor,
                     const CollectionLookup& lookup) {
  if (absl::Status status = CheckRequestId(request.request_id(), "request_id"); !status.ok()) {
    return Refuse(std::move(status));
  }
  if (absl::Status status = CheckCollectionName(request.name(), "name"); !status.ok()) {
    return Refuse(std::move(status));
  }
  if (!lookup(request.name()).has_value()) {
    WriteDraft draft = Refuse(CollectionNotFound(request.name()));
    draft.doubt.emplace();
    draft.task.request_id = request.request_id();
    draft.task.actor = actor;
    return draft;
  }
  index::Operation operation;
  operation.kind = index::OperationKind::kDropCollection;
  operation.collection = request.name();
  return DraftOne(std::move(operation), request.request_id(), actor, request.known_index());
}

}  // namespace stele::server
