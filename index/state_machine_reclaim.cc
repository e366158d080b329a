// How the state machine gives memory back: what died at or before the horizon is unlinked, so that
// no new reader meets it, and freed once the readers that might have met it are gone.
#include "index/check.h"
#include "index/state_machine.h"

namespace stele::index {

StateMachine::~StateMachine() {
  std::vector<std::unique_ptr<Collection>> garbage;
  for (const Limbo& limbo : limbo_) Free(limbo, &garbage);
  for (auto* node = collections_.First(); node != nullptr; node = node->Next()) {
    for (Collection* collection = node->payload.newest.Get(); collection != nullptr;) {
      Collection* older = collection->older.Get();
      delete collection;
      collection = older;
    }
  }
}

void StateMachine::Reclaim(LogIndex horizon, LogIndex oldest_reader, size_t steps_max,
                           std::vector<std::unique_ptr<Collection>>* garbage) {
  size_t steps = 0;
  for (; !limbo_.empty() && limbo_.front().unlinked <= oldest_reader && steps < steps_max;
       ++steps) {
    RemovePostings(limbo_.front().dead);
    Free(limbo_.front(), garbage);
    limbo_.pop_front();
  }
  for (; !dead_.empty() && dead_.front().died <= horizon && steps < steps_max; ++steps) {
    limbo_.push_back(Unlink(dead_.front()));
    dead_.pop_front();
  }
}

LogIndex StateMachine::oldest_dead() const {
  for (const Limbo& limbo : limbo_) {
    if (limbo.dead.collection != nullptr) return limbo.dead.died;
  }
  return dead_.empty() ? kNever : dead_.front().died;
}

// Whatever is unlinked is the oldest of its chain: things die in the order of the chain.
StateMachine::Limbo StateMachine::Unlink(const Dead& dead) {
  // Readers that begin now begin at an index below next_index_.
  Limbo limbo;
  limbo.unlinked = next_index_;
  limbo.dead = dead;
  if (RecordVersion* version = dead.version; version != nullptr) {
    Check(version->older.Get() == nullptr);
    if (dead.frees_slot) dead.collection->mutable_vectors().Retire(version->slot());
    if (version->newer != nullptr) {
      version->newer->older.Set(nullptr);
    } else {
      limbo.record_node = dead.collection->mutable_records().Find(version->id());
      Check(limbo.record_node != nullptr && limbo.record_node->payload.newest.Get() == version);
      dead.collection->mutable_records().Unlink(limbo.record_node);
    }
  } else if (dead.stats != nullptr) {
    dead.stats->newer->older.Set(nullptr);
  } else if (dead.collection->newer != nullptr) {
    dead.collection->newer->older.Set(nullptr);
  } else {
    limbo.collection_node = collections_.Find(dead.collection->name());
    Check(limbo.collection_node != nullptr);
    collections_.Unlink(limbo.collection_node);
  }
  return limbo;
}

void StateMachine::RemovePostings(const Dead& dead) {
  if (dead.version == nullptr || dead.version->erased()) return;
  std::vector<Postings::Garbage> garbage;
  dead.collection->mutable_postings().Remove(*dead.version, &garbage);
  for (const Postings::Garbage& piece : garbage) {
    Limbo limbo;
    limbo.unlinked = next_index_;
    limbo.postings = piece;
    limbo_.push_back(limbo);
  }
}

void StateMachine::Free(const Limbo& limbo, std::vector<std::unique_ptr<Collection>>* garbage) {
  const Dead& dead = limbo.dead;
  if (dead.version != nullptr) {
    if (dead.frees_slot) dead.collection->mutable_vectors().Recycle(dead.version->slot());
    RecordVersion::Free(dead.version);
    if (limbo.record_node != nullptr) RecordMap::Free(limbo.record_node);
  } else if (dead.stats != nullptr) {
    delete dead.stats;
  } else if (dead.collection == nullptr) {
    limbo.postings.Free();
  } else {
    garbage->emplace_back(dead.collection);
    if (limbo.collection_node != nullptr) CollectionMap::Free(limbo.collection_node);
  }
}

uint64_t StateMachine::hash_count() const {
  uint64_t count = collections_tree_.hash_count();
  for (const auto* node = collections_.First(); node != nullptr; node = node->Next()) {
    for (Collection* collection = node->payload.newest.Get(); collection != nullptr;
         collection = collection->older.Get()) {
      count += collection->tree().hash_count();
    }
  }
  return count;
}

size_t StateMachine::MemoryBytes() const {
  size_t bytes = sizeof(*this) + requests_.memory_bytes() + collections_tree_.memory_bytes();
  for (const auto* node = collections_.First(); node != nullptr; node = node->Next()) {
    bytes += node->memory_bytes();
    for (const Collection* collection = node->payload.newest.Get(); collection != nullptr;
         collection = collection->older.Get()) {
      bytes += sizeof(Collection) + collection->MemoryBytes();
    }
  }
  return bytes;
}

}  // namespace stele::index
