// If this failed: a request could get into the log that the state machine must refuse or, worse,
// that another server would read differently; or one that is fine could be turned away.
#include "server/requests.h"

#include <gtest/gtest.h>

#include <functional>

#include "index/arithmetic.h"
#include "index/command.h"
#include "index/quantize.h"
#include "tests/server/error_details.h"

namespace stele::server {
namespace {

using index::Metric;
using index::OperationKind;

std::optional<CollectionShape> Lookup(std::string_view name) {
  if (name == "l2") return CollectionShape{2, Metric::kL2, 3};
  if (name == "cosine") return CollectionShape{2, Metric::kCosine, 4};
  if (name == "wide") return CollectionShape{32768, Metric::kL2, 5};
  return std::nullopt;
}

void SetVector(v1::Vector* vector, const std::vector<float>& values) {
  for (const float value : values) vector->mutable_floats()->add_values(value);
}

v1::Operation Upsert(const std::string& collection, const std::string& id,
                     const std::vector<float>& values = {1, 2}) {
  v1::Operation operation;
  operation.set_collection(collection);
  operation.mutable_upsert()->set_id(id);
  SetVector(operation.mutable_upsert()->mutable_vector(), values);
  return operation;
}

v1::WriteRequest Good() {
  v1::WriteRequest request;
  request.set_request_id("r");
  *request.add_operations() = Upsert("l2", "a");
  return request;
}

WriteDraft Draft(const v1::WriteRequest& request) { return DraftWrite(request, "me", Lookup); }

TEST(DraftWrite, EveryKindArrives) {
  v1::WriteRequest request = Good();
  request.set_known_index(77);
  request.set_expected_state_index(0);
  v1::Operation insert = Upsert("cosine", "a", {3, 4});
  const v1::RecordInput input = insert.upsert();
  *insert.mutable_insert() = input;
  insert.mutable_insert()->set_document("text");
  (*insert.mutable_insert()->mutable_attributes())["n"].set_int64_value(1);
  insert.mutable_precondition()->set_must_not_exist(true);
  *request.add_operations() = insert;
  v1::Operation* update = request.add_operations();
  update->set_collection("l2");
  update->mutable_update_attributes()->set_id("b");
  for (const char* name : {"z", "y", "z"}) update->mutable_update_attributes()->add_remove(name);
  (*update->mutable_update_attributes()->mutable_set())["x"].set_bool_value(true);
  update->mutable_precondition()->set_expected_version(9);
  v1::Operation* deletion = request.add_operations();
  deletion->set_collection("l2");
  deletion->mutable_delete_record()->set_id("c");

  const WriteDraft draft = Draft(request);
  ASSERT_TRUE(draft.status.ok()) << draft.status;
  const WriteTask& task = draft.task;
  EXPECT_EQ(task.request_id, "r");
  EXPECT_EQ(task.actor, "me");
  EXPECT_EQ(task.known_index, 77u);
  EXPECT_EQ(task.expected_state_index, 0u);
  ASSERT_EQ(task.operations.size(), 4u);
  EXPECT_EQ(task.operations[0].operation.kind, OperationKind::kUpsert);
  EXPECT_EQ(task.operations[0].operation.vector, (std::vector<int32_t>{65536, 131072}));
  const index::Operation& inserted = task.operations[1].operation;
  EXPECT_EQ(inserted.kind, OperationKind::kInsert);
  EXPECT_EQ(inserted.vector, (std::vector<int32_t>{39322, 52429}));
  EXPECT_EQ(inserted.document, "text");
  EXPECT_EQ(inserted.precondition.kind, index::Precondition::Kind::kMustNotExist);
  const index::Operation& updated = task.operations[2].operation;
  EXPECT_EQ(updated.kind, OperationKind::kUpdateAttributes);
  EXPECT_EQ(updated.removed, (std::vector<std::string>{"y", "z"}));
  EXPECT_EQ(updated.precondition.kind, index::Precondition::Kind::kExpectedVersion);
  EXPECT_EQ(updated.precondition.version, 9u);
  EXPECT_EQ(task.operations[3].operation.kind, OperationKind::kDelete);
  // The log reads back what was prepared.
  index::Command command;
  command.operations = task.operations;
  EXPECT_TRUE(index::IsWellFormed(command));
  for (const index::PreparedOperation& operation : task.operations) {
    const auto decoded = index::DecodeOperation(operation.bytes);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(index::EncodeOperation(*decoded), operation.bytes);
  }
}

TEST(DraftWrite, DeleteByFilterTakesTheLargestLimitByDefault) {
  v1::WriteRequest request;
  request.set_request_id("r");
  v1::Operation* operation = request.add_operations();
  operation->set_collection("l2");
  operation->mutable_delete_by_filter()->mutable_filter()->mutable_all_of();
  WriteDraft draft = Draft(request);
  ASSERT_TRUE(draft.status.ok()) << draft.status;
  EXPECT_EQ(draft.task.operations[0].operation.limit, 10'000u);
  EXPECT_TRUE(index::DecodeOperation(draft.task.operations[0].bytes).has_value());
  operation->mutable_delete_by_filter()->set_limit(10'000);
  EXPECT_TRUE(Draft(request).status.ok());
  operation->mutable_delete_by_filter()->set_limit(7);
  EXPECT_EQ(Draft(request).task.operations[0].operation.limit, 7u);
}

struct Case {
  const char* name;
  std::function<void(v1::WriteRequest*)> spoil;  // of Good()
  const char* reason;
  const char* field;
};

v1::RecordInput* Input(v1::WriteRequest* request) {
  return request->mutable_operations(0)->mutable_upsert();
}

TEST(DraftWrite, Faults) {
  const Case cases[] = {
      {"id missing", [](auto* r) { r->clear_request_id(); }, "REQUEST_ID_MISSING", "request_id"},
      {"id long", [](auto* r) { r->set_request_id(std::string(65, 'r')); }, "REQUEST_ID_TOO_LONG",
       "request_id"},
      {"nothing", [](auto* r) { r->clear_operations(); }, "OPERATIONS_EMPTY", "operations"},
      {"too many",
       [](auto* r) {
         for (int i = 0; i < 4096; ++i) *r->add_operations() = Upsert("l2", std::to_string(i));
       },
       "TOO_MANY_OPERATIONS", "operations"},
      {"no kind", [](auto* r) { r->add_operations()->set_collection("l2"); }, "OPERATION_EMPTY",
       "operations[1]"},
      {"no collection", [](auto* r) { r->mutable_operations(0)->clear_collection(); },
       "COLLECTION_NAME", "operations[0].collection"},
      {"long collection",
       [](auto* r) { r->mutable_operations(0)->set_collection(std::string(129, 'c')); },
       "COLLECTION_NAME", "operations[0].collection"},
      {"record id empty", [](auto* r) { Input(r)->clear_id(); }, "ID_EMPTY",
       "operations[0].upsert.id"},
      {"record id long", [](auto* r) { Input(r)->set_id(std::string(257, 'i')); }, "ID_TOO_LONG",
       "operations[0].upsert.id"},
      {"record id not UTF-8", [](auto* r) { Input(r)->set_id("\xc0\x80"); }, "ID_NOT_UTF8",
       "operations[0].upsert.id"},
      {"delete id empty", [](auto* r) { r->mutable_operations(0)->mutable_delete_record(); },
       "ID_EMPTY", "operations[0].delete_record.id"},
      {"twice", [](auto* r) { *r->add_operations() = r->operations(0); }, "DUPLICATE_ID",
       "operations[1].upsert.id"},
      {"twice, other kind",
       [](auto* r) {
         v1::Operation* operation = r->add_operations();
         operation->set_collection("l2");
         operation->mutable_delete_record()->set_id("a");
       },
       "DUPLICATE_ID", "operations[1].delete_record.id"},
      {"not alone",
       [](auto* r) {
         v1::Operation* operation = r->add_operations();
         operation->set_collection("l2");
         operation->mutable_delete_by_filter()->mutable_filter()->mutable_all_of();
       },
       "MUST_STAND_ALONE", "operations[1].delete_by_filter"},
      {"filter missing", [](auto* r) { r->mutable_operations(0)->mutable_delete_by_filter(); },
       "FILTER_EMPTY", "operations[0].delete_by_filter.filter"},
      {"delete limit",
       [](auto* r) {
         auto* deletion = r->mutable_operations(0)->mutable_delete_by_filter();
         deletion->mutable_filter()->mutable_all_of();
         deletion->set_limit(10'001);
       },
       "DELETE_LIMIT_OUT_OF_RANGE", "operations[0].delete_by_filter.limit"},
      {"precondition empty", [](auto* r) { r->mutable_operations(0)->mutable_precondition(); },
       "PRECONDITION_INVALID", "operations[0].precondition"},
      {"must_not_exist false",
       [](auto* r) { r->mutable_operations(0)->mutable_precondition()->set_must_not_exist(false); },
       "PRECONDITION_INVALID", "operations[0].precondition.must_not_exist"},
      {"precondition of a filter",
       [](auto* r) {
         auto* operation = r->mutable_operations(0);
         operation->mutable_delete_by_filter()->mutable_filter()->mutable_all_of();
         operation->mutable_precondition()->set_must_not_exist(true);
       },
       "PRECONDITION_INVALID", "operations[0].precondition"},
      {"vector missing", [](auto* r) { Input(r)->clear_vector(); }, "VECTOR_MISSING",
       "operations[0].upsert.vector"},
      {"vector of the second",
       [](auto* r) {
         *r->add_operations() = Upsert("cosine", "b", {0, 0});
       },
       "ZERO_VECTOR", "operations[1].upsert.vector"},
      {"attribute", [](auto* r) { (*Input(r)->mutable_attributes())["x"]; }, "ATTRIBUTE_TYPE",
       "operations[0].upsert.attributes[\"x\"]"},
      {"document", [](auto* r) { Input(r)->set_document(std::string((1 << 20) + 1, 'd')); },
       "DOCUMENT_TOO_LARGE", "operations[0].upsert.document"},
      {"set and removed",
       [](auto* r) {
         auto* update = r->mutable_operations(0)->mutable_update_attributes();
         update->set_id("a");
         (*update->mutable_set())["x"].set_int64_value(1);
         update->add_remove("w");
         update->add_remove("x");
       },
       "ATTRIBUTE_SET_AND_REMOVED", "operations[0].update_attributes.remove[1]"},
      {"removed name",
       [](auto* r) {
         auto* update = r->mutable_operations(0)->mutable_update_attributes();
         update->set_id("a");
         update->add_remove("");
       },
       "ATTRIBUTE_NAME", "operations[0].update_attributes.remove[0]"},
      {"removes too many",
       [](auto* r) {
         auto* update = r->mutable_operations(0)->mutable_update_attributes();
         update->set_id("a");
         for (int i = 0; i < 257; ++i) update->add_remove(std::to_string(i));
       },
       "ATTRIBUTES_TOO_LARGE", "operations[0].update_attributes.remove"},
      {"too large",
       [](auto* r) {
         for (int i = 0; i < 32; ++i) {
           *r->add_operations() = Upsert("l2", std::to_string(i));
           r->mutable_operations(i + 1)->mutable_upsert()->set_document(std::string(1 << 20, 'd'));
         }
       },
       "REQUEST_TOO_LARGE", "operations"},
  };
  ASSERT_TRUE(Draft(Good()).status.ok());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    v1::WriteRequest request = Good();
    c.spoil(&request);
    const WriteDraft draft = Draft(request);
    const Details details = DetailsOf(draft.status);
    EXPECT_EQ(draft.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(details.reason, c.reason) << draft.status;
    EXPECT_EQ(details.field, c.field);
    EXPECT_LT(draft.status.message().size(), 600u);
  }
}

TEST(DraftWrite, LimitsAreInclusive) {
  v1::WriteRequest request;
  request.set_request_id(std::string(64, 'r'));
  for (int i = 0; i < 4096; ++i) {
    std::string id = std::to_string(i);
    id.resize(256, '.');
    *request.add_operations() = Upsert("l2", id);
  }
  request.mutable_operations(0)->mutable_upsert()->set_document(std::string(1 << 20, 'd'));
  const WriteDraft draft = Draft(request);
  ASSERT_TRUE(draft.status.ok()) << draft.status;
  index::Command command;
  command.operations = draft.task.operations;
  EXPECT_TRUE(index::IsWellFormed(command));
}

TEST(DraftWrite, EqualIdsOfTwoCollectionsAreTwoRecords) {
  v1::WriteRequest request = Good();
  *request.add_operations() = Upsert("cosine", "a");
  EXPECT_TRUE(Draft(request).status.ok());
}

TEST(DraftWrite, TheLargestEntryIsMeasuredInTheLogAndNotOnTheWire) {
  v1::WriteRequest request;
  request.set_request_id("r");
  // 255 x 128 KiB raw fits into 32 MiB; as float64 it came with twice the bytes.
  for (int i = 0; i < 255; ++i) {
    v1::Operation* operation = request.add_operations();
    operation->set_collection("wide");
    operation->mutable_upsert()->set_id(std::to_string(i));
    operation->mutable_upsert()->mutable_vector()->set_float64(std::string(32768 * 8, '\0'));
  }
  EXPECT_TRUE(Draft(request).status.ok());
  *request.add_operations() = request.operations(0);
  request.mutable_operations(255)->mutable_upsert()->set_id("255");
  EXPECT_EQ(DetailsOf(Draft(request).status).reason, "REQUEST_TOO_LARGE");
}

TEST(DraftWrite, DoubtIsWhatACollectionDecided) {
  v1::WriteRequest request = Good();
  request.mutable_operations(0)->set_collection("gone");
  WriteDraft draft = Draft(request);
  EXPECT_EQ(draft.status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DetailsOf(draft.status).reason, "COLLECTION_NOT_FOUND");
  ASSERT_TRUE(draft.doubt.has_value());
  EXPECT_FALSE(draft.doubt->collection_born.has_value());
  EXPECT_EQ(draft.task.request_id, "r");
  EXPECT_EQ(draft.task.actor, "me");

  request = Good();
  Input(&request)->mutable_vector()->mutable_floats()->add_values(1);
  draft = Draft(request);
  EXPECT_EQ(DetailsOf(draft.status).reason, "DIMENSION_MISMATCH");
  ASSERT_TRUE(draft.doubt.has_value());
  EXPECT_EQ(draft.doubt->collection_born, 3u);

  request = Good();
  Input(&request)->clear_id();
  EXPECT_FALSE(Draft(request).doubt.has_value());
}

v1::CreateCollectionRequest GoodCreate() {
  v1::CreateCollectionRequest request;
  request.set_request_id("r");
  request.mutable_config()->set_name("c");
  request.mutable_config()->set_dimension(32768);
  request.mutable_config()->set_metric(v1::METRIC_DOT);
  request.mutable_config()->mutable_options()->set_description(std::string(1024, 'd'));
  return request;
}

TEST(DraftCreate, Arrives) {
  v1::CreateCollectionRequest request = GoodCreate();
  request.mutable_config()->set_name(std::string(128, 'c'));
  request.set_known_index(5);
  const WriteDraft draft = DraftCreate(request, "me");
  ASSERT_TRUE(draft.status.ok()) << draft.status;
  EXPECT_EQ(draft.task.known_index, 5u);
  const index::Operation& operation = draft.task.operations.at(0).operation;
  EXPECT_EQ(operation.kind, OperationKind::kCreateCollection);
  EXPECT_EQ(operation.config.dimension, 32768u);
  EXPECT_EQ(operation.config.metric, Metric::kDot);
  EXPECT_EQ(operation.config.description.size(), 1024u);
  EXPECT_TRUE(index::DecodeOperation(draft.task.operations[0].bytes).has_value());
}

TEST(DraftCreate, Faults) {
  struct CreateCase {
    std::function<void(v1::CreateCollectionRequest*)> spoil;
    const char* reason;
    const char* field;
  };
  const CreateCase cases[] = {
      {[](auto* r) { r->clear_request_id(); }, "REQUEST_ID_MISSING", "request_id"},
      {[](auto* r) { r->mutable_config()->clear_name(); }, "COLLECTION_NAME", "config.name"},
      {[](auto* r) { r->mutable_config()->set_name(std::string(129, 'n')); }, "COLLECTION_NAME",
       "config.name"},
      {[](auto* r) { r->mutable_config()->set_name("\xed\xa0\x80"); }, "COLLECTION_NAME",
       "config.name"},
      {[](auto* r) { r->mutable_config()->set_dimension(0); }, "DIMENSION_OUT_OF_RANGE",
       "config.dimension"},
      {[](auto* r) { r->mutable_config()->set_dimension(32769); }, "DIMENSION_OUT_OF_RANGE",
       "config.dimension"},
      {[](auto* r) { r->mutable_config()->clear_metric(); }, "METRIC_UNSPECIFIED", "config.metric"},
      {[](auto* r) { r->mutable_config()->set_metric(static_cast<v1::Metric>(9)); },
       "METRIC_UNSPECIFIED", "config.metric"},
      {[](auto* r) {
         r->mutable_config()->mutable_options()->set_description(std::string(1025, 'd'));
       },
       "DESCRIPTION_TOO_LONG", "config.options.description"},
  };
  for (const CreateCase& c : cases) {
    v1::CreateCollectionRequest request = GoodCreate();
    c.spoil(&request);
    const Details details = DetailsOf(DraftCreate(request, "me").status);
    EXPECT_EQ(details.reason, c.reason);
    EXPECT_EQ(details.field, c.field);
  }
}

TEST(PageSizeOf, NegativeIsRefusedAndLargeIsClamped) {
  EXPECT_EQ(DetailsOf(PageSizeOf(-1).status()).reason, "PAGE_SIZE_NEGATIVE");
  EXPECT_EQ(PageSizeOf(0).value(), 1000);
  EXPECT_EQ(PageSizeOf(1).value(), 1);
  EXPECT_EQ(PageSizeOf(10'000).value(), 10'000);
  EXPECT_EQ(PageSizeOf(10'001).value(), 10'000);
  EXPECT_EQ(PageSizeOf(std::numeric_limits<int32_t>::max()).value(), 10'000);
}

}  // namespace
}  // namespace stele::server
