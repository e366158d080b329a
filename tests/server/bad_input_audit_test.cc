// If this failed: bad input to what auditors and witnesses call would get a wrong or wordless
// error, or leave something behind.
#include <gmock/gmock.h>

#include "tests/server/bad_input_calls.h"

namespace stele::server {
namespace {

using Audit = v1::AuditService::StubInterface;

template <typename Response, typename Request>
grpc::Status CallAudit(WireServer* server,
                       grpc::Status (Audit::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                       const Request& request) {
  Response response;
  return WireServer::Call<Audit>(server->audit.get(), method, request, &response);
}

std::function<grpc::Status(WireServer*)> Cosigned(
    const std::function<std::string(WireServer*)>& note) {
  return [note](WireServer* server) {
    v1::AddCosignaturesRequest request;
    request.set_note(note(server));
    return CallAudit(server, &Audit::AddCosignatures, request);
  };
}

std::function<grpc::Status(WireServer*)> Cosigned(const std::string& note) {
  return Cosigned([note](WireServer*) { return note; });
}

std::string Checkpoint(WireServer* server) { return server->checkpointer().Make()->note; }

std::function<grpc::Status(WireServer*)> Receipt(
    const std::function<void(v1::SearchRequest*)>& spoil) {
  return Search([spoil](v1::SearchRequest* request) {
    request->set_receipt(true);
    spoil(request);
  });
}

std::vector<Case> Cases() {
  const StatusCode kBad = StatusCode::INVALID_ARGUMENT;
  const std::string signature = "\n\xe2\x80\x94 witness AAAAAAAA\n";
  return {
      {"no note", Cosigned(""), kBad, "NOTE_MALFORMED", "note"},
      {"no signature", Cosigned("stele/x\n1\nAA==\n\n"), kBad, "NOTE_MALFORMED", "note"},
      {"no checkpoint", Cosigned("text\n" + signature), kBad, "NOTE_MALFORMED", "note"},
      {"long note", Cosigned(std::string(70'000, 'x')), kBad, "NOTE_MALFORMED", "note"},
      {"not ours",
       Cosigned("stele/x\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" + signature), kBad,
       "CHECKPOINT_UNKNOWN", "note"},
      {"no cosignature", Cosigned(Checkpoint), kBad, "COSIGNATURE_MISSING", "note"},
      {"a changed checkpoint",
       Cosigned([](WireServer* server) { return "x" + Checkpoint(server); }), kBad,
       "CHECKPOINT_UNKNOWN", "note"},
      {"receipt: no collection", Receipt([](auto* r) { r->set_collection("none"); }),
       StatusCode::NOT_FOUND, "COLLECTION_NOT_FOUND", ""},
      {"receipt: k", Receipt([](auto* r) { r->mutable_query()->set_k(0); }), kBad, "K_OUT_OF_RANGE",
       "query.k"},
      {"receipt: dimension",
       Receipt([](auto* r) { r->mutable_query()->mutable_vector()->set_q16("1234"); }), kBad,
       "DIMENSION_MISMATCH", "query.vector"},
      {"receipt: the future", Receipt([](auto* r) { r->set_at_index(1'000'000); }),
       StatusCode::OUT_OF_RANGE, "AT_INDEX_OUT_OF_RANGE", ""},
      {"receipt: the past", Receipt([](auto* r) { r->set_at_index(0); }), StatusCode::NOT_FOUND,
       "COLLECTION_NOT_FOUND", ""},
  };
}

TEST(BadAuditInput, IsRefusedAndLeavesNothingBehind) {
  WireServer server;
  server.Create("l2", 2, v1::METRIC_L2);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.name);
    const std::string before = server.Fingerprint();
    const grpc::Status status = c.call(&server);
    const Details details = DetailsOf(status);
    EXPECT_EQ(status.error_code(), c.code) << status.error_message();
    EXPECT_EQ(details.reason, c.reason) << status.error_message();
    EXPECT_EQ(details.field, c.field);
    EXPECT_FALSE(status.error_message().empty());
    EXPECT_EQ(server.Fingerprint(), before);
  }
}

}  // namespace
}  // namespace stele::server
