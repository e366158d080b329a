// Roles by name, and which role each RPC needs: the whole access policy in one table.
//
// It does not know keys, certificates or gRPC. Thread safety: constants and pure functions.
//
// Invariant: an RPC that is not in the table is let in for nobody (gate.cc).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "server/gate.h"

namespace stele::server {

// "reader", "auditor", "writer", "admin".
std::string_view RoleName(Role role);
// Null for any other word.
std::optional<Role> RoleByName(std::string_view name);

struct MethodRule {
  std::string_view method;  // the RPC's name alone
  Role role;                // the least that may call it
};

// Every RPC of stele.v1, in the order of the proto files.
std::span<const MethodRule> MethodRules();
// Null for a method that is not there.
const MethodRule* FindMethodRule(std::string_view method);

}  // namespace stele::server
