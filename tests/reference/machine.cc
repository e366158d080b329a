#include "tests/reference/machine.h"

#include <algorithm>
#include <set>

#include "tests/reference/bytes.h"

namespace stele::reference {
namespace {

using Kind = index::OperationKind;

std::string Text(const index::Hash& hash) {
  return std::string(reinterpret_cast<const char*>(hash.data()), hash.size());
}
std::string Text(const index::LogId& id) {
  return std::string(reinterpret_cast<const char*>(id.data()), id.size());
}

bool NamesRecord(Kind kind) {
  return kind == Kind::kUpsert || kind == Kind::kInsert || kind == Kind::kUpdateAttributes ||
         kind == Kind::kDelete || kind == Kind::kErase;
}

// The number under which the operation is written.
int FormOf(const index::Operation& operation) {
  const index::CollectionConfig& config = operation.config;
  if (operation.kind == Kind::kCreateCollection &&
      (config.erasable || config.receipts != index::ReceiptPolicy::kOff)) {
    return 13;
  }
  if (!operation.salted) return int(operation.kind);
  if (operation.kind == Kind::kUpsert) return 14;
  if (operation.kind == Kind::kInsert) return 15;
  if (operation.kind == Kind::kUpdateAttributes) return 16;
  return operation.kind == Kind::kDeleteByFilter ? 17 : int(operation.kind);
}

std::string VectorBytes(const std::vector<int32_t>& vector) {
  std::string out;
  for (const int32_t component : vector) out += U32(static_cast<uint32_t>(component));
  return out;
}

std::string Key(const std::string& collection, const std::string& id) {
  return Digest(0x20, Sized(collection) + id);
}

// The compact sparse Merkle tree by its definition, over (key, value) pairs sorted by key.
using Pairs = std::vector<std::pair<std::string, std::string>>;
std::string SparseRoot(const Pairs& pairs, size_t depth) {
  if (pairs.empty()) return Zeros();
  if (pairs.size() == 1) return Digest(0x21, pairs[0].first + pairs[0].second);
  Pairs sides[2];
  for (const auto& pair : pairs) {
    const auto byte = static_cast<unsigned char>(pair.first[depth / 8]);
    sides[byte >> (7 - depth % 8) & 1].push_back(pair);
  }
  return Digest(0x22, SparseRoot(sides[0], depth + 1) + SparseRoot(sides[1], depth + 1));
}

std::string Options(const index::CollectionConfig& config) {
  if (config.receipts == index::ReceiptPolicy::kOff && !config.erasable) return "";
  return U8(static_cast<uint8_t>(config.receipts)) + U8(config.erasable ? 1 : 0);
}

std::string CollectionValue(const std::string& name, const Collection& collection) {
  const index::CollectionConfig& config = collection.config;
  const bool plain = config.receipts == index::ReceiptPolicy::kOff && !config.erasable;
  const std::string value =
      Digest(plain ? 0x24 : 0x26, U32(config.dimension) + U8(static_cast<uint8_t>(config.metric)) +
                                      Sized(config.description) + Options(config) +
                                      RecordsRoot(name, collection));
  if (collection.holds.empty()) return value;
  std::string holds = U32(collection.holds.size());
  for (const auto& [hold_name, hold] : collection.holds) {
    holds += Sized(hold_name) + U64(hold.index) + Sized(hold.reason) + U32(hold.ids.size());
    for (const std::string& id : hold.ids) holds += Sized(id);
  }
  return Digest(0x27, value + Digest(0x29, holds));
}

std::string FilterBytes(const index::Filter& filter) {
  std::string out = U8(static_cast<uint8_t>(filter.kind));
  if (filter.kind == index::Filter::Kind::kCondition) {
    out += U8(static_cast<uint8_t>(filter.test)) + Sized(filter.attribute);
    out += U32(filter.literals.size());
    for (const std::string& literal : filter.literals) out += literal;
    return out;
  }
  out += U32(filter.parts.size());
  for (const index::Filter& part : filter.parts) out += FilterBytes(part);
  return out;
}

std::string Prefix(const index::Operation& operation) {
  std::string out = U8(static_cast<uint8_t>(FormOf(operation))) + Sized(operation.collection);
  if (operation.kind == Kind::kDeleteByFilter || operation.kind == Kind::kEraseByFilter) {
    out += U32(operation.limit);
  }
  if (!NamesRecord(operation.kind)) return out;
  return out + U8(static_cast<uint8_t>(operation.precondition.kind)) +
         U64(operation.precondition.version) + Sized(operation.id);
}

Record MakeRecord(const index::Operation& operation) {
  const std::string salt = operation.salted ? Text(operation.salt) : "";
  return {
      operation.vector, ParseAttributes(operation.attributes), operation.document, 0, salt, salt};
}

// What of an operation that is no upsert is content, where it is salted.
std::string SaltedDigest(const index::Operation& operation) {
  std::string content;
  if (operation.kind == Kind::kUpdateAttributes) {
    content = Sized(operation.attributes) + U32(operation.removed.size());
    for (const std::string& name : operation.removed) content += Sized(name);
  } else {
    content = FilterBytes(operation.filter);
  }
  return Digest(0x17, Text(operation.salt) + content);
}

// Commitment of one item of a command.
std::string Item(const index::Operation& operation) {
  std::string out = Prefix(operation);
  if (operation.salted && operation.kind != Kind::kUpsert && operation.kind != Kind::kInsert) {
    return Digest(0x12, out + SaltedDigest(operation));
  }
  switch (operation.kind) {
    case Kind::kUpsert:
    case Kind::kInsert:
      out += RecordCommitment(operation.id, MakeRecord(operation));
      break;
    case Kind::kUpdateAttributes:
      out += Sized(operation.attributes) + U32(operation.removed.size());
      for (const std::string& name : operation.removed) out += Sized(name);
      break;
    case Kind::kDeleteByFilter:
      out += FilterBytes(operation.filter);
      break;
    case Kind::kCreateCollection:
      out += U32(operation.config.dimension) + U8(static_cast<uint8_t>(operation.config.metric)) +
             Sized(operation.config.description) + Options(operation.config);
      break;
    case Kind::kGenesis:
    case Kind::kUpgrade:
      out += U32(operation.rules_version);
      break;
    case Kind::kRestore:
      out += U32(operation.rules_version) + Text(operation.parent_log) + U64(operation.index) +
             Text(operation.log_root) + Text(operation.snapshot_hash);
      break;
    case Kind::kSnapshotSealed:
      out += U64(operation.index) + Text(operation.snapshot_hash);
      break;
    case Kind::kSetHold:
      out += Sized(operation.hold) + Sized(operation.reason) + U32(operation.ids.size());
      for (const std::string& id : operation.ids) out += Sized(id);
      break;
    case Kind::kReleaseHold:
      out += Sized(operation.hold);
      break;
    case Kind::kSetHistory:
      out += U64(operation.history_entries);
      break;
    case Kind::kErasureCompleted:
      out += U64(operation.index) + U64(operation.items_count) + U64(operation.snapshots_count);
      break;
    default:
      break;
  }
  return Digest(0x12, out);
}

std::string ItemsRoot(const index::Command& command) {
  std::vector<std::string> items;
  for (const auto& prepared : command.operations) items.push_back(Item(prepared.operation));
  return MerkleRoot(0x13, items);
}

std::string ExpectedBytes(const index::CommandHeader& header) {
  return U8(header.expected_state_index.has_value() ? 1 : 0) +
         U64(header.expected_state_index.value_or(0));
}

std::string HeaderBytes(const index::Command& command) {
  const index::CommandHeader& header = command.header;
  return U8(1) + Text(header.log_id) + U64(header.term) + U32(header.rules_version) +
         Sized(header.request_id) + Sized(header.actor) +
         U64(static_cast<uint64_t>(header.timestamp_micros)) +
         U64(static_cast<uint64_t>(header.clock_micros)) + U64(header.known_index) +
         ExpectedBytes(header) + U32(command.operations.size()) + ItemsRoot(command);
}

bool HasRightShape(const index::Command& command) {
  if (command.operations.empty() || command.operations.size() > 4096) return false;
  if (command.operations.size() == 1) return true;
  std::set<std::pair<std::string, std::string>> ids;
  for (const auto& prepared : command.operations) {
    const index::Operation& operation = prepared.operation;
    if (!NamesRecord(operation.kind)) return false;
    if (!ids.insert({operation.collection, operation.id}).second) return false;
  }
  return true;
}

}  // namespace

namespace {

std::string Part(int kind, const std::string& name, const std::string& bytes,
                 const std::string& salt) {
  if (salt.empty()) return Digest(0x10, U8(kind) + bytes);
  return Digest(0x19, U8(kind) + Digest(0x18, salt + U8(kind) + name) + bytes);
}

}  // namespace

std::string RecordCommitment(const std::string& id, const Record& record) {
  std::vector<std::string> parts;
  parts.push_back(Part(1, "", id, record.salt));
  parts.push_back(Part(2, "", VectorBytes(record.vector), record.salt));
  for (const auto& [name, value] : record.attributes) {
    parts.push_back(Part(3, name, Sized(name) + value, record.salt));
  }
  if (!record.document.empty()) parts.push_back(DocumentPart(record));
  return MerkleRoot(0x11, parts);
}

std::string DocumentPart(const Record& record) {
  return Part(4, "", record.document, record.document_salt);
}

std::string RecordsRoot(const std::string& name, const Collection& collection) {
  Pairs pairs;
  for (const auto& [id, record] : collection.records) {
    pairs.emplace_back(Key(name, id), RecordCommitment(id, record));
  }
  return SparseRoot(pairs, 0);
}

std::string StateRoot(const State& state) {
  Pairs pairs;
  for (const auto& [name, collection] : state.collections) {
    pairs.emplace_back(Digest(0x23, name), CollectionValue(name, collection));
  }
  const std::string root = U32(state.rules_version) + SparseRoot(pairs, 0);
  if (!state.history_entries.has_value()) return Digest(0x25, root);
  return Digest(0x28, root + U64(*state.history_entries));
}

std::vector<Hit> Search(const Collection& collection, const std::vector<int32_t>& query, size_t k,
                        const index::Filter* filter, std::optional<int64_t> distance_max) {
  std::vector<Hit> hits;
  for (const auto& [id, record] : collection.records) {
    if (filter != nullptr && !Matches(*filter, record.attributes)) continue;
    __int128 distance = 0;
    for (size_t i = 0; i < query.size(); ++i) {
      const __int128 difference = __int128{query[i]} - record.vector[i];
      distance += collection.config.metric == index::Metric::kDot
                      ? -(__int128{query[i]} * record.vector[i])
                      : difference * difference;
    }
    if (!distance_max.has_value() || distance <= *distance_max) hits.push_back({distance, id});
  }
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  });
  if (hits.size() > k) hits.resize(k);
  return hits;
}

