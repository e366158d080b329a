// Erasure in the state: which entries marked content for destruction, and how entries are applied
// again once it is gone.
#include <algorithm>

#include "index/check.h"
#include "index/state_machine.h"

namespace stele::index {

bool StateMachine::MeetsErased(const Command& command) const {
  return erased_records_ > 0 ||
         std::any_of(command.operations.begin(), command.operations.end(),
                     [](const auto& prepared) { return prepared.operation.erased; });
}

ApplyResult StateMachine::Replay(LogIndex index, const Command& command,
                                 const LoggedResult& logged) {
  logged_ = &logged;
  for (const Effect& effect : logged.effects) {
    if (effect.kind == Effect::Kind::kRecord) given_[effect.key] = effect.value;
  }
  ApplyResult result = Apply(index, command);
  logged_ = nullptr;
  given_.clear();
  return result;
}

StateMachine::Rejection StateMachine::CheckHolds(const Collection& collection,
                                                 std::string_view id) {
  const Hold* hold = FindHold(collection.newest_stats()->holds.get(), id);
  if (hold == nullptr) return {};
  return {Outcome::kHeld, hold->index};
}

void StateMachine::SetHold(LogIndex index, const Operation& operation, ApplyResult* result) {
  CommitRecord& commit = result->commit;
  Collection* collection = LiveCollection(operation.collection);
  if (collection == nullptr) {
    commit.outcome = Outcome::kCollectionNotFound;
    return;
  }
  const HoldsPointer before = collection->stats()->holds;
  Holds holds = before != nullptr ? *before : Holds();
  const auto place = holds.find(operation.hold);
  if (operation.kind == OperationKind::kReleaseHold) {
    if (place == holds.end()) {
      commit.outcome = Outcome::kHoldNotFound;
      return;
    }
    holds.erase(place);
  } else {
    if (place != holds.end()) {
      commit.outcome = Outcome::kHoldExists;
      commit.current = place->second.index;
      return;
    }
    if (holds.size() == kHoldsMax) {
      commit.outcome = Outcome::kTooManyHolds;
      return;
    }
    holds[operation.hold] = {index, operation.reason, operation.ids};
  }
  FinishCollection(index, collection, 0,
                   holds.empty() ? nullptr : std::make_shared<const Holds>(std::move(holds)),
                   result);
  ComputeStateRoot();
}

void StateMachine::NoteErasure(LogIndex index, const Command& command, const CommitRecord& commit) {
  if (commit.outcome != Outcome::kOk) return;
  const OperationKind first = command.operations.front().operation.kind;
  if (first == OperationKind::kErasureCompleted) {
    std::erase(pending_erasures_, command.operations.front().operation.index);
    return;
  }
  const bool erases =
      std::any_of(command.operations.begin(), command.operations.end(),
                  [](const auto& prepared) { return Erases(prepared.operation.kind); });
  if (!erases) return;
  pending_erasures_.push_back(index);
  newest_erasure_ = index;
}

}  // namespace stele::index
