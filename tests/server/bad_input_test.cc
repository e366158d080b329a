// If this failed: bad input would get a wrong or wordless error, or leave something behind. Every
// case goes over a real connection to a real engine; afterwards the log and all roots must be as
// they were, except for rejections that are logged, which say so.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/server/bad_input_calls.h"
#include "tests/server/wire_server.h"

namespace stele::server {
namespace {

std::vector<Case> WriteCases() {
  const StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  return {
      {"NaN", Vector("l2", {0, kNan}), kBad, "COMPONENT_NOT_FINITE", "operations[0].upsert.vector"},
      {"infinity", Vector("cosine", {kInf, 0}), kBad, "COMPONENT_NOT_FINITE",
       "operations[0].upsert.vector"},
      {"component", Vector("l2", {0, 16384}), kBad, "COMPONENT_OUT_OF_RANGE",
       "operations[0].upsert.vector"},
      {"norm", Vector("l2", {16000, 16000}), kBad, "NORM_OUT_OF_RANGE",
       "operations[0].upsert.vector"},
      {"becomes zero", Vector("l2", {1e-20f, 0}), kBad, "VECTOR_BECOMES_ZERO",
       "operations[0].upsert.vector"},
      {"zero under cosine", Vector("cosine", {0, 0}), kBad, "ZERO_VECTOR",
       "operations[0].upsert.vector"},
      {"dimension", Vector("l2", {1, 2, 3}), kBad, "DIMENSION_MISMATCH",
       "operations[0].upsert.vector"},
      {"bytes", Write([](auto* r) { Input(r)->mutable_vector()->set_float32("1234567"); }), kBad,
       "VECTOR_BYTES", "operations[0].upsert.vector"},
      {"no vector", Write([](auto* r) { Input(r)->clear_vector(); }), kBad, "VECTOR_MISSING",
       "operations[0].upsert.vector"},
      {"empty id", Write([](auto* r) { Input(r)->clear_id(); }), kBad, "ID_EMPTY",
       "operations[0].upsert.id"},
      {"long id", Write([](auto* r) { Input(r)->set_id(std::string(257, 'x')); }), kBad,
       "ID_TOO_LONG", "operations[0].upsert.id"},
      {"duplicate id", Write([](auto* r) { *r->add_operations() = r->operations(0); }), kBad,
       "DUPLICATE_ID", "operations[1].upsert.id"},
      {"unknown collection", Vector("nowhere", {1, 2}), StatusCode::NOT_FOUND,
       "COLLECTION_NOT_FOUND", ""},
      {"no request id", Write([](auto* r) { r->clear_request_id(); }), kBad, "REQUEST_ID_MISSING",
       "request_id"},
      {"long request id", Write([](auto* r) { r->set_request_id(std::string(65, 'x')); }), kBad,
       "REQUEST_ID_TOO_LONG", "request_id"},
      {"no operations", Write([](auto* r) { r->clear_operations(); }), kBad, "OPERATIONS_EMPTY",
       "operations"},
      {"4097 operations", Write([](auto* r) {
         for (int i = 0; i < 4096; ++i) {
           *r->add_operations() = Upsert("l2", std::to_string(i), {1, 2});
         }
       }),
       kBad, "TOO_MANY_OPERATIONS", "operations"},
      {"delete by filter beside others", Write([](auto* r) {
         r->add_operations()->set_collection("l2");
         r->mutable_operations(1)->mutable_delete_by_filter()->mutable_filter()->mutable_all_of();
       }),
       kBad, "MUST_STAND_ALONE", "operations[1].delete_by_filter"},
      {"more than one entry can hold", Write([](auto* r) {
         for (int i = 0; i < 33; ++i) {
           *r->add_operations() = Upsert("l2", std::to_string(i), {1, 2});
           r->mutable_operations(i + 1)->mutable_upsert()->set_document(std::string(1 << 20, 'd'));
         }
       }),
       kBad, "REQUEST_TOO_LARGE", "operations"},
      {"document", Write([](auto* r) { Input(r)->set_document(std::string((1 << 20) + 1, 'd')); }),
       kBad, "DOCUMENT_TOO_LARGE", "operations[0].upsert.document"},
      {"reused request id", Write([](auto* r) { r->set_request_id("first"); }), kBad,
       "REQUEST_ID_REUSED", ""},
      {"insert of what is there", Write([](auto* r) {
         const v1::RecordInput input = Upsert("l2", "a", {1, 2}).upsert();
         *r->mutable_operations(0)->mutable_insert() = input;
       }),
       StatusCode::ALREADY_EXISTS, "RECORD_EXISTS", ""},
      {"update of what is not there", Write([](auto* r) {
         r->mutable_operations(0)->mutable_update_attributes()->set_id("nobody");
       }),
       StatusCode::NOT_FOUND, "RECORD_NOT_FOUND", ""},
      {"expected version", Write([](auto* r) {
         Input(r)->set_id("a");
         r->mutable_operations(0)->mutable_precondition()->set_expected_version(999);
       }),
       StatusCode::ABORTED, "PRECONDITION_FAILED", ""},
      {"erasure where nothing can be erased",
       Write([](auto* r) { r->mutable_operations(0)->mutable_erase()->set_id("a"); }),
       StatusCode::FAILED_PRECONDITION, "COLLECTION_NOT_ERASABLE", ""},
      {"erasure of nobody",
       Write([](auto* r) { r->mutable_operations(0)->mutable_erase()->clear_id(); }), kBad,
       "ID_EMPTY", "operations[0].erase.id"},
      {"erasure by filter beside others", Write([](auto* r) {
         auto* operation = r->add_operations();
         operation->set_collection("l2");
         operation->mutable_erase_by_filter();
       }),
       kBad, "MUST_STAND_ALONE", "operations[1].erase_by_filter"},
      {"erasure by filter with a precondition", Write([](auto* r) {
         r->mutable_operations(0)->mutable_erase_by_filter();
         r->mutable_operations(0)->mutable_precondition()->set_must_not_exist(true);
       }),
       kBad, "PRECONDITION_INVALID", "operations[0].precondition"},
      {"expected state index", Write([](auto* r) { r->set_expected_state_index(999); }),
       StatusCode::ABORTED, "STATE_INDEX_MISMATCH", ""},
  };
}

std::vector<Case> AttributeCases() {
  const StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  return {
      {"unset attribute", Attribute([](auto* input) { (*input->mutable_attributes())["x"]; }), kBad,
       "ATTRIBUTE_TYPE", "operations[0].upsert.attributes[\"x\"]"},
      {"mixed list", Attribute([](auto* input) {
         auto* list = (*input->mutable_attributes())["x"].mutable_list_value();
         list->add_values()->set_bool_value(true);
         list->add_values()->set_string_value("true");
       }),
       kBad, "ATTRIBUTE_TYPE", "operations[0].upsert.attributes[\"x\"]"},
      {"NaN attribute", Attribute([](auto* input) {
         (*input->mutable_attributes())["x"].set_double_value(std::nan(""));
       }),
       kBad, "ATTRIBUTE_NAN", "operations[0].upsert.attributes[\"x\"]"},
      {"attribute without a name",
       Attribute([](auto* input) { (*input->mutable_attributes())[""].set_bool_value(true); }),
       kBad, "ATTRIBUTE_NAME", "operations[0].upsert.attributes[\"\"]"},
      {"too many attributes", Attribute([](auto* input) {
         for (int i = 0; i < 257; ++i) {
           (*input->mutable_attributes())[std::to_string(i)].set_bool_value(true);
         }
       }),
       kBad, "ATTRIBUTES_TOO_LARGE", "operations[0].upsert.attributes"},
      {"too large attributes", Attribute([](auto* input) {
         (*input->mutable_attributes())["x"].set_string_value(std::string(70'000, 'x'));
       }),
       kBad, "ATTRIBUTES_TOO_LARGE", "operations[0].upsert.attributes"},
      {"an update beyond the limit", Write([](auto* r) {
         auto* update = r->mutable_operations(0)->mutable_update_attributes();
         update->set_id("a");
         for (int i = 0; i < 256; ++i) {
           (*update->mutable_set())[std::to_string(i)].set_bool_value(true);
         }
       }),
       kBad, "ATTRIBUTES_TOO_LARGE", ""},
  };
}

std::vector<Case> CollectionCases() {
  const StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  return {
      {"dimension 0", Create([](auto* r) { r->mutable_config()->set_dimension(0); }), kBad,
       "DIMENSION_OUT_OF_RANGE", "config.dimension"},
      {"dimension 32769", Create([](auto* r) { r->mutable_config()->set_dimension(32769); }), kBad,
       "DIMENSION_OUT_OF_RANGE", "config.dimension"},
      {"no metric", Create([](auto* r) { r->mutable_config()->clear_metric(); }), kBad,
       "METRIC_UNSPECIFIED", "config.metric"},
      {"no name", Create([](auto* r) { r->mutable_config()->clear_name(); }), kBad,
       "COLLECTION_NAME", "config.name"},
      {"long name", Create([](auto* r) { r->mutable_config()->set_name(std::string(129, 'n')); }),
       kBad, "COLLECTION_NAME", "config.name"},
      {"description", Create([](auto* r) {
         r->mutable_config()->mutable_options()->set_description(std::string(1025, 'n'));
       }),
       kBad, "DESCRIPTION_TOO_LONG", "config.options.description"},
      {"receipt policy", Create([](auto* r) {
         r->mutable_config()->mutable_options()->set_receipts(static_cast<v1::ReceiptPolicy>(3));
       }),
       kBad, "RECEIPT_POLICY_UNKNOWN", "config.options.receipts"},
      {"no request id", Create([](auto* r) { r->clear_request_id(); }), kBad, "REQUEST_ID_MISSING",
       "request_id"},
      {"existing", Create([](auto* r) { r->mutable_config()->set_name("l2"); }),
       StatusCode::ALREADY_EXISTS, "COLLECTION_EXISTS", ""},
      {"drop unknown",
       [](WireServer* server) {
         v1::DropCollectionRequest request;
         request.set_request_id("bad drop");
         request.set_name("nowhere");
         return CallCollections(server, &Collections::DropCollection, request);
       },
       StatusCode::NOT_FOUND, "COLLECTION_NOT_FOUND", ""},
      {"get unknown",
       [](WireServer* server) {
         v1::GetCollectionRequest request;
         request.set_name("nowhere");
         return CallCollections(server, &Collections::GetCollection, request);
       },
       StatusCode::NOT_FOUND, "COLLECTION_NOT_FOUND", ""},
      {"list, negative page",
       [](WireServer* server) {
         v1::ListCollectionsRequest request;
         request.set_page_size(-1);
         return CallCollections(server, &Collections::ListCollections, request);
       },
       kBad, "PAGE_SIZE_NEGATIVE", "page_size"},
      {"list, token",
       [](WireServer* server) {
         v1::ListCollectionsRequest request;
         request.set_page_token("AAAA");
         return CallCollections(server, &Collections::ListCollections, request);
       },
       kBad, "PAGE_TOKEN_INVALID", "page_token"},
  };
}

std::vector<Case> ReadCases() {
  const StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  const StatusCode kRange = StatusCode::OUT_OF_RANGE;
  return {
      {"k 0", Search([](auto* r) { r->mutable_query()->set_k(0); }), kBad, "K_OUT_OF_RANGE",
       "query.k"},
      {"k 10001", Search([](auto* r) { r->mutable_query()->set_k(10'001); }), kBad,
       "K_OUT_OF_RANGE", "query.k"},
      {"no query", Search([](auto* r) { r->clear_query(); }), kBad, "K_OUT_OF_RANGE", "query.k"},
      {"no query vector", Search([](auto* r) { r->mutable_query()->clear_vector(); }), kBad,
       "VECTOR_MISSING", "query.vector"},
      {"query NaN", Search([](auto* r) {
         r->mutable_query()->mutable_vector()->mutable_floats()->set_values(1, kNan);
       }),
       kBad, "COMPONENT_NOT_FINITE", "query.vector"},
      {"query dimension", Search([](auto* r) {
         r->mutable_query()->mutable_vector()->mutable_floats()->add_values(1);
       }),
       kBad, "DIMENSION_MISMATCH", "query.vector"},
      {"zero query under cosine", Search([](auto* r) {
         r->set_collection("cosine");
         r->mutable_query()->mutable_vector()->set_q16(std::string(8, '\0'));
       }),
       kBad, "ZERO_VECTOR", "query.vector"},
      {"threshold NaN",
       Search([](auto* r) { r->mutable_query()->mutable_threshold()->set_score(std::nan("")); }),
       kBad, "THRESHOLD_NAN", "query.threshold.score"},
      {"threshold empty", Search([](auto* r) { r->mutable_query()->mutable_threshold(); }), kBad,
       "THRESHOLD_EMPTY", "query.threshold"},
      {"search nowhere", Search([](auto* r) { r->set_collection("nowhere"); }),
       StatusCode::NOT_FOUND, "COLLECTION_NOT_FOUND", ""},
      {"search without a collection", Search([](auto* r) { r->clear_collection(); }), kBad,
       "COLLECTION_NAME", "collection"},
      {"search in the future", Search([](auto* r) { r->set_at_index(999'999); }), kRange,
       "AT_INDEX_OUT_OF_RANGE", ""},
      {"search in the past", Search([](auto* r) { r->set_at_index(0); }), kRange,
       "AT_INDEX_OUT_OF_RANGE", ""},
      {"batch of none", Batch([](auto*) {}), kBad, "QUERIES_EMPTY", "queries"},
      {"batch of 1025", Batch([](auto* r) {
         for (int i = 0; i < 1025; ++i) *r->add_queries() = Query(1);
       }),
       kBad, "BATCH_TOO_LARGE", "queries"},
      {"batch of too many hits", Batch([](auto* r) {
         for (int i = 0; i < 101; ++i) *r->add_queries() = Query(10'000);
       }),
       kBad, "BATCH_TOO_LARGE", "queries"},
      {"batch, one bad", Batch([](auto* r) {
         *r->add_queries() = Query(1);
         *r->add_queries() = Query(1);
         r->mutable_queries(1)->mutable_vector()->mutable_floats()->set_values(0, kInf);
       }),
       kBad, "COMPONENT_NOT_FINITE", "queries[1].vector"},
      {"get nothing", Get([](auto* r) { r->clear_ids(); }), kBad, "IDS_EMPTY", "ids"},
      {"get 1001", Get([](auto* r) {
         for (int i = 0; i < 1000; ++i) r->add_ids("x");
       }),
       kBad, "TOO_MANY_IDS", "ids"},
      {"get empty id", Get([](auto* r) { r->add_ids(""); }), kBad, "ID_EMPTY", "ids[1]"},
      {"get long id", Get([](auto* r) { r->add_ids(std::string(257, 'x')); }), kBad, "ID_TOO_LONG",
       "ids[1]"},
      {"get nowhere", Get([](auto* r) { r->set_collection("nowhere"); }), StatusCode::NOT_FOUND,
       "COLLECTION_NOT_FOUND", ""},
      {"get in the future", Get([](auto* r) { r->set_at_index(999'999); }), kRange,
       "AT_INDEX_OUT_OF_RANGE", ""},
      {"negative page", List([](auto* r) { r->set_page_size(-5); }), kBad, "PAGE_SIZE_NEGATIVE",
       "page_size"},
      {"token of nobody", List([](auto* r) { r->set_page_token("not a token"); }), kBad,
       "PAGE_TOKEN_INVALID", "page_token"},
      {"token, other collection", NextPage([](auto* r) { r->set_collection("cosine"); }), kBad,
       "PAGE_TOKEN_MISMATCH", "page_token"},
      {"token, other filter", NextPage([](auto* r) { r->mutable_filter()->mutable_all_of(); }),
       kBad, "PAGE_TOKEN_MISMATCH", "page_token"},
      {"token, other selector",
       NextPage([](auto* r) { r->mutable_selector()->set_document(true); }), kBad,
       "PAGE_TOKEN_MISMATCH", "page_token"},
      {"token, other index", NextPage([](auto* r) { r->set_at_index(1); }), kBad,
       "PAGE_TOKEN_MISMATCH", "page_token"},
      {"token, damaged", NextPage([](auto* r) { (*r->mutable_page_token())[5] ^= 1; }), kBad,
       "PAGE_TOKEN_INVALID", "page_token"},
      {"empty filter", Count([](auto* r) { r->mutable_filter(); }), kBad, "FILTER_EMPTY", "filter"},
      {"filter literal", Count([](auto* r) {
         r->mutable_filter()->mutable_condition()->set_attribute("x");
         r->mutable_filter()->mutable_condition()->mutable_equals();
       }),
       kBad, "FILTER_LITERAL", "filter.condition.equals"},
      {"filter too large", Count([](auto* r) {
         for (int i = 0; i < 1025; ++i) {
           auto* part = r->mutable_filter()->mutable_any_of()->add_filters()->mutable_condition();
           part->set_attribute("x");
           part->set_exists(true);
         }
       }),
       kBad, "FILTER_TOO_LARGE", "filter.any_of.filters[1024].condition"},
      {"filter too deep", Count([](auto* r) {
         v1::Filter* filter = r->mutable_filter();
         for (int i = 0; i < 16; ++i) filter = filter->mutable_all_of()->add_filters();
         filter->mutable_all_of();
       }),
       kBad, "FILTER_TOO_DEEP", nullptr},
      {"outcome of nothing",
       [](WireServer* server) {
         return CallMemory(server, &Memory::GetOutcome, v1::GetOutcomeRequest());
       },
       kBad, "REQUEST_ID_MISSING", "request_id"},
  };
}

// What gRPC and protobuf refuse before any code of ours sees it: docs/protocol.md lists these.
std::vector<Case> TransportCases() {
  return {
      {"oversized",
       Write([](auto* r) { Input(r)->set_document(std::string((65 << 20) + 1, 'd')); }),
       StatusCode::RESOURCE_EXHAUSTED, "", ""},
      {"not UTF-8",
       [](WireServer* server) { return SendRaw(server, "CountRecords", Field(1, "\xff\xfe")); },
       StatusCode::UNIMPLEMENTED, "", ""},
      {"not protobuf",
       [](WireServer* server) { return SendRaw(server, "CountRecords", "\x0a\x7f"); },
       StatusCode::UNIMPLEMENTED, "", ""},
      {"no such method", [](WireServer* server) { return SendRaw(server, "Nothing", ""); },
       StatusCode::UNIMPLEMENTED, "", ""},
  };
}

class BadInput : public ::testing::Test {
 protected:
  static WireServer::Options Short() {
    WireServer::Options options;
    options.engine.history_entries = 4;
    return options;
  }

  BadInput() : server_(Short()) {
    server_.Create("l2", 2, v1::METRIC_L2);
    server_.Create("cosine", 2, v1::METRIC_COSINE);
    v1::WriteRequest request = OneWrite("first", Upsert("l2", "a", {1, 2}));
    (*request.mutable_operations(0)->mutable_upsert()->mutable_attributes())["kept"].set_bool_value(
        true);
    *request.add_operations() = Upsert("l2", "c", {1, 2});
    v1::WriteResponse response;
    EXPECT_TRUE(server_.Write(request, &response).ok());
    for (int i = 0; i < 8; ++i) {
      request = OneWrite("more" + std::to_string(i), Upsert("cosine", "a", {1, 2}));
      EXPECT_TRUE(server_.Write(request, &response).ok());
    }
  }

  void Run(const std::vector<Case>& cases) {
    for (size_t i = 0; i < cases.size(); ++i) {
      const Case& c = cases[i];
      SCOPED_TRACE(c.name);
      const std::string before = server_.Fingerprint();
      const grpc::Status status = c.call(&server_);
      const Details details = DetailsOf(status);
      EXPECT_EQ(status.error_code(), c.code) << status.error_message();
      EXPECT_EQ(details.reason, c.reason) << status.error_message();
      if (c.field != nullptr) {
        EXPECT_EQ(details.field, c.field);
      }
      if (*c.reason != '\0') {
        EXPECT_EQ(details.domain, "stele.v1");
        EXPECT_FALSE(status.error_message().empty());
      }
      if (details.metadata.count("logged") != 0) {
        // One more entry, and the state as it was.
        EXPECT_EQ(details.metadata.at("log_index"),
                  std::to_string(server_.engine().published_index()));
        const Position now = server_.engine().Read(std::nullopt)->position();
        EXPECT_LT(now.state_index, now.log_index);
        EXPECT_NE(before.find(std::string(index::AsBytes(now.state_root))), std::string::npos);
      } else {
        EXPECT_EQ(server_.Fingerprint(), before);
      }
    }
  }

  WireServer server_;
};

TEST_F(BadInput, Writes) { Run(WriteCases()); }
TEST_F(BadInput, Attributes) { Run(AttributeCases()); }
TEST_F(BadInput, Collections) { Run(CollectionCases()); }
TEST_F(BadInput, Reads) { Run(ReadCases()); }
TEST_F(BadInput, Transport) { Run(TransportCases()); }

TEST_F(BadInput, ComponentsAndLimitsAreNamed) {
  const Details details = DetailsOf(Vector("l2", {0, kNan})(&server_));
  EXPECT_EQ(details.metadata.at("component"), "1");
  const Details mismatch = DetailsOf(Vector("l2", {1, 2, 3})(&server_));
  EXPECT_EQ(mismatch.metadata.at("dimension"), "2");
  EXPECT_EQ(mismatch.metadata.at("got"), "3");
  const Details past =
      DetailsOf(Search([](v1::SearchRequest* request) { request->set_at_index(0); })(&server_));
  EXPECT_EQ(past.metadata.at("history_index"), std::to_string(server_.engine().history_index()));
}

TEST_F(BadInput, LoggedRejectionsUseUpTheirRequestId) {
  const auto insert = Write([](v1::WriteRequest* request) {
    const v1::RecordInput input = Upsert("l2", "a", {1, 2}).upsert();
    *request->mutable_operations(0)->mutable_insert() = input;
  });
  const Details first = DetailsOf(insert(&server_));
  const std::string before = server_.Fingerprint();
  const Details again = DetailsOf(insert(&server_));
  EXPECT_EQ(again.reason, "RECORD_EXISTS");
  EXPECT_EQ(again.metadata.at("log_index"), first.metadata.at("log_index"));
  EXPECT_EQ(again.metadata.at("duplicate"), "true");
  EXPECT_EQ(server_.Fingerprint(), before);
}

TEST_F(BadInput, UnloggedRefusalsDoNotUseUpTheirRequestId) {
  EXPECT_FALSE(Vector("l2", {0, kNan})(&server_).ok());
  EXPECT_TRUE(Vector("l2", {0, 1})(&server_).ok());
}

}  // namespace
}  // namespace stele::server
