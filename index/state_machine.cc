#include "index/state_machine.h"

#include <algorithm>
#include <map>

#include "index/check.h"
#include "index/normalized.h"

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

// `base` with `set` laid over it and `removed` taken out; both maps encoded. Empty result and false
// where it would break a limit.
bool MergeAttributes(std::string_view base, const Operation& update, std::string* merged) {
  AttributeMap old_map, set_map, map;
  Check(DecodeAttributes(base, &old_map) && DecodeAttributes(update.attributes, &set_map));
  std::merge(old_map.begin(), old_map.end(), set_map.begin(), set_map.end(),
             std::back_inserter(map),
             [](const auto& a, const auto& b) { return a.first < b.first; });
  AttributeMap result;
  for (auto& pair : map) {
    // Of two equal names the later one is from `set`: merge is stable.
    if (!result.empty() && result.back().first == pair.first) {
      result.back() = std::move(pair);
    } else {
      result.push_back(std::move(pair));
    }
  }
  std::erase_if(result, [&](const auto& pair) {
    return std::binary_search(update.removed.begin(), update.removed.end(), pair.first);
  });
  *merged = EncodeAttributes(result);
  return result.size() <= kAttributesMax && merged->size() <= kAttributesBytesMax;
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
  switch (first.kind) {
    case OperationKind::kUpsert:
    case OperationKind::kInsert:
    case OperationKind::kUpdateAttributes:
    case OperationKind::kDelete:
      return ExecuteRecords(index, command, result);
    case OperationKind::kDeleteByFilter:
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
      return;
    case OperationKind::kContinuation:
    case OperationKind::kCreateWithOptions:
      break;
  }
  result->commit.outcome = Outcome::kMalformed;
}

void StateMachine::ExecuteRecords(LogIndex index, const Command& command, ApplyResult* result) {
  std::vector<Plan> plans(command.operations.size());
  for (size_t i = 0; i < plans.size(); ++i) {
    const Rejection refused = PlanOperation(command.operations[i], &plans[i]);
    if (refused.outcome == Outcome::kOk) continue;
    result->commit.outcome = refused.outcome;
    result->commit.failed_item = static_cast<uint32_t>(i);
    result->commit.current = refused.current;
    return;
  }
  // Collections in order of name, each once, with the change of its count.
  std::map<std::string_view, std::pair<Collection*, int64_t>> touched;
  for (size_t i = 0; i < plans.size(); ++i) {
    const std::optional<int64_t> change =
        PerformOperation(index, static_cast<uint32_t>(i), command.operations[i], plans[i], result);
    if (!change.has_value()) continue;
    auto& [collection, count_change] = touched[plans[i].collection->name()];
    collection = plans[i].collection;
    count_change += *change;
  }
  for (const auto& [name, collection_and_change] : touched) {
    FinishCollection(index, collection_and_change.first, collection_and_change.second, result);
  }
  if (!touched.empty()) ComputeStateRoot();
}

StateMachine::Rejection StateMachine::CheckPrecondition(const Operation& operation,
                                                        const RecordVersion* live) {
  const LogIndex version = live != nullptr ? live->born() : 0;
  switch (operation.precondition.kind) {
    case Precondition::Kind::kNone:
      return {};
    case Precondition::Kind::kMustNotExist:
      if (live == nullptr) return {};
      break;
    case Precondition::Kind::kExpectedVersion:
      if (version == operation.precondition.version) return {};
      break;
  }
  return {Outcome::kPreconditionFailed, version};
}

StateMachine::Rejection StateMachine::PlanOperation(const PreparedOperation& prepared, Plan* plan) {
  const Operation& operation = prepared.operation;
  plan->collection = LiveCollection(operation.collection);
  if (plan->collection == nullptr) return {Outcome::kCollectionNotFound, 0};
  plan->node = plan->collection->mutable_records().Find(operation.id);
  plan->live = Collection::Live(plan->node);
  const LogIndex version = plan->live != nullptr ? plan->live->born() : 0;
  const Rejection refused = CheckPrecondition(operation, plan->live);
  if (refused.outcome != Outcome::kOk) return refused;
  switch (operation.kind) {
    case OperationKind::kInsert:
      if (plan->live != nullptr) return {Outcome::kRecordExists, version};
      [[fallthrough]];
    case OperationKind::kUpsert: {
      const CollectionConfig& config = plan->collection->config();
      if (operation.vector.size() != config.dimension) {
        return {Outcome::kDimensionMismatch, config.dimension};
      }
      if (config.metric == Metric::kCosine && !IsNormalized(operation.vector)) {
        return {Outcome::kNotNormalized, 0};
      }
      return {};
    }
    case OperationKind::kUpdateAttributes:
      if (plan->live == nullptr) return {Outcome::kRecordNotFound, 0};
      if (!MergeAttributes(plan->live->attributes(), operation, &plan->merged_attributes)) {
        return {Outcome::kAttributesTooLarge, 0};
      }
      return {};
    default:
      return {};
  }
}

