// What is checked before anything happens.
#include "tests/reference/machine.h"

namespace stele::reference {
namespace {

using Kind = index::OperationKind;

bool IsNormalized(const std::vector<int32_t>& vector) {
  __int128 norm = 0;
  for (const int32_t x : vector) norm += __int128{x} * x;
  int64_t root = 0;
  while (root * root < static_cast<int64_t>(vector.size())) ++root;
  const __int128 slack = (__int128{root} << 16) + static_cast<int64_t>(vector.size());
  const __int128 one = __int128{1} << 32;
  return norm - one <= slack && one - norm <= slack;
}

}  // namespace

uint64_t HeldBy(const Collection& collection, const std::string& id) {
  for (const auto& [name, hold] : collection.holds) {
    if (id.empty() || hold.ids.empty()) return hold.index;
    for (const std::string& held : hold.ids) {
      if (held == id) return hold.index;
    }
  }
  return 0;
}

Machine::Outcome Machine::CheckRecord(const index::Operation& operation) const {
  const auto place = state_.collections.find(operation.collection);
  if (place == state_.collections.end()) return {1};
  const Collection& collection = place->second;
  if (operation.kind == Kind::kErase) {
    if (!collection.config.erasable) return {16};
  } else if (operation.kind != Kind::kDelete && operation.salted != collection.config.erasable) {
    return {15};
  }
  const auto record = collection.records.find(operation.id);
  const bool exists = record != collection.records.end();
  const uint64_t version = exists ? record->second.version : 0;
  const auto& precondition = operation.precondition;
  if (precondition.kind == index::Precondition::Kind::kMustNotExist && exists) {
    return {5, 0, version};
  }
  if (precondition.kind == index::Precondition::Kind::kExpectedVersion &&
      precondition.version != version) {
    return {5, 0, version};
  }
  if (operation.kind == Kind::kErase && HeldBy(collection, operation.id) != 0) {
    return {17, 0, HeldBy(collection, operation.id)};
  }
  if (operation.kind == Kind::kInsert && exists) return {3, 0, version};
  if (operation.kind == Kind::kInsert || operation.kind == Kind::kUpsert) {
    if (operation.vector.size() != collection.config.dimension) {
      return {7, 0, collection.config.dimension};
    }
    if (collection.config.metric == index::Metric::kCosine && !IsNormalized(operation.vector)) {
      return {8};
    }
  }
  if (operation.kind == Kind::kUpdateAttributes) {
    if (!exists) return {4};
    Attributes merged = record->second.attributes;
    for (const auto& [name, value] : ParseAttributes(operation.attributes)) merged[name] = value;
    for (const std::string& name : operation.removed) merged.erase(name);
    if (merged.size() > 256 || EncodeAttributes(merged).size() > 65536) return {12};
  }
  return {};
}

}  // namespace stele::reference
