// What entries do to records.
#include <algorithm>
#include <map>

#include "index/candidates.h"
#include "index/check.h"
#include "index/normalized.h"
#include "index/state_machine.h"

namespace stele::index {

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

void StateMachine::ExecuteRecords(LogIndex index, const Command& command, ApplyResult* result) {
  std::vector<Plan> plans(command.operations.size());
  for (size_t i = 0; i < plans.size(); ++i) {
    const Rejection refused =
        PlanOperation(command.operations[i], static_cast<uint32_t>(i), &plans[i]);
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

StateMachine::Rejection StateMachine::CheckOptions(const Operation& operation,
                                                   const CollectionConfig& config) {
  if (TakesSalt(operation.kind) && operation.salted != config.erasable) {
    return {Outcome::kOptionsMismatch, 0};
  }
  if (Erases(operation.kind) && !config.erasable) return {Outcome::kNotErasable, 0};
  return {};
}

StateMachine::Rejection StateMachine::PlanOperation(const PreparedOperation& prepared,
                                                    uint32_t ordinal, Plan* plan) {
  const Operation& operation = prepared.operation;
  plan->collection = LiveCollection(operation.collection);
  if (plan->collection == nullptr) return {Outcome::kCollectionNotFound, 0};
  const Rejection unfit = CheckOptions(operation, plan->collection->config());
  if (unfit.outcome != Outcome::kOk) return unfit;
  plan->node = plan->collection->mutable_records().Find(operation.id);
  plan->live = Collection::Live(plan->node);
  const LogIndex version = plan->live != nullptr ? plan->live->born() : 0;
  const Rejection refused = CheckPrecondition(operation, plan->live);
  if (refused.outcome != Outcome::kOk) return refused;
  if (operation.kind == OperationKind::kErase) return CheckHolds(*plan->collection, operation.id);
  if (operation.kind == OperationKind::kInsert && plan->live != nullptr) {
    return {Outcome::kRecordExists, version};
  }
  if (operation.kind == OperationKind::kUpdateAttributes && plan->live == nullptr) {
    return {Outcome::kRecordNotFound, 0};
  }
  return PlanContent(prepared, ordinal, plan);
}

// What depends on content: where that is gone, the log says what came of it.
StateMachine::Rejection StateMachine::PlanContent(const PreparedOperation& prepared,
                                                  uint32_t ordinal, Plan* plan) const {
  const Operation& operation = prepared.operation;
  const bool updates = operation.kind == OperationKind::kUpdateAttributes;
  plan->given = operation.erased || (updates && plan->live->erased());
  if (plan->given) {
    const CommitRecord& commit = logged_->commit;
    const bool refused = updates ? commit.outcome == Outcome::kAttributesTooLarge
                                 : commit.outcome == Outcome::kDimensionMismatch ||
                                       commit.outcome == Outcome::kNotNormalized;
    if (refused && commit.failed_item == ordinal) return {commit.outcome, commit.current};
    return {};
  }
  switch (operation.kind) {
    case OperationKind::kInsert:
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
  if (operation.kind == OperationKind::kDelete || operation.kind == OperationKind::kErase) {
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
  RecordVersion* version = MakeVersion(index, ordinal, prepared, plan, node, &commitment);
  if (plan.given) ++result->given_count;
  RecordVersion* before = node->payload.newest.Get();
  version->older.Set(before);
  // Only now: readers of older indices come through the slot as well, and go on from here.
  if (operation.kind == OperationKind::kUpdateAttributes && !version->erased()) {
    collection->mutable_vectors().SetVersion(version->slot(), version);
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

RecordVersion* StateMachine::MakeVersion(LogIndex index, uint32_t ordinal,
                                         const PreparedOperation& prepared, const Plan& plan,
                                         const RecordNode* node, Hash* commitment) {
  const Operation& operation = prepared.operation;
  const bool updates = operation.kind == OperationKind::kUpdateAttributes;
  if (plan.given) {
    if (updates) {
      const auto logged = given_.find(prepared.key);
      *commitment = logged != given_.end() ? logged->second : kZeroHash;
    }
    ++erased_records_;
    return RecordVersion::MakeErased(index, node, *commitment);
  }
  VectorStore& vectors = plan.collection->mutable_vectors();
  Postings& postings = plan.collection->mutable_postings();
  const Salt* const salt = operation.salted ? &operation.salt : nullptr;
  if (updates) {
    const Slot slot = plan.live->slot();
    const DocumentRef* document = plan.live->document();
    RecordVersion* version =
        RecordVersion::Make(index, node, slot, plan.merged_attributes, document, salt);
    postings.Add(*version, plan.live);
    *commitment = RecordCommitment(
        {operation.id, vectors.Row(slot), plan.merged_attributes, PartOf(document), salt});
    return version;
  }
  const Slot slot = vectors.Add(operation.vector);
  DocumentRef document;
  if (prepared.document_part.has_value()) {
    document = {index, ordinal, static_cast<uint32_t>(operation.document.size()),
                *prepared.document_part};
  }
  RecordVersion* version =
      RecordVersion::Make(index, node, slot, operation.attributes,
                          prepared.document_part.has_value() ? &document : nullptr, salt);
  postings.Add(*version, nullptr);
  vectors.Publish(slot, index, version);
  return version;
}

void StateMachine::Kill(Collection* collection, RecordVersion* version, LogIndex index,
                        bool frees_slot) {
  version->died.Set(index);
  if (version->erased()) {
    frees_slot = false;
    --erased_records_;
  }
  if (frees_slot) collection->mutable_vectors().MarkDied(version->slot(), index);
  dead_.push_back({index, collection, version, nullptr, frees_slot});
}

bool StateMachine::MatchesFilter(const Operation& operation, const Hash& key,
                                 const RecordVersion& version, ApplyResult* result,
                                 bool* unknown) const {
  if (!operation.erased && !version.erased()) {
    return operation.filter.Matches(AttributesView(version.attributes()));
  }
  *unknown = true;
  if (logged_ == nullptr || !given_.contains(key)) return false;
  ++result->given_count;
  return true;
}

// Whether the log says that an erasure met a hold on a record that can be told no more.
bool StateMachine::WasRefused(CommitRecord* commit) const {
  if (logged_ == nullptr || logged_->commit.outcome != Outcome::kHeld) return false;
  commit->outcome = Outcome::kHeld;
  commit->current = logged_->commit.current;
  return true;
}

void StateMachine::DeleteByFilter(LogIndex index, const Operation& operation, ApplyResult* result) {
  CommitRecord& commit = result->commit;
  Collection* collection = LiveCollection(operation.collection);
  if (collection == nullptr) {
    commit.outcome = Outcome::kCollectionNotFound;
    return;
  }
  commit.outcome = CheckOptions(operation, collection->config()).outcome;
  if (commit.outcome != Outcome::kOk) return;
  bool unknown = false;
  const bool erases = Erases(operation.kind);
  std::vector<std::pair<RecordVersion*, Hash>> matching;
  // No postings name what has been erased, and none are known of a filter that has been.
  const bool named = !operation.erased && erased_records_ == 0;
  CandidateRecords candidates(*collection, index, named ? &operation.filter : nullptr);
  while (candidates.Advance()) {
    if (candidates.version() == nullptr) continue;
    const std::string_view id = candidates.version()->id();
    Hash key{};
    if (logged_ != nullptr) key = RecordKey(operation.collection, id);
    if (!MatchesFilter(operation, key, *candidates.version(), result, &unknown)) continue;
    if (matching.size() == operation.limit) {
      commit.more = true;
      break;
    }
    const Rejection held = erases ? CheckHolds(*collection, id) : Rejection{};
    if (held.outcome != Outcome::kOk) {
      commit.outcome = held.outcome;
      commit.current = held.current;
      return;
    }
    if (logged_ == nullptr) key = RecordKey(operation.collection, id);
    matching.emplace_back(collection->mutable_records().Find(id)->payload.newest.Get(), key);
  }
  if (unknown && WasRefused(&commit)) return;
  for (const auto& [version, key] : matching) {
    Kill(collection, version, index, true);
    collection->tree().Remove(key);
    result->effects.push_back({Effect::Kind::kRecord, key, kZeroHash});
    ++commit.deleted_count;
  }
  if (unknown) commit.more = logged_ != nullptr && logged_->commit.more;
  if (commit.deleted_count == 0) return;
  FinishCollection(index, collection, -static_cast<int64_t>(commit.deleted_count), result);
  ComputeStateRoot();
}

}  // namespace stele::index
