// WriteRequest: the operations on records.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "server/attributes_wire.h"
#include "server/conversion.h"
#include "server/errors.h"
#include "server/filter_wire.h"
#include "server/limits.h"
#include "server/quote.h"
#include "server/recovery.h"
#include "server/requests.h"

namespace stele::server {
namespace {

using index::OperationKind;

// The kind's name in paths, its number in the log, and the id that it names.
struct Target {
  const char* name = "";
  OperationKind kind = OperationKind::kContinuation;
  const std::string* id = nullptr;  // null for those by filter
};

Target TargetOf(const v1::Operation& operation) {
  switch (operation.kind_case()) {
    case v1::Operation::kUpsert:
      return {"upsert", OperationKind::kUpsert, &operation.upsert().id()};
    case v1::Operation::kInsert:
      return {"insert", OperationKind::kInsert, &operation.insert().id()};
    case v1::Operation::kUpdateAttributes:
      return {"update_attributes", OperationKind::kUpdateAttributes,
              &operation.update_attributes().id()};
    case v1::Operation::kDeleteRecord:
      return {"delete_record", OperationKind::kDelete, &operation.delete_record().id()};
    case v1::Operation::kDeleteByFilter:
      return {"delete_by_filter", OperationKind::kDeleteByFilter, nullptr};
    case v1::Operation::kErase:
      return {"erase", OperationKind::kErase, &operation.erase().id()};
    case v1::Operation::kEraseByFilter:
      return {"erase_by_filter", OperationKind::kEraseByFilter, nullptr};
    case v1::Operation::KIND_NOT_SET:
      break;
  }
  return {};
}

class Drafter {
 public:
  Drafter(const v1::WriteRequest& request, const CollectionLookup& lookup)
      : request_(request), lookup_(lookup) {}

  absl::Status Draft(const std::string& actor, WriteTask* task);
  const std::optional<WriteDraft::Doubt>& doubt() const { return doubt_; }

 private:
  absl::Status CheckShape() const;
  absl::Status CheckOperation(const v1::Operation& wire, const std::string& path) const;
  absl::Status CheckPrecondition(const v1::Operation& wire, const std::string& path) const;
  absl::Status Convert(const v1::Operation& wire, const std::string& path,
                       index::Operation* operation);
  absl::Status ConvertRecord(const v1::RecordInput& input, const std::string& path,
                             index::Operation* operation);
  absl::Status ConvertUpdate(const v1::UpdateAttributes& update, const std::string& path,
                             index::Operation* operation);
  // DeleteByFilter and EraseByFilter.
  template <typename ByFilter>
  absl::Status ConvertByFilter(const ByFilter& deletion, const std::string& path,
                               index::Operation* operation);
  absl::Status ConvertContent(const v1::Operation& wire, const std::string& path,
                              index::Operation* operation);
  const std::optional<CollectionShape>& Find(const std::string& name);

