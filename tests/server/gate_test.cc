// If this failed: somebody could call what his role does not allow, or under another's name, or a
// new RPC could go live without a stated role. Everything here goes over a real connection.
#include "server/gate.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <set>

#include "server/errors.h"
#include "server/grpc_server.h"
#include "server/key_ring.h"
#include "server/metrics.h"
#include "server/roles.h"
#include "server/tls.h"
#include "stele/v1/admin_service.grpc.pb.h"
#include "stele/v1/audit_service.pb.h"
#include "stele/v1/collection_service.grpc.pb.h"
#include "stele/v1/error.pb.h"
#include "stele/v1/memory_service.grpc.pb.h"
#include "tests/server/certificates.h"

namespace stele::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::Pair;

// Lets a call in through the gate and tells in the status's message who the gate says it is.
class GateProbe final : public grpc::CallbackGenericService {
 public:
  explicit GateProbe(const Gate* gate) : gate_(gate) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      explicit Reactor(const grpc::Status& status) { Finish(status); }
      void OnDone() override { delete this; }
    };
    const auto began = std::chrono::steady_clock::now();
    const std::string method = context->method().substr(context->method().rfind('/') + 1);
    const absl::StatusOr<Caller> caller = gate_->Admit(*context, method);
    gate_->Finished(method, caller.status(), began);
    if (caller.ok()) {
      const std::string text = caller->name + " " + std::string(RoleName(caller->role));
      return new Reactor(grpc::Status(grpc::StatusCode::ABORTED, text));
    }
    return new Reactor(ToGrpc(caller.status()));
  }

 private:
  const Gate* const gate_;
};

struct Answer {
  grpc::StatusCode code;
  std::string message;
  std::string reason;
  std::map<std::string, std::string> metadata;
};

Answer Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
            const std::vector<std::string>& authorization) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  for (const std::string& value : authorization) context.AddMetadata("authorization", value);
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/stele.v1.Any/" + method, {}, &request, &response,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  const grpc::Status status = done.get_future().get();
  // The details travel as a google.rpc.Status that holds the ErrorInfo.
  stele::v1::Status details;
  stele::v1::ErrorInfo info;
  if (details.ParseFromString(status.error_details()) && details.details_size() > 0) {
    EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
    info.ParseFromString(details.details(0).value());
  }
  return {status.error_code(),
          status.error_message(),
          info.reason(),
          {info.metadata().begin(), info.metadata().end()}};
}

class GateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "gate_test_" + std::to_string(getpid());
    std::filesystem::create_directory(directory_);
    std::string text = "cn:Carol of Sales writer\n";
    for (const char* role : {"reader", "auditor", "writer", "admin"}) {
      keys_[role] = *MakeApiKey();
      text += *KeysFileLine(std::string("the-") + role, role, keys_[role]) + "\n";
    }
    ring_ = *KeyRing::Load(Write("keys", text));
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

  void Start(const KeyRing* ring, std::shared_ptr<grpc::ServerCredentials> credentials) {
    gate_ = std::make_unique<Gate>(ring, &metrics_);
    probe_ = std::make_unique<GateProbe>(gate_.get());
    GrpcServer::Options options;
    options.listen = {"127.0.0.1", 0};
    options.credentials = std::move(credentials);
    options.memory_bytes_max = 64 << 20;
    options.fallback = probe_.get();
    absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void StartPlain(const KeyRing* ring) {
    Start(ring, grpc::InsecureServerCredentials());
    channel_ =
        grpc::CreateChannel(server_->address().ToString(), grpc::InsecureChannelCredentials());
  }
  std::string Bearer(const std::string& role) const { return "Bearer " + keys_.at(role); }

  std::string directory_;
  std::map<std::string, std::string> keys_;
  std::unique_ptr<KeyRing> ring_;
  Metrics metrics_{"test", "scalar"};
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<GateProbe> probe_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(GateTest, WithoutKeysEverybodyIsAnonymousAndMayAll) {
  StartPlain(nullptr);
  for (const MethodRule& rule : MethodRules()) {
    EXPECT_EQ(Call(channel_, std::string(rule.method), {}).message, "anonymous admin");
  }
}

TEST_F(GateTest, KeysGiveNameAndRole) {
  StartPlain(ring_.get());
  for (const auto& [role, key] : keys_) {
    EXPECT_EQ(Call(channel_, "Search", {"Bearer " + key}).message, "the-" + role + " " + role);
    EXPECT_EQ(Call(channel_, "Search", {"bearer " + key}).message, "the-" + role + " " + role);
  }
}

TEST_F(GateTest, MissingKey) {
  StartPlain(ring_.get());
  const std::vector<std::vector<std::string>> without = {{},
                                                         {""},
                                                         {keys_["admin"]},
                                                         {"Bearer"},
                                                         {"Bearer "},
                                                         {"Basic " + keys_["admin"]},
                                                         {Bearer("admin"), Bearer("admin")}};
  for (const std::vector<std::string>& authorization : without) {
    const Answer answer = Call(channel_, "Search", authorization);
    EXPECT_EQ(answer.code, grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(answer.reason, "API_KEY_MISSING");
    EXPECT_THAT(answer.message, AllOf(HasSubstr("authorization"), Not(HasSubstr(keys_["admin"]))));
  }
}

TEST_F(GateTest, UnknownKey) {
  StartPlain(ring_.get());
  const std::string key = keys_["admin"];
  for (const std::string& wrong : {*MakeApiKey(), key + "0", key.substr(1), std::string("x")}) {
    const Answer answer = Call(channel_, "Search", {"Bearer " + wrong});
    EXPECT_EQ(answer.code, grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(answer.reason, "API_KEY_UNKNOWN");
    EXPECT_THAT(answer.message, Not(HasSubstr(wrong.size() > 8 ? wrong : "no key here")));
  }
}

// The policy as a table of its own, so that a slip in the code's table shows.
TEST_F(GateTest, WhoMayCallWhat) {
  StartPlain(ring_.get());
  const std::map<std::string, std::string> needed = {{"CreateCollection", "writer"},
                                                     {"GetCollection", "reader"},
                                                     {"ListCollections", "reader"},
                                                     {"DropCollection", "writer"},
                                                     {"Write", "writer"},
                                                     {"WriteStream", "writer"},
                                                     {"GetRecords", "reader"},
                                                     {"ListRecords", "reader"},
                                                     {"CountRecords", "reader"},
                                                     {"Search", "reader"},
                                                     {"BatchSearch", "reader"},
                                                     {"GetOutcome", "reader"},
                                                     {"GetHistory", "reader"},
                                                     {"RevertRecord", "writer"},
                                                     {"CreateSnapshot", "admin"},
                                                     {"ListSnapshots", "reader"},
                                                     {"GetServerInfo", "reader"},
                                                     {"GetCheckpoint", "auditor"},
                                                     {"GetLogInclusionProof", "auditor"},
                                                     {"GetLogConsistencyProof", "auditor"},
                                                     {"GetRecordProof", "auditor"},
                                                     {"ReadLog", "auditor"},
                                                     {"DiffStates", "auditor"},
                                                     {"DiffSearch", "auditor"},
                                                     {"CounterfactualSearch", "auditor"},
                                                     {"GetTreeNodes", "auditor"},
                                                     {"GetErasureCertificate", "auditor"},
                                                     {"SetHold", "admin"},
                                                     {"ReleaseHold", "admin"},
                                                     {"ListHolds", "auditor"},
                                                     {"SetRetention", "admin"},

                                                     {"AddCosignatures", "auditor"}};
  ASSERT_EQ(needed.size(), MethodRules().size());
  for (const auto& [method, role_needed] : needed) {
    for (const auto& [role, key] : keys_) {
      const Answer answer = Call(channel_, method, {"Bearer " + key});
      if (*RoleByName(role) >= *RoleByName(role_needed)) {
        EXPECT_EQ(answer.message, "the-" + role + " " + role) << method;
        continue;
      }
      EXPECT_EQ(answer.code, grpc::StatusCode::PERMISSION_DENIED) << method << " " << role;
      EXPECT_EQ(answer.reason, "ROLE_TOO_SMALL");
      EXPECT_THAT(answer.metadata,
                  IsSupersetOf({Pair("role_needed", role_needed), Pair("role_held", role)}));
    }
  }
}

TEST_F(GateTest, AMethodWithoutARuleIsForNobody) {
  StartPlain(ring_.get());
  EXPECT_EQ(Call(channel_, "EraseEverything", {Bearer("admin")}).code, grpc::StatusCode::INTERNAL);
  EXPECT_EQ(Call(channel_, "search", {Bearer("admin")}).code, grpc::StatusCode::INTERNAL);
}

TEST_F(GateTest, CallsAreCounted) {
  StartPlain(ring_.get());
  Call(channel_, "Search", {Bearer("reader")});
  Call(channel_, "Search", {});
  Call(channel_, "Write", {Bearer("reader")});
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("stele_rpc_total{code=\"OK\",method=\"Search\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("stele_rpc_total{code=\"UNAUTHENTICATED\",method=\"Search\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("stele_rpc_total{code=\"PERMISSION_DENIED\",method=\"Write\"} 1\n"));
}

TEST(MethodRules, CoverExactlyTheApi) {
  std::set<std::string> declared;
  for (const google::protobuf::FileDescriptor* file :
       {stele::v1::WriteRequest::descriptor()->file(),
        stele::v1::CreateCollectionRequest::descriptor()->file(),
        stele::v1::CreateSnapshotRequest::descriptor()->file(),
        stele::v1::GetCheckpointRequest::descriptor()->file()}) {
    for (int service = 0; service < file->service_count(); ++service) {
      for (int method = 0; method < file->service(service)->method_count(); ++method) {
        const auto* descriptor = file->service(service)->method(method);
        EXPECT_TRUE(declared.insert(descriptor->name()).second) << "two RPCs of one name";
        const MethodRule* rule = FindMethodRule(descriptor->name());
        ASSERT_NE(rule, nullptr) << descriptor->full_name() << " has no role";
      }
    }
  }
  EXPECT_EQ(declared.size(), MethodRules().size());
}

class GateTlsTest : public GateTest {
 protected:
  // Serves with TLS; `client_ca` demands client certificates.
  void StartTls(bool client_ca) {
    TlsFiles files{Write("server.crt", server_certificate_.CertificatePem()),
                   Write("server.key", server_certificate_.KeyPem()), ""};
    if (client_ca) files.client_ca = Write("ca.crt", authority_.CertificatePem());
    absl::StatusOr<Credentials> credentials = MakeCredentials(files);
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    EXPECT_TRUE(credentials->warnings.empty());
    Start(ring_.get(), credentials->credentials);
  }
  std::shared_ptr<grpc::Channel> Connect(const TestCertificate* client) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = authority_.CertificatePem();
    if (client != nullptr) {
      options.pem_private_key = client->KeyPem();
      options.pem_cert_chain = client->CertificatePem();
    }
    return grpc::CreateChannel(server_->address().ToString(), grpc::SslCredentials(options));
  }

  const TestCertificate authority_{"Test authority", nullptr};
  const TestCertificate server_certificate_{"localhost", &authority_};
};

TEST_F(GateTlsTest, KeysWorkOverTls) {
  StartTls(false);
  const auto channel = Connect(nullptr);
  EXPECT_EQ(Call(channel, "Write", {Bearer("writer")}).message, "the-writer writer");
  EXPECT_EQ(Call(channel, "Write", {}).reason, "API_KEY_MISSING");
}

TEST_F(GateTlsTest, ACertificateThatTheServerDidNotAskForSaysNothing) {
  StartTls(false);
  const TestCertificate carol("Carol of Sales", &authority_);
  EXPECT_EQ(Call(Connect(&carol), "Write", {}).reason, "API_KEY_MISSING");
}

TEST_F(GateTlsTest, CertificateNamesTheCaller) {
  StartTls(true);
  const TestCertificate carol("Carol of Sales", &authority_);
  const auto channel = Connect(&carol);
  EXPECT_EQ(Call(channel, "Write", {}).message, "Carol of Sales writer");
  const Answer denied = Call(channel, "CreateSnapshot", {});
  EXPECT_EQ(denied.reason, "ROLE_TOO_SMALL");
  // A key says more than a certificate; a wrong key does not fall back to the certificate.
  EXPECT_EQ(Call(channel, "CreateSnapshot", {Bearer("admin")}).message, "the-admin admin");
  EXPECT_EQ(Call(channel, "Write", {"Bearer " + *MakeApiKey()}).reason, "API_KEY_UNKNOWN");
}

TEST_F(GateTlsTest, CertificateOfAStranger) {
  StartTls(true);
  const TestCertificate mallory("Mallory", &authority_);
  const Answer answer = Call(Connect(&mallory), "Write", {});
  EXPECT_EQ(answer.reason, "API_KEY_MISSING");
  EXPECT_THAT(answer.message, HasSubstr("cn:Mallory"));
  EXPECT_EQ(Call(Connect(&mallory), "Write", {Bearer("writer")}).message, "the-writer writer");
}

TEST_F(GateTlsTest, NoConnectionWithoutTheRightAuthority) {
  StartTls(true);
  const TestCertificate other_authority("Test authority", nullptr);
  const TestCertificate forged("Carol of Sales", &other_authority);
  const TestCertificate expired("Carol of Sales", &authority_, -2);
  for (const TestCertificate* client :
       {static_cast<const TestCertificate*>(nullptr), &forged, &expired}) {
    EXPECT_EQ(Call(Connect(client), "Search", {Bearer("admin")}).code,
              grpc::StatusCode::UNAVAILABLE);
  }
}

// A certificate that is replaced while the server runs, by files of the same names.
TEST_F(GateTlsTest, FilesThatChangeAreReadAgain) {
  const TestCertificate next_authority("Next authority", nullptr);
  const TestCertificate next("localhost", &next_authority);
  TlsFiles files{Write("server.crt", server_certificate_.CertificatePem()),
                 Write("server.key", server_certificate_.KeyPem()), "", 1};
  absl::StatusOr<Credentials> credentials = MakeCredentials(files);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  Start(ring_.get(), credentials->credentials);
  const auto call = [&](const TestCertificate& trusted) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = trusted.CertificatePem();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a handshake of its own
    return Call(grpc::CreateCustomChannel(server_->address().ToString(),
                                          grpc::SslCredentials(options), arguments),
                "Write", {Bearer("writer")});
  };
  EXPECT_EQ(call(authority_).message, "the-writer writer");
  EXPECT_EQ(call(next_authority).code, grpc::StatusCode::UNAVAILABLE);
  Write("server.key", next.KeyPem());
  Write("server.crt", next.CertificatePem());
  Answer answer = call(next_authority);
  for (int tries = 0; tries < 200 && answer.code == grpc::StatusCode::UNAVAILABLE; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    answer = call(next_authority);
  }
  EXPECT_EQ(answer.message, "the-writer writer");
  EXPECT_EQ(call(authority_).code, grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GateTlsTest, BadFilesAreNamed) {
  const TestCertificate expired("localhost", &authority_, -2);
  const TestCertificate soon("localhost", &authority_, 3);
  const std::string good = Write("good.crt", server_certificate_.CertificatePem());
  const std::string key = Write("good.key", server_certificate_.KeyPem());
  const std::string other_key = Write("other.key", expired.KeyPem());
  const std::string text = Write("text", "nothing\n");
  const std::string old = Write("old.crt", expired.CertificatePem());
  const auto refusal = [](const TlsFiles& files) {
    const absl::StatusOr<Credentials> credentials = MakeCredentials(files);
    EXPECT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(credentials.status().message());
  };
  EXPECT_THAT(refusal({text, key, ""}), AllOf(HasSubstr(text), HasSubstr("no certificate")));
  EXPECT_THAT(refusal({good, text, ""}), AllOf(HasSubstr(text), HasSubstr("no private key")));
  EXPECT_THAT(refusal({good, other_key, ""}),
              AllOf(HasSubstr(other_key), HasSubstr("not the key")));
  EXPECT_THAT(refusal({good, key, text}), AllOf(HasSubstr(text), HasSubstr("no certificate")));
  EXPECT_THAT(refusal({old, other_key, ""}), AllOf(HasSubstr(old), HasSubstr("expired")));
  EXPECT_THAT(refusal({directory_ + "/none", key, ""}),
              AllOf(HasSubstr("/none"), HasSubstr("No such file")));
  const absl::StatusOr<Credentials> warned = MakeCredentials(
      {Write("soon.crt", soon.CertificatePem()), Write("soon.key", soon.KeyPem()), ""});
  ASSERT_TRUE(warned.ok());
  EXPECT_THAT(warned->warnings, ::testing::ElementsAre(HasSubstr("expires in")));
}

}  // namespace
}  // namespace stele::server
