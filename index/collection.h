// One incarnation of a collection: its records, their vectors and the tree over their commitments.
// Changed only by StateMachine (and by a snapshot's loading); read by any number of threads at a
// log index n that they hold against reclaiming.
//
// It does not rank, does not hash states together and does not know the log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "index/cell.h"
#include "index/command.h"
#include "index/holds.h"
#include "index/postings.h"
#include "index/record.h"
#include "index/sparse_tree.h"
#include "index/vector_store.h"

namespace stele::index {

// The numbers of a collection after one entry; a chain, newest first, so that readers of older
// indices find theirs.
struct CollectionStats {
  LogIndex index = 0;  // the entry that made them
  uint64_t record_count = 0;
  LogIndex state_index = 0;
  Hash records_root{};
  HoldsPointer holds;  // null: none
  Cell<CollectionStats*> older{nullptr};
  CollectionStats* newer = nullptr;  // writer only
};

class Collection {
 public:
  Collection(std::string name, CollectionConfig config, LogIndex born, uint64_t seed);
  ~Collection();
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;

  const std::string& name() const { return name_; }
  const CollectionConfig& config() const { return config_; }
  // The entry that created it.
  LogIndex born() const { return born_; }
  bool VisibleAt(LogIndex n) const { return born_ <= n && n < died.Get(); }

  // Readers.
  const RecordMap& records() const { return records_; }
  const VectorStore& vectors() const { return vectors_; }
  const Postings& postings() const { return postings_; }
  const RecordVersion* Find(std::string_view id, LogIndex n) const;
  // REQUIRES: visible at n.
  const CollectionStats& StatsAt(LogIndex n) const;
  // Bytes in memory: everything but the object itself. Counted over the whole collection, so not
  // for every request.
  size_t MemoryBytes() const;

  // Writer only, from here on.
  // The newest version of a record if it is alive, else null. `node` may be null.
  static RecordVersion* Live(const RecordNode* node);
  RecordMap& mutable_records() { return records_; }
  VectorStore& mutable_vectors() { return vectors_; }
  Postings& mutable_postings() { return postings_; }
  SparseTree& tree() { return tree_; }
  const SparseTree& tree() const { return tree_; }
  CollectionStats* stats() { return stats_.Get(); }
  const CollectionStats* newest_stats() const { return stats_.Get(); }
  // Makes new numbers the newest; gives back those that they replace, or null.
  CollectionStats* PushStats(CollectionStats* stats);
  // The collection's value in the tree of collections. REQUIRES: stats() are those of the tree.
  Hash ValueHash();
  // HoldsHash of those in stats(); nothing where there are none.
  std::optional<Hash> HoldsValue() const;

  Cell<LogIndex> died{kNever};
  // The incarnation of the same name before this one.
  Cell<Collection*> older{nullptr};
  Collection* newer = nullptr;  // writer only

 private:
  const std::string name_;
  const CollectionConfig config_;
  const LogIndex born_;
  RecordMap records_;
  VectorStore vectors_;
  Postings postings_;
  SparseTree tree_;
  Cell<CollectionStats*> stats_{nullptr};
};

}  // namespace stele::index