  const v1::WriteRequest& request_;
  const CollectionLookup& lookup_;
  // Of the collection that was asked for last: most requests name one.
  std::string found_name_;
  std::optional<CollectionShape> found_;
  std::optional<WriteDraft::Doubt> doubt_;
};

const std::optional<CollectionShape>& Drafter::Find(const std::string& name) {
  if (found_name_ != name) {
    found_name_ = name;
    found_ = lookup_(name);
  }
  return found_;
}

absl::Status Drafter::CheckPrecondition(const v1::Operation& wire, const std::string& path) const {
  if (!wire.has_precondition()) return absl::OkStatus();
  const std::string field = absl::StrCat(path, ".precondition");
  if (const Target target = TargetOf(wire); target.id == nullptr) {
    return BadField("PRECONDITION_INVALID", field,
                    absl::StrCat(target.name, " takes none; see expected_state_index"));
  }
  switch (wire.precondition().kind_case()) {
    case v1::Precondition::kMustNotExist:
      if (wire.precondition().must_not_exist()) return absl::OkStatus();
      return BadField("PRECONDITION_INVALID", absl::StrCat(field, ".must_not_exist"),
                      "false states nothing; leave the precondition out");
    case v1::Precondition::kExpectedVersion:
      return absl::OkStatus();
    case v1::Precondition::KIND_NOT_SET:
      break;
  }
  return BadField("PRECONDITION_INVALID", field, "it states nothing; leave it out");
}

absl::Status Drafter::CheckOperation(const v1::Operation& wire, const std::string& path) const {
  const Target target = TargetOf(wire);
  if (target.kind == OperationKind::kContinuation) {
    return BadField("OPERATION_EMPTY", path, "no kind of operation is set");
  }
  absl::Status status = CheckCollectionName(wire.collection(), absl::StrCat(path, ".collection"));
  if (!status.ok()) return status;
  if (target.id == nullptr) {
    if (request_.operations_size() > 1) {
      return BadField("MUST_STAND_ALONE", absl::StrCat(path, ".", target.name),
                      absl::StrCat(target.name, " must be the only operation of its request"));
    }
  } else {
    status = CheckRecordId(*target.id, absl::StrCat(path, ".", target.name, ".id"));
    if (!status.ok()) return status;
  }
  return CheckPrecondition(wire, path);
}

absl::Status Drafter::CheckShape() const {
  if (absl::Status status = CheckRequestId(request_.request_id(), "request_id"); !status.ok()) {
    return status;
  }
  if (request_.operations().empty()) {
    return BadField("OPERATIONS_EMPTY", "operations", "a request must hold an operation");
  }
  const auto count = static_cast<size_t>(request_.operations_size());
  if (count > index::kOperationsMax) {
    return BadField("TOO_MANY_OPERATIONS", "operations",
                    absl::StrCat("it has ", count, " operations, at most ", index::kOperationsMax,
                                 " are one entry; split the request"),
                    {{"limit", absl::StrCat(index::kOperationsMax)}});
  }
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (size_t i = 0; i < count; ++i) {
    const v1::Operation& wire = request_.operations(static_cast<int>(i));
    const std::string path = absl::StrCat("operations[", i, "]");
    if (absl::Status status = CheckOperation(wire, path); !status.ok()) return status;
    const Target target = TargetOf(wire);
    if (target.id == nullptr || seen.emplace(wire.collection(), *target.id).second) continue;
    return BadField("DUPLICATE_ID", absl::StrCat(path, ".", target.name, ".id"),
                    absl::StrCat(Quote(*target.id), " of collection ", Quote(wire.collection()),
                                 " occurs more than once; all operations of a request read the "
                                 "state before it, so put one of them into another request"));
  }
  return absl::OkStatus();
}

absl::Status Drafter::ConvertRecord(const v1::RecordInput& input, const std::string& path,
                                    index::Operation* operation) {
  const std::optional<CollectionShape>& shape = Find(operation->collection);
  absl::StatusOr<std::vector<int32_t>> vector =
      ConvertVector(input.vector(), shape->dimension, shape->metric, absl::StrCat(path, ".vector"));
  if (!vector.ok()) {
    doubt_ = WriteDraft::Doubt{shape->born};
    return vector.status();
  }
  operation->vector = *std::move(vector);
  absl::StatusOr<std::string> attributes =
      EncodeAttributes(input.attributes(), absl::StrCat(path, ".attributes"));
  if (!attributes.ok()) return attributes.status();
  operation->attributes = *std::move(attributes);
  if (input.document().size() > index::kDocumentBytesMax) {
    return BadField("DOCUMENT_TOO_LARGE", absl::StrCat(path, ".document"),
                    absl::StrCat("it has ", input.document().size(), " bytes, at most ",
                                 index::kDocumentBytesMax, " are allowed"),
                    {{"limit", absl::StrCat(index::kDocumentBytesMax)}});
  }
  operation->document = input.document();
  return absl::OkStatus();
}

absl::Status Drafter::ConvertUpdate(const v1::UpdateAttributes& update, const std::string& path,
                                    index::Operation* operation) {
  absl::StatusOr<std::string> attributes =
      EncodeAttributes(update.set(), absl::StrCat(path, ".set"));
  if (!attributes.ok()) return attributes.status();
  operation->attributes = *std::move(attributes);
  std::vector<std::string>& removed = operation->removed;
  for (const std::string& name : update.remove()) {
    const std::string field = absl::StrCat(path, ".remove[", removed.size(), "]");
    if (absl::Status status = CheckAttributeName(name, field); !status.ok()) return status;
    if (update.set().contains(name)) {
      return BadField("ATTRIBUTE_SET_AND_REMOVED", field,
                      absl::StrCat(Quote(name), " is in set as well; it can be in one of them"));
    }
    removed.push_back(name);
  }
  std::sort(removed.begin(), removed.end());
  removed.erase(std::unique(removed.begin(), removed.end()), removed.end());
  if (removed.size() <= index::kAttributesMax) return absl::OkStatus();
  return BadField(
      "ATTRIBUTES_TOO_LARGE", absl::StrCat(path, ".remove"),
      absl::StrCat(removed.size(), " names, at most ", index::kAttributesMax, " are allowed"),
      {{"limit", absl::StrCat(index::kAttributesMax)}});
}

template <typename ByFilter>
absl::Status Drafter::ConvertByFilter(const ByFilter& deletion, const std::string& path,
                                      index::Operation* operation) {
  absl::StatusOr<index::Filter> filter =
      ConvertFilter(deletion.filter(), absl::StrCat(path, ".filter"));
  if (!filter.ok()) return filter.status();
  operation->filter = *std::move(filter);
  if (deletion.limit() > index::kDeleteByFilterMax) {
    return BadField(
        "DELETE_LIMIT_OUT_OF_RANGE", absl::StrCat(path, ".limit"),
        absl::StrCat("it is ", deletion.limit(), ", at most ", index::kDeleteByFilterMax,
                     " are deleted by one entry; repeat it while `more` is set"),
        {{"limit", absl::StrCat(index::kDeleteByFilterMax)}});
  }
  operation->limit = deletion.limit() == 0 ? index::kDeleteByFilterMax : deletion.limit();
  return absl::OkStatus();
}

absl::Status Drafter::Convert(const v1::Operation& wire, const std::string& path,
                              index::Operation* operation) {
  const Target target = TargetOf(wire);
  operation->kind = target.kind;
  operation->collection = wire.collection();
  if (target.id != nullptr) operation->id = *target.id;
  if (!Find(wire.collection()).has_value()) {
    doubt_.emplace();
    return CollectionNotFound(wire.collection());
  }
  if (wire.precondition().has_must_not_exist()) {
    operation->precondition.kind = index::Precondition::Kind::kMustNotExist;
  } else if (wire.precondition().has_expected_version()) {
    operation->precondition.kind = index::Precondition::Kind::kExpectedVersion;
    operation->precondition.version = wire.precondition().expected_version();
  }
  const CollectionShape& shape = *Find(wire.collection());
  if (index::Erases(target.kind) && !shape.erasable) {
    doubt_ = WriteDraft::Doubt{shape.born};
    return MakeError(absl::StatusCode::kFailedPrecondition, "COLLECTION_NOT_ERASABLE",
                     absl::StrCat(path, ": collection ", Quote(wire.collection()),
                                  " was not created as erasable"));
  }
  operation->salted = target.kind == OperationKind::kEraseByFilter ||
                      (shape.erasable && index::TakesSalt(target.kind));
  if (operation->salted) operation->salt = RandomSalt();
  return ConvertContent(wire, absl::StrCat(path, ".", target.name), operation);
}

absl::Status Drafter::ConvertContent(const v1::Operation& wire, const std::string& inner,
                                     index::Operation* operation) {
  switch (operation->kind) {
    case OperationKind::kUpsert:
      return ConvertRecord(wire.upsert(), inner, operation);
    case OperationKind::kInsert:
      return ConvertRecord(wire.insert(), inner, operation);
    case OperationKind::kUpdateAttributes:
      return ConvertUpdate(wire.update_attributes(), inner, operation);
    case OperationKind::kDeleteByFilter:
      return ConvertByFilter(wire.delete_by_filter(), inner, operation);
    case OperationKind::kEraseByFilter:
      return ConvertByFilter(wire.erase_by_filter(), inner, operation);
    default:
      return absl::OkStatus();
  }
}

absl::Status Drafter::Draft(const std::string& actor, WriteTask* task) {
  if (absl::Status status = CheckShape(); !status.ok()) return status;
  task->request_id = request_.request_id();
  task->actor = actor;
  task->known_index = request_.known_index();
  if (request_.has_expected_state_index()) {
    task->expected_state_index = request_.expected_state_index();
  }
  task->operations.reserve(static_cast<size_t>(request_.operations_size()));
  uint64_t bytes = 0;
  for (const v1::Operation& wire : request_.operations()) {
    index::Operation operation;
    const std::string path = absl::StrCat("operations[", task->operations.size(), "]");
    if (absl::Status status = Convert(wire, path, &operation); !status.ok()) return status;
    task->operations.push_back(index::Prepare(std::move(operation)));
    bytes += task->operations.back().bytes.size();
    if (bytes <= kAtomicBytesMax) continue;
    return BadField(
        "REQUEST_TOO_LARGE", "operations",
        absl::StrCat("up to ", path, " the operations take ", bytes, " bytes in the log, at most ",
                     kAtomicBytesMax, " are one entry; split the request"),
        {{"limit", absl::StrCat(kAtomicBytesMax)}});
  }
  return absl::OkStatus();
}

}  // namespace

WriteDraft DraftWrite(const v1::WriteRequest& request, const std::string& actor,
                      const CollectionLookup& lookup) {
  WriteDraft draft;
  Drafter drafter(request, lookup);
  draft.status = drafter.Draft(actor, &draft.task);
  draft.doubt = drafter.doubt();
  return draft;
}

}  // namespace stele::server
