#include "index/state_machine.h"

#include <algorithm>

#include "index/check.h"

namespace stele::index {
namespace {

// A genesis is the first entry, a restore follows the snapshot it names, and only known rules can
// be set.
bool IsValidStart(LogIndex index, const Operation& operation) {
  if (operation.rules_version != kRulesVersion) return false;
  if (operation.kind == OperationKind::kGenesis) return index == 0;
  if (operation.kind == OperationKind::kRestore) return index == operation.index + 1;
  return true;
}

}  // namespace

StateMachine::StateMachine(uint64_t seed) : seed_(seed), collections_(seed) {}

std::optional<SeenRequest> StateMachine::FindRequest(const RequestKey& key) const {
  const std::optional<LogIndex> index = requests_.Find(key);
  if (!index.has_value()) return std::nullopt;
  return SeenRequest{*index, requests_.At(*index).body};
}

LogIndex StateMachine::oldest_request_index() const { return requests_.oldest(); }

const Collection* StateMachine::FindCollection(std::string_view name, LogIndex n) const {
  const auto* node = collections_.Find(name);
  if (node == nullptr) return nullptr;
  const Collection* collection = node->payload.newest.Get();
  while (collection != nullptr && collection->born() > n) collection = collection->older.Get();
  return collection != nullptr && collection->VisibleAt(n) ? collection : nullptr;
}

const Collection* StateMachine::SeekCollection(std::string_view name, LogIndex n) const {
  for (const auto* node = collections_.Seek(name); node != nullptr; node = node->Next()) {
    if (const Collection* collection = FindCollection(node->key(), n)) return collection;
  }
  return nullptr;
}

Collection* StateMachine::LiveCollection(std::string_view name) {
  auto* node = collections_.Find(name);
  if (node == nullptr) return nullptr;
  Collection* newest = node->payload.newest.Get();
  return newest != nullptr && newest->died.Get() == kNever ? newest : nullptr;
}

ApplyResult StateMachine::Apply(LogIndex index, const Command& command) {
  Check(index == next_index_);
  ApplyResult result;
  CommitRecord& commit = result.commit;
  commit.index = index;
  commit.command = CommandCommitment(command.header);

  RequestEntry entry;
  RequestKey key{};
  if (!command.header.request_id.empty()) {
    key = MakeRequestKey(command.header.actor, command.header.request_id);
  }
  const Rejection refused = CheckRequest(command.header, index, key);
  if (refused.outcome != Outcome::kOk) {
    commit.outcome = refused.outcome;
    commit.current = refused.current;
  } else if (!IsWellFormed(command)) {
    commit.outcome = Outcome::kMalformed;
  } else {
    Execute(index, command, &result);
    NoteErasure(index, command, commit);
  }

  if (!result.effects.empty()) state_index_ = index;
  commit.state_index = state_index_;
  commit.state_root = state_root_;
  commit.effects_root = EffectsRoot(result.effects);
  last_timestamp_micros_ = std::max(last_timestamp_micros_, command.header.timestamp_micros);
  // A retry that was logged does not take the place of the first use of its id.
  if (commit.outcome != Outcome::kDuplicateRequest && commit.outcome != Outcome::kRequestIdReused &&
      key != RequestKey{}) {
    entry.request = key;
    entry.body = RequestBody(command.header);
  }
  entry.state_index = state_index_;
  entry.state_root = state_root_;
  entry.timestamp_micros = last_timestamp_micros_;
  requests_.Append(index, entry);
  ++next_index_;
  return result;
}

StateMachine::Rejection StateMachine::CheckRequest(const CommandHeader& header, LogIndex index,
                                                   const RequestKey& key) const {
  if (key != RequestKey{}) {
    if (const std::optional<SeenRequest> seen = FindRequest(key)) {
      const bool same = seen->body == RequestBody(header);
      return {same ? Outcome::kDuplicateRequest : Outcome::kRequestIdReused, seen->index};
    }
    const LogIndex oldest = index >= kDedupEntries ? index - kDedupEntries : 0;
    if (header.known_index != 0 && header.known_index < oldest) {
      return {Outcome::kRequestTooOld, oldest};
    }
  }
  if (header.expected_state_index.has_value() && *header.expected_state_index != state_index_) {
    return {Outcome::kStateIndexMismatch, state_index_};
  }
  return {};
}

void StateMachine::Execute(LogIndex index, const Command& command, ApplyResult* result) {
  const Operation& first = command.operations.front().operation;
  // Only a log whose entries were applied before their content went can hold such operations.
  const bool erased = std::any_of(command.operations.begin(), command.operations.end(),
                                  [](const auto& prepared) { return prepared.operation.erased; });
  if (erased && logged_ == nullptr) {
    result->commit.outcome = Outcome::kMalformed;
    return;
  }
  switch (first.kind) {
    case OperationKind::kUpsert:
    case OperationKind::kInsert:
    case OperationKind::kUpdateAttributes:
    case OperationKind::kDelete:
    case OperationKind::kErase:
      return ExecuteRecords(index, command, result);
    case OperationKind::kDeleteByFilter:
    case OperationKind::kEraseByFilter:
      return DeleteByFilter(index, first, result);
    case OperationKind::kCreateCollection:
      return CreateCollection(index, first, result);
    case OperationKind::kDropCollection:
      return DropCollection(index, first, result);
    case OperationKind::kGenesis:
    case OperationKind::kRestore:
    case OperationKind::kUpgrade:
      if (!IsValidStart(index, first)) break;
      rules_version_ = first.rules_version;
      ComputeStateRoot();
      state_index_ = index;
      return;
    case OperationKind::kSnapshotSealed:
    case OperationKind::kErasureCompleted:
    case OperationKind::kReceipts:
      return;
    case OperationKind::kSetHold:
    case OperationKind::kReleaseHold:
      return SetHold(index, first, result);
    case OperationKind::kSetHistory:
      history_entries_ = first.history_entries;
      ComputeStateRoot();
      state_index_ = index;
      return;
    default:
      break;
  }
  result->commit.outcome = Outcome::kMalformed;
}

void StateMachine::CreateCollection(LogIndex index, const Operation& operation,
                                    ApplyResult* result) {
  if (LiveCollection(operation.collection) != nullptr) {
    result->commit.outcome = Outcome::kCollectionExists;
    return;
  }
  if (collection_count_ == kCollectionsMax) {
    result->commit.outcome = Outcome::kTooManyCollections;
    return;
  }
  auto* collection = new Collection(operation.collection, operation.config, index, seed_);
  ++collection_count_;
  FinishCollection(index, collection, 0, result);
  auto* node = collections_.Find(operation.collection);
  if (node != nullptr) {
    Collection* before = node->payload.newest.Get();
    collection->older.Set(before);
    before->newer = collection;
    node->payload.newest.Set(collection);
  } else {
    node = collections_.Prepare(operation.collection);
    node->payload.newest.Set(collection);
    collections_.Link(node);
  }
  ComputeStateRoot();
}

void StateMachine::DropCollection(LogIndex index, const Operation& operation, ApplyResult* result) {
  Collection* collection = LiveCollection(operation.collection);
  if (collection == nullptr) {
    result->commit.outcome = Outcome::kCollectionNotFound;
    return;
  }
  // Else what is held could be dropped, made anew and erased.
  const Rejection held = CheckHolds(*collection, {});
  if (held.outcome != Outcome::kOk) {
    result->commit.outcome = held.outcome;
    result->commit.current = held.current;
    return;
  }
  result->commit.deleted_count = collection->stats()->record_count;
  collection->died.Set(index);
  --collection_count_;
  dead_.push_back({index, collection, nullptr, nullptr, false});
  const Hash key = CollectionKey(operation.collection);
  collections_tree_.Remove(key);
  result->effects.push_back({Effect::Kind::kCollection, key, kZeroHash});
  ComputeStateRoot();
}

void StateMachine::FinishCollection(LogIndex index, Collection* collection, int64_t count_change,
                                    ApplyResult* result) {
  const CollectionStats* before = collection->stats();
  FinishCollection(index, collection, count_change, before != nullptr ? before->holds : nullptr,
                   result);
}

void StateMachine::FinishCollection(LogIndex index, Collection* collection, int64_t count_change,
                                    HoldsPointer holds, ApplyResult* result) {
  auto* stats = new CollectionStats;
  const CollectionStats* before = collection->stats();
  const uint64_t count_before = before != nullptr ? before->record_count : 0;
  stats->index = index;
  stats->record_count = count_before + static_cast<uint64_t>(count_change);
  stats->state_index = index;
  stats->records_root = collection->tree().Root();
  stats->holds = std::move(holds);
  if (CollectionStats* replaced = collection->PushStats(stats)) {
    dead_.push_back({index, collection, nullptr, replaced, false});
  }
  const Hash key = CollectionKey(collection->name());
  const Hash value = collection->ValueHash();
  collections_tree_.Put(key, value);
  result->effects.push_back({Effect::Kind::kCollection, key, value});
}

void StateMachine::ComputeStateRoot() {
  state_root_ = StateRoot(rules_version_, collections_tree_.Root(), history_entries_);
}

}  // namespace stele::index