Machine::Outcome Machine::SetHold(const index::Operation& operation, State* state,
                                  std::vector<Effect>* effects) const {
  const auto place = state->collections.find(operation.collection);
  if (place == state->collections.end()) return {1};
  index::Holds& holds = place->second.holds;
  const auto there = holds.find(operation.hold);
  if (operation.kind == Kind::kReleaseHold) {
    if (there == holds.end()) return {19};
    holds.erase(there);
  } else {
    if (there != holds.end()) return {18, 0, there->second.index};
    if (holds.size() == 64) return {20};
    holds[operation.hold] = {next_index_, operation.reason, operation.ids};
  }
  place->second.state_index = next_index_;
  effects->push_back({2, Digest(0x23, place->first), CollectionValue(place->first, place->second)});
  return {};
}

void Machine::PerformRecord(const index::Operation& operation, State* state, Outcome* outcome,
                            std::vector<Effect>* effects) const {
  auto& records = state->collections.at(operation.collection).records;
  const std::string key = Key(operation.collection, operation.id);
  const bool exists = records.count(operation.id) == 1;
  if (operation.kind == Kind::kDelete || operation.kind == Kind::kErase) {
    if (!exists) {
      ++outcome->missing;
      return;
    }
    records.erase(operation.id);
    ++outcome->deleted;
    effects->push_back({1, key, Zeros()});
    return;
  }
  if (operation.kind == Kind::kUpdateAttributes) {
    Attributes& attributes = records.at(operation.id).attributes;
    for (const auto& [name, value] : ParseAttributes(operation.attributes)) {
      attributes[name] = value;
    }
    for (const std::string& name : operation.removed) attributes.erase(name);
    if (operation.salted) records.at(operation.id).salt = Text(operation.salt);
  } else {
    records[operation.id] = MakeRecord(operation);
  }
  records.at(operation.id).version = next_index_;
  ++(exists ? outcome->updated : outcome->inserted);
  effects->push_back({1, key, RecordCommitment(operation.id, records.at(operation.id))});
}

