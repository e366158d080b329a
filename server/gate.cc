#include "server/gate.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/key_ring.h"
#include "server/metrics.h"
#include "server/roles.h"

namespace stele::server {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr char kCommonName[] = "x509_common_name";
constexpr absl::string_view kBearer = "bearer ";

absl::Status Missing(std::string_view message) {
  return MakeError(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING", message);
}

// The common name of a certificate that the TLS handshake has verified.
std::optional<std::string> CommonName(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return std::nullopt;
  const std::vector<grpc::string_ref> names = auth->FindPropertyValues(kCommonName);
  if (names.size() != 1) return std::nullopt;
  return std::string(names[0].data(), names[0].size());
}

absl::StatusOr<Caller> FindByCertificate(const KeyRing& keys,
                                         const grpc::ServerContextBase& context) {
  const std::optional<std::string> name = CommonName(context);
  if (!name.has_value()) {
    return Missing(
        "send the metadata \"authorization: Bearer KEY\" with an API key of this server");
  }
  const std::optional<Caller> caller = keys.FindCommonName(*name);
  if (caller.has_value()) return *caller;
  return Missing(absl::StrCat("the keys file has no line \"cn:", *name,
                              " ROLE\" for this client certificate, and no API key was sent"));
}

absl::StatusOr<Caller> Identify(const KeyRing& keys, const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const size_t count = metadata.count(kAuthorization);
  if (count == 0) return FindByCertificate(keys, context);
  if (count > 1) return Missing("the metadata \"authorization\" was sent more than once");
  const grpc::string_ref value = metadata.find(kAuthorization)->second;
  const absl::string_view text(value.data(), value.size());
  if (!absl::StartsWithIgnoreCase(text, kBearer)) {
    return Missing("the metadata \"authorization\" must read \"Bearer KEY\"");
  }
  const absl::string_view key = absl::StripAsciiWhitespace(text.substr(kBearer.size()));
  if (key.empty()) return Missing("the metadata \"authorization\" holds no key after \"Bearer\"");
  const std::optional<Caller> caller = keys.FindKey({key.data(), key.size()});
  if (caller.has_value()) return *caller;
  return MakeError(absl::StatusCode::kUnauthenticated, "API_KEY_UNKNOWN",
                   "this API key is not in the server's keys file");
}

}  // namespace

Gate::Gate(const KeyRing* keys, Metrics* metrics) : keys_(keys), metrics_(metrics) {}

absl::StatusOr<Caller> Gate::Check(const grpc::ServerContextBase& context,
                                   std::string_view method) const {
  const MethodRule* const rule = FindMethodRule(method);
  if (rule == nullptr) {
    return absl::InternalError(absl::StrCat("no role is stated for the method ",
                                            absl::string_view(method.data(), method.size()),
                                            ": nobody may call it"));
  }
  if (keys_ == nullptr) return Caller{"anonymous", Role::kAdmin};
  absl::StatusOr<Caller> caller = Identify(*keys_, context);
  if (!caller.ok() || caller->role >= rule->role) return caller;
  const std::string needed(RoleName(rule->role));
  const std::string held(RoleName(caller->role));
  return MakeError(absl::StatusCode::kPermissionDenied, "ROLE_TOO_SMALL",
                   absl::StrCat(absl::string_view(method.data(), method.size()), " needs the role ",
                                needed, "; ", caller->name, " has the role ", held),
                   {{"role_needed", needed}, {"role_held", held}});
}

absl::StatusOr<Caller> Gate::Admit(const grpc::ServerContextBase& context,
                                   std::string_view method) const {
  // Counted first: once the gate is closed, a count of zero stays zero.
  inside_.fetch_add(1);
  absl::StatusOr<Caller> caller = closing_.stop_requested() ? Stopping() : Check(context, method);
  if (!caller.ok()) inside_.fetch_sub(1);
  return caller;
}

void Gate::Finished(std::string_view method, const absl::Status& status,
                    std::chrono::steady_clock::time_point began) const {
  if (metrics_ == nullptr) return;
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - began;
  metrics_->RpcFinished(method, status.code(), taken.count());
}

}  // namespace stele::server
