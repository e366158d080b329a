#include "index/collection.h"

#include "index/check.h"

namespace stele::index {

Collection::Collection(std::string name, CollectionConfig config, LogIndex born, uint64_t seed)
    : name_(std::move(name)),
      config_(std::move(config)),
      born_(born),
      records_(seed),
      vectors_(config_.dimension),
      postings_(seed) {}

Collection::~Collection() {
  for (RecordNode* node = records_.First(); node != nullptr; node = node->Next()) {
    for (RecordVersion* version = node->payload.newest.Get(); version != nullptr;) {
      RecordVersion* older_version = version->older.Get();
      RecordVersion::Free(version);
      version = older_version;
    }
  }
  for (CollectionStats* stats = stats_.Get(); stats != nullptr;) {
    CollectionStats* older_stats = stats->older.Get();
    delete stats;
    stats = older_stats;
  }
}

const RecordVersion* Collection::Find(std::string_view id, LogIndex n) const {
  const RecordNode* node = records_.Find(id);
  return node == nullptr ? nullptr : FindVisible(node->payload.newest.Get(), n);
}

RecordVersion* Collection::Live(const RecordNode* node) {
  if (node == nullptr) return nullptr;
  RecordVersion* newest = node->payload.newest.Get();
  return newest != nullptr && newest->died.Get() == kNever ? newest : nullptr;
}

const CollectionStats& Collection::StatsAt(LogIndex n) const {
  const CollectionStats* stats = stats_.Get();
  while (stats != nullptr && stats->index > n) stats = stats->older.Get();
  Check(stats != nullptr);
  return *stats;
}

CollectionStats* Collection::PushStats(CollectionStats* stats) {
  CollectionStats* replaced = stats_.Get();
  stats->older.Set(replaced);
  if (replaced != nullptr) replaced->newer = stats;
  stats_.Set(stats);
  return replaced;
}

Hash Collection::ValueHash() { return CollectionValue(config_, tree_.Root(), HoldsValue()); }

std::optional<Hash> Collection::HoldsValue() const {
  const CollectionStats* newest = stats_.Get();
  if (newest == nullptr || newest->holds == nullptr) return std::nullopt;
  return HoldsHash(*newest->holds);
}

size_t Collection::MemoryBytes() const {
  size_t bytes = vectors_.memory_bytes() + tree_.memory_bytes() + postings_.memory_bytes();
  for (const RecordNode* node = records_.First(); node != nullptr; node = node->Next()) {
    bytes += node->memory_bytes();
    for (const RecordVersion* version = node->payload.newest.Get(); version != nullptr;
         version = version->older.Get()) {
      bytes += version->memory_bytes();
    }
  }
  return bytes;
}

}  // namespace stele::index