Machine::Outcome Machine::ExecuteRecords(const index::Command& command, State* state,
                                         std::vector<Effect>* effects) {
  for (size_t i = 0; i < command.operations.size(); ++i) {
    Outcome outcome = CheckRecord(command.operations[i].operation);
    outcome.failed_item = i;
    if (outcome.outcome != 0) return outcome;
  }
  Outcome outcome;
  std::set<std::string> touched;
  for (const auto& prepared : command.operations) {
    const size_t before = effects->size();
    PerformRecord(prepared.operation, state, &outcome, effects);
    if (effects->size() != before) touched.insert(prepared.operation.collection);
  }
  for (const std::string& name : touched) {
    Collection& collection = state->collections.at(name);
    collection.state_index = next_index_;
    effects->push_back({2, Digest(0x23, name), CollectionValue(name, collection)});
  }
  return outcome;
}

Machine::Outcome Machine::DeleteByFilter(const index::Operation& operation, State* state,
                                         std::vector<Effect>* effects) const {
  const auto place = state->collections.find(operation.collection);
  if (place == state->collections.end()) return {1};
  const bool erasable = place->second.config.erasable;
  if (operation.kind == Kind::kDeleteByFilter && operation.salted != erasable) return {15};
  if (operation.kind == Kind::kEraseByFilter && !erasable) return {16};
  Outcome outcome;
  std::vector<std::string> matching;
  for (const auto& [id, record] : place->second.records) {
    if (Matches(operation.filter, record.attributes)) matching.push_back(id);
  }
  outcome.more = matching.size() > operation.limit;
  if (outcome.more) matching.resize(operation.limit);
  for (const std::string& id : matching) {
    if (operation.kind != Kind::kEraseByFilter) break;
    if (const uint64_t held = HeldBy(place->second, id)) return {17, 0, held};
  }
  for (const std::string& id : matching) {
    place->second.records.erase(id);
    effects->push_back({1, Key(operation.collection, id), Zeros()});
  }
  outcome.deleted = matching.size();
  if (matching.empty()) return outcome;
  place->second.state_index = next_index_;
  effects->push_back({2, Digest(0x23, place->first), CollectionValue(place->first, place->second)});
  return outcome;
}

