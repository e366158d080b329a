// The vectors of a collection: append-only blocks of 64 rows whose places never move, written by
// one writer and scanned by any number of readers without locks.
//
// A slot is visible at n iff born <= n < died. Slots of dead rows are emptied and used again only
// after the caller has seen every reader leave that could still see them.
//
// Invariants: a row's components are written before its `born`; an empty slot has born = kNever.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/cell.h"
#include "index/record.h"
#include "index/types.h"

namespace stele::index {

inline constexpr uint32_t kBlockRows = 64;

// 64 rows and what a scan must know of them. The components follow the object, 64-byte aligned.
struct alignas(64) VectorBlock {
  Cell<LogIndex> born[kBlockRows];
  Cell<LogIndex> died[kBlockRows];
  // Newest version that uses the slot.
  Cell<RecordVersion*> versions[kBlockRows];

  const int32_t* components() const { return reinterpret_cast<const int32_t*>(this + 1); }
  int32_t* components() { return reinterpret_cast<int32_t*>(this + 1); }
};

class VectorStore {
 public:
  explicit VectorStore(uint32_t dimension) : dimension_(dimension) {}
  VectorStore(const VectorStore&) = delete;
  VectorStore& operator=(const VectorStore&) = delete;
  ~VectorStore();

  uint32_t dimension() const { return dimension_; }
  // Blocks that hold, or have held, rows. Readers may see it grow.
  uint32_t block_count() const { return (slot_count_.Get() + kBlockRows - 1) / kBlockRows; }
  const VectorBlock& block(uint32_t number) const { return *BlockCell(number).Get(); }
  std::span<const int32_t> Row(Slot slot) const;
  size_t memory_bytes() const;

  // Writer only. Takes a free slot and fills it; readers do not see it before Publish.
  Slot Add(std::span<const int32_t> vector);
  // Writer only. Names the newest version of the slot, and makes it visible from `born` on.
  void Publish(Slot slot, LogIndex born, RecordVersion* version);
  void SetVersion(Slot slot, RecordVersion* version);
  void MarkDied(Slot slot, LogIndex died);
  // Writer only. No reader can see the row any more: it will not be visible to any later one.
  void Retire(Slot slot);
  // Writer only, after readers have drained since Retire: the row is zeroed and may be used again.
  void Recycle(Slot slot);

 private:
  // Segment s holds 2^s blocks, so the directory is small, never moves and never is full.
  static constexpr unsigned kSegments = 26;
  using BlockPointer = Cell<VectorBlock*>;

  const BlockPointer& BlockCell(uint32_t number) const;
  VectorBlock& MutableBlock(Slot slot);
  size_t BlockBytes() const;

  uint32_t dimension_;
  Cell<BlockPointer*> segments_[kSegments];
  Cell<uint32_t> slot_count_{0};
  std::vector<uint32_t> free_;
};

}  // namespace stele::index
