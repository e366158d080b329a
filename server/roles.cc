#include "server/roles.h"

#include <algorithm>
#include <array>

namespace stele::server {
namespace {

struct NamedRole {
  std::string_view name;
  Role role;
};

constexpr NamedRole kRoles[] = {{"reader", Role::kReader},
                                {"auditor", Role::kAuditor},
                                {"writer", Role::kWriter},
                                {"admin", Role::kAdmin}};

constexpr MethodRule kRules[] = {
    {"CreateCollection", Role::kWriter},
    {"GetCollection", Role::kReader},
    {"ListCollections", Role::kReader},
    {"DropCollection", Role::kWriter},
    {"Write", Role::kWriter},
    {"WriteStream", Role::kWriter},
    {"GetRecords", Role::kReader},
    {"ListRecords", Role::kReader},
    {"CountRecords", Role::kReader},
    {"Search", Role::kReader},
    {"BatchSearch", Role::kReader},
    {"GetOutcome", Role::kReader},
    {"GetHistory", Role::kReader},
    {"RevertRecord", Role::kWriter},
    {"CreateSnapshot", Role::kAdmin},
    {"ListSnapshots", Role::kReader},
    {"GetServerInfo", Role::kReader},
    {"GetCheckpoint", Role::kAuditor},
    {"GetLogInclusionProof", Role::kAuditor},
    {"GetLogConsistencyProof", Role::kAuditor},
    {"GetRecordProof", Role::kAuditor},
    {"GetErasureCertificate", Role::kAuditor},
    {"AddCosignatures", Role::kAuditor},
    {"SetHold", Role::kAdmin},
    {"ReleaseHold", Role::kAdmin},
    {"ListHolds", Role::kAuditor},
    {"SetRetention", Role::kAdmin},
    {"ReadLog", Role::kAuditor},
    {"DiffStates", Role::kAuditor},
    {"DiffSearch", Role::kAuditor},
    {"CounterfactualSearch", Role::kAuditor},
    {"GetTreeNodes", Role::kAuditor},
};

}  // namespace

std::string_view RoleName(Role role) {
  for (const NamedRole& known : kRoles) {
    if (known.role == role) return known.name;
  }
  return "unknown";
}

std::optional<Role> RoleByName(std::string_view name) {
  for (const NamedRole& known : kRoles) {
    if (known.name == name) return known.role;
  }
  return std::nullopt;
}

std::span<const MethodRule> MethodRules() { return kRules; }

const MethodRule* FindMethodRule(std::string_view method) {
  const auto* const found =
      std::find_if(std::begin(kRules), std::end(kRules),
                   [method](const MethodRule& rule) { return rule.method == method; });
  return found == std::end(kRules) ? nullptr : found;
}

}  // namespace stele::server
