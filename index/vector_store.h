// The vectors of a collection: append-only blocks of 64 rows whose places never move, written by
// one writer and scanned by any number of readers without locks.
//
// A slot is visible at n iff born <= n < died. Slots of dead rows are emptied and used again only
// after the caller has seen every reader leave that could still see them.
//
// Rows lie in planes (planes.h), as differences from a mean. Means are taken now and then from what
// was stored so far, and hold for the blocks that begin afterwards; rows are never coded again.
// Blocks, means and slots are plan data: nothing that is hashed or answered depends on them.
//
// Invariants: a row's components are written before its `born`; an empty slot has born = kNever.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/area.h"
#include "index/cell.h"
#include "index/planes.h"
#include "index/record.h"
#include "index/types.h"

namespace stele::index {

inline constexpr uint32_t kBlockRows = 64;

// 64 rows and what a scan must know of them. What the first reading of a scan needs follows it in
// memory, up to the HIGH plane, and then comes the next block: a scan reads memory from one end to
// the other. The rest lies elsewhere.
struct alignas(64) VectorBlock {
  // If died_min > n >= full_from, all 64 rows are visible at n; to be read in this order.
  Cell<LogIndex> died_min{kNever};
  Cell<LogIndex> full_from{kNever};
  // At least the norm of every visible row.
  Cell<uint32_t> norm_max{0};
  uint32_t dimension = 0;
  uint32_t epoch = 0;  // number of the mean
  ResidualWidth width = ResidualWidth::k1;
  uint8_t published_rows = 0;     // writer only
  const int32_t* mean = nullptr;  // null: zero
  int64_t* squared_norms = nullptr;
  uint32_t* steps = nullptr;
  uint32_t* residuals4 = nullptr;
  uint32_t* residuals8 = nullptr;
  uint8_t* high_plane = nullptr;
  uint8_t* low_plane = nullptr;
  uint8_t* residual_plane = nullptr;
  Cell<LogIndex>* born = nullptr;
  Cell<LogIndex>* died = nullptr;
  // Newest version that uses the slot.
  Cell<RecordVersion*>* versions = nullptr;

  size_t nibble_bytes() const { return NibbleBytes(dimension); }
  size_t residual_bytes() const { return dimension * BytesOf(width); }
  const uint8_t* high(uint32_t row) const { return high_plane + row * nibble_bytes(); }
  const uint8_t* low(uint32_t row) const { return low_plane + row * nibble_bytes(); }
  RowPlanes planes(uint32_t row) {
    return {high_plane + row * nibble_bytes(), low_plane + row * nibble_bytes(),
            residual_plane + row * residual_bytes()};
  }
  ConstRowPlanes planes(uint32_t row) const {
    return {high(row), low(row), residual_plane + row * residual_bytes()};
  }
  RowScale scale(uint32_t row) const { return {steps[row], width}; }
  // Its 4-bit residual is left out, and its norm is at most the one given.
  RowCode code(uint32_t row) const {
    return {squared_norms[row], steps[row], 0, residuals8[row], norm_max.Get()};
  }
};

class VectorStore {
 public:
  explicit VectorStore(uint32_t dimension);
  VectorStore(const VectorStore&) = delete;
  VectorStore& operator=(const VectorStore&) = delete;
  ~VectorStore();

  uint32_t dimension() const { return dimension_; }
  // Blocks that hold, or have held, rows. Readers may see it grow.
  uint32_t block_count() const { return block_count_.Get(); }
  const VectorBlock& block(uint32_t number) const { return *BlockCell(number).Get(); }
  // The stored components, exactly.
  void ReadRow(Slot slot, std::span<int32_t> vector) const;
  std::vector<int32_t> Row(Slot slot) const;
  // Means that blocks may name: epoch e < epoch_count() has Mean(e), null for zero.
  uint32_t epoch_count() const { return epoch_count_.Get(); }
  const int32_t* Mean(uint32_t epoch) const { return means_[epoch].Get(); }
  size_t memory_bytes() const { return bytes_.Get(); }

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
  static constexpr uint32_t kEpochsMax = 7;
  using BlockPointer = Cell<VectorBlock*>;

  const BlockPointer& BlockCell(uint32_t number) const;
  VectorBlock& MutableBlock(Slot slot);
  void AddBlocks(ResidualWidth width);
  void BeginEpochIfDue();
  Slot TakeSlot(ResidualWidth width);
  void Write(Slot slot, const RowExtent& extent, const RowScale& scale);

  uint32_t dimension_;
  Cell<BlockPointer*> segments_[kSegments];
  Cell<uint32_t> block_count_{0};
  Cell<uint64_t> bytes_{0};
  Cell<const int32_t*> means_[kEpochsMax];
  Cell<uint32_t> epoch_count_{1};

  // Writer only.
  std::vector<uint32_t> free_[kResidualWidths];
  // Slots of the newest blocks of each width that were never used.
  struct Fresh {
    uint32_t next = 0;
    uint32_t end = 0;
    uint32_t blocks = 0;  // how many there were at first
  };
  Fresh fresh_[kResidualWidths];
  std::vector<Area> areas_;
  uint64_t rows_added_ = 0;
  std::vector<int64_t> sums_;     // of all rows added
  std::vector<int32_t> scratch_;  // one row less its mean
};

}  // namespace stele::index
