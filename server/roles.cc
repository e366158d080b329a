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
    {"CreateCollection", Role::kWriter, false},
    {"GetCollection", Role::kReader, false},
    {"ListCollections", Role::kReader, false},
    {"DropCollection", Role::kWriter, false},
    {"Write", Role::kWriter, false},
    {"WriteStream", Role::kWriter, true},
    {"GetRecords", Role::kReader, false},
    {"ListRecords", Role::kReader, false},
    {"CountRecords", Role::kReader, false},
    {"Search", Role::kReader, false},
    {"BatchSearch", Role::kReader, false},
    {"GetOutcome", Role::kReader, false},
    {"CreateSnapshot", Role::kAdmin, false},
    {"ListSnapshots", Role::kReader, false},
    {"GetServerInfo", Role::kReader, false},
    {"GetCheckpoint", Role::kAuditor, false},
    {"GetLogInclusionProof", Role::kAuditor, false},
    {"GetLogConsistencyProof", Role::kAuditor, false},
    {"GetRecordProof", Role::kAuditor, false},
    {"ReadLog", Role::kAuditor, true},
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