std::optional<int64_t> StateMachine::PerformOperation(LogIndex index, uint32_t ordinal,
                                                      const PreparedOperation& prepared,
                                                      const Plan& plan, ApplyResult* result) {
  const Operation& operation = prepared.operation;
  Collection* collection = plan.collection;
  CommitRecord& commit = result->commit;
  if (operation.kind == OperationKind::kDelete) {
    if (plan.live == nullptr) {
      ++commit.missing_count;
      return std::nullopt;
    }
    Kill(collection, plan.live, index, true);
    collection->tree().Remove(prepared.key);
    result->effects.push_back({Effect::Kind::kRecord, prepared.key, kZeroHash});
    ++commit.deleted_count;
    return -1;
  }
  RecordNode* node = plan.node;
  const bool fresh_node = node == nullptr;
  if (fresh_node) node = collection->mutable_records().Prepare(operation.id);
  Hash commitment = prepared.record;
  RecordVersion* version = nullptr;
  VectorStore& vectors = collection->mutable_vectors();
  if (operation.kind == OperationKind::kUpdateAttributes) {
    const Slot slot = plan.live->slot();
    const DocumentRef* document = plan.live->document();
    version = RecordVersion::Make(index, node, slot, plan.merged_attributes, document);
    collection->mutable_postings().Add(*version, plan.live);
    commitment = RecordCommitment(
        {operation.id, vectors.Row(slot), plan.merged_attributes,
         document != nullptr ? std::optional<Hash>(document->part) : std::nullopt});
  } else {
    const Slot slot = vectors.Add(operation.vector);
    DocumentRef document;
    if (prepared.document_part.has_value()) {
      document = {index, ordinal, static_cast<uint32_t>(operation.document.size()),
                  *prepared.document_part};
    }
    version = RecordVersion::Make(index, node, slot, operation.attributes,
                                  prepared.document_part.has_value() ? &document : nullptr);
    collection->mutable_postings().Add(*version, nullptr);
    vectors.Publish(slot, index, version);
  }
  RecordVersion* before = node->payload.newest.Get();
  version->older.Set(before);
  // Only now: readers of older indices come through the slot as well, and go on from here.
  if (operation.kind == OperationKind::kUpdateAttributes) {
    vectors.SetVersion(version->slot(), version);
  }
  if (before != nullptr) before->newer = version;
  node->payload.newest.Set(version);
  if (fresh_node) collection->mutable_records().Link(node);
  if (plan.live != nullptr) {
    Kill(collection, plan.live, index, plan.live->slot() != version->slot());
    ++commit.updated_count;
  } else {
    ++commit.inserted_count;
  }
  collection->tree().Put(prepared.key, commitment);
  result->effects.push_back({Effect::Kind::kRecord, prepared.key, commitment});
  return plan.live != nullptr ? 0 : 1;
}

void StateMachine::Kill(Collection* collection, RecordVersion* version, LogIndex index,
                        bool frees_slot) {
  version->died.Set(index);
  if (frees_slot) collection->mutable_vectors().MarkDied(version->slot(), index);
  dead_.push_back({index, collection, version, nullptr, frees_slot});
}

void StateMachine::DeleteByFilter(LogIndex index, const Operation& operation, ApplyResult* result) {
  CommitRecord& commit = result->commit;
  Collection* collection = LiveCollection(operation.collection);
  if (collection == nullptr) {
    commit.outcome = Outcome::kCollectionNotFound;
    return;
  }
  for (RecordNode* node = collection->mutable_records().First(); node != nullptr;
       node = node->Next()) {
    RecordVersion* newest = node->payload.newest.Get();
    if (newest->died.Get() != kNever) continue;
    if (!operation.filter.Matches(AttributesView(newest->attributes()))) continue;
    if (commit.deleted_count == operation.limit) {
      commit.more = true;
      break;
    }
    const Hash key = RecordKey(operation.collection, node->key());
    Kill(collection, newest, index, true);
    collection->tree().Remove(key);
    result->effects.push_back({Effect::Kind::kRecord, key, kZeroHash});
    ++commit.deleted_count;
  }
  if (commit.deleted_count == 0) return;
  FinishCollection(index, collection, -static_cast<int64_t>(commit.deleted_count), result);
  ComputeStateRoot();
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
  auto* stats = new CollectionStats;
  const CollectionStats* before = collection->stats();
  const uint64_t count_before = before != nullptr ? before->record_count : 0;
  stats->index = index;
  stats->record_count = count_before + static_cast<uint64_t>(count_change);
  stats->state_index = index;
  stats->records_root = collection->tree().Root();
  if (CollectionStats* replaced = collection->PushStats(stats)) {
    dead_.push_back({index, collection, nullptr, replaced, false});
  }
  const Hash key = CollectionKey(collection->name());
  const Hash value = collection->ValueHash();
  collections_tree_.Put(key, value);
  result->effects.push_back({Effect::Kind::kCollection, key, value});
}

void StateMachine::ComputeStateRoot() {
  state_root_ = StateRoot(rules_version_, collections_tree_.Root());
}

}  // namespace stele::index