Machine::Outcome Machine::Execute(const index::Command& command, State* state,
                                  std::vector<Effect>* effects) {
  const index::Operation& first = command.operations.front().operation;
  const std::string& name = first.collection;
  const bool exists = state->collections.count(name) == 1;
  Outcome outcome;
  switch (first.kind) {
    case Kind::kDeleteByFilter:
    case Kind::kEraseByFilter:
      return DeleteByFilter(first, state, effects);
    case Kind::kCreateCollection:
      if (exists) return {2};
      state->collections[name] = {first.config, next_index_, next_index_, {}, {}};
      effects->push_back(
          {2, Digest(0x23, name), CollectionValue(name, state->collections.at(name))});
      return outcome;
    case Kind::kDropCollection:
      if (!exists) return {1};
      if (const uint64_t held = HeldBy(state->collections.at(name), "")) return {17, 0, held};
      outcome.deleted = state->collections.at(name).records.size();
      state->collections.erase(name);
      effects->push_back({2, Digest(0x23, name), Zeros()});
      return outcome;
    case Kind::kGenesis:
    case Kind::kRestore:
    case Kind::kUpgrade:
      if (first.rules_version != 1) return {14};
      if (first.kind == Kind::kGenesis && next_index_ != 0) return {14};
      if (first.kind == Kind::kRestore && next_index_ != first.index + 1) return {14};
      state->rules_version = first.rules_version;
      state->state_index = next_index_;
      return outcome;
    case Kind::kSnapshotSealed:
    case Kind::kErasureCompleted:
      return outcome;
    case Kind::kSetHold:
    case Kind::kReleaseHold:
      return SetHold(first, state, effects);
    case Kind::kSetHistory:
      state->history_entries = first.history_entries;
      state->state_index = next_index_;
      return outcome;
    case Kind::kContinuation:
    case Kind::kCreateWithOptions:
      return {14};
    default:
      return ExecuteRecords(command, state, effects);
  }
}

Machine::Result Machine::Apply(const index::Command& command) {
  const index::CommandHeader& header = command.header;
  const std::pair<std::string, std::string> request{header.actor, header.request_id};
  const std::string body = Digest(0x16, ExpectedBytes(header) + ItemsRoot(command));
  State state = state_;
  std::vector<Effect> effects;
  Outcome outcome;
  const auto seen = requests_.find(request);
  if (!header.request_id.empty() && seen != requests_.end()) {
    outcome = {seen->second.second == body ? 10 : 11, 0, seen->second.first};
  } else if (header.expected_state_index.value_or(state_.state_index) != state_.state_index) {
    outcome = {6, 0, state_.state_index};
  } else if (!HasRightShape(command)) {
    outcome = {14};
  } else {
    outcome = Execute(command, &state, &effects);
  }
  if (!effects.empty()) state.state_index = next_index_;
  if (outcome.outcome == 0) {
    state_ = state;
    if (state_.rules_version != 0 || !state_.collections.empty()) root_ = StateRoot(state_);
  }
  if (!header.request_id.empty() && seen == requests_.end()) {
    requests_[request] = {next_index_, body};
  }

  Result result;
  std::vector<std::string> leaves;
  result.effects = U32(effects.size());
  for (const Effect& effect : effects) {
    const std::string bytes = U8(static_cast<uint8_t>(effect.kind)) + effect.key + effect.value;
    result.effects += bytes;
    leaves.push_back(Digest(0x30, bytes));
  }
  result.commit = U8(1) + U64(next_index_) + Digest(0x14, HeaderBytes(command)) +
                  U8(static_cast<uint8_t>(outcome.outcome)) + U32(outcome.failed_item) +
                  U64(outcome.current) + U64(outcome.inserted) + U64(outcome.updated) +
                  U64(outcome.deleted) + U64(outcome.missing) + U8(outcome.more ? 1 : 0) +
                  U64(state_.state_index) + MerkleRoot(0x31, leaves) + root_;
  ++next_index_;
  return result;
}

}  // namespace stele::reference
