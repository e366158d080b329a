#include "index/vector_store.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "index/check.h"
#include "index/kernels.h"

namespace stele::index {
namespace {

uint32_t RowOf(Slot slot) { return static_cast<uint32_t>(slot) % kBlockRows; }
uint32_t BlockOf(Slot slot) { return static_cast<uint32_t>(slot) / kBlockRows; }

// Zeroed and 64-byte aligned; the pages of a large block stay untouched until rows are written. The
// allocation's start is kept just before the block.
void* AllocateZeroed(size_t bytes) {
  char* raw = static_cast<char*>(std::calloc(1, bytes + 64 + sizeof(void*)));
  Check(raw != nullptr);
  auto address = reinterpret_cast<uintptr_t>(raw) + sizeof(void*);
  address = (address + 63) & ~uintptr_t{63};
  std::memcpy(reinterpret_cast<void*>(address - sizeof(void*)), &raw, sizeof(raw));
  return reinterpret_cast<void*>(address);
}

void FreeZeroed(void* block) {
  void* raw;
  std::memcpy(&raw, static_cast<char*>(block) - sizeof(raw), sizeof(raw));
  std::free(raw);
}

// Rows that begin another mean: 1,024 and then 16 times as many each time.
uint64_t RowsOfEpoch(uint32_t epoch) { return uint64_t{1024} << (4 * (epoch - 1)); }

}  // namespace

VectorStore::VectorStore(uint32_t dimension)
    : dimension_(dimension),
      sums_(dimension),
      scratch_(size_t{GroupCount(dimension)} * kGroupDimensions) {}

VectorStore::~VectorStore() {
  const uint32_t blocks = block_count();
  for (uint32_t number = 0; number < blocks; ++number) {
    VectorBlock* block = BlockCell(number).Get();
    block->~VectorBlock();
    FreeZeroed(block);
  }
  for (auto& segment : segments_) delete[] segment.Get();
  for (auto& mean : means_) delete[] mean.Get();
}

size_t VectorStore::BlockBytes(ResidualWidth width) const {
  const size_t row = 2 * size_t{GroupCount(dimension_)} * kGroupBytes + dimension_ * BytesOf(width);
  return sizeof(VectorBlock) + kBlockRows * row;
}

const VectorStore::BlockPointer& VectorStore::BlockCell(uint32_t number) const {
  const unsigned segment = static_cast<unsigned>(std::bit_width(number + 1)) - 1;
  return segments_[segment].Get()[number + 1 - (1u << segment)];
}

VectorBlock& VectorStore::MutableBlock(Slot slot) { return *BlockCell(BlockOf(slot)).Get(); }

void VectorStore::ReadRow(Slot slot, std::span<int32_t> vector) const {
  Check(vector.size() == dimension_);
  const VectorBlock& from = block(BlockOf(slot));
  const uint32_t row = RowOf(slot);
  BestKernels().decode(from.row(row), from.scale(row), dimension_, vector.data());
  if (from.mean == nullptr) return;
  for (uint32_t i = 0; i < dimension_; ++i) vector[i] += from.mean[i];
}

std::vector<int32_t> VectorStore::Row(Slot slot) const {
  std::vector<int32_t> vector(dimension_);
  ReadRow(slot, vector);
  return vector;
}

void VectorStore::BeginEpochIfDue() {
  const uint32_t epoch = epoch_count();
  if (epoch == kEpochsMax || rows_added_ < RowsOfEpoch(epoch)) return;
  auto* mean = new int32_t[dimension_];
  for (uint32_t i = 0; i < dimension_; ++i) {
    mean[i] = static_cast<int32_t>(sums_[i] / static_cast<int64_t>(rows_added_));
  }
  means_[epoch].Set(mean);
  epoch_count_.Set(epoch + 1);
  // New rows have the new mean; what is left of the blocks in use is filled before.
  for (unsigned width = 0; width < kResidualWidths; ++width) {
    for (uint32_t& next = next_slot_[width]; next % kBlockRows != 0; ++next) {
      free_[width].push_back(next);
    }
  }
}

void VectorStore::AddBlock(ResidualWidth width) {
  const uint32_t number = block_count();
  const unsigned segment = static_cast<unsigned>(std::bit_width(number + 1)) - 1;
  Check(segment < kSegments);
  if (segments_[segment].Get() == nullptr) {
    segments_[segment].Set(new BlockPointer[size_t{1} << segment]);
  }
  auto* block = new (AllocateZeroed(BlockBytes(width))) VectorBlock;
  block->dimension = dimension_;
  block->width = width;
  block->epoch = epoch_count() - 1;
  block->mean = Mean(block->epoch);
  for (uint32_t row = 0; row < kBlockRows; ++row) {
    block->born[row].Set(kNever);
    block->died[row].Set(kNever);
  }
  const_cast<BlockPointer&>(BlockCell(number)).Set(block);
  block_count_.Set(number + 1);
  bytes_.Set(bytes_.Get() + BlockBytes(width));
  next_slot_[static_cast<unsigned>(width)] = number * kBlockRows;
}

Slot VectorStore::TakeSlot(ResidualWidth width) {
  uint32_t& next = next_slot_[static_cast<unsigned>(width)];
  if (next % kBlockRows == 0) AddBlock(width);
  return Slot{next++};
}

void VectorStore::Write(Slot slot, const RowExtent& extent, const RowScale& scale) {
  VectorBlock& block = MutableBlock(slot);
  const uint32_t row = RowOf(slot);
  const auto writable = [](const void* plane) { return const_cast<void*>(plane); };
  const RowPlanes planes = {static_cast<uint8_t*>(writable(block.high(row))),
                            static_cast<uint8_t*>(writable(block.low(row))),
                            writable(block.residual(row))};
  const RowCode code = BestKernels().encode(scratch_.data(), dimension_, extent, scale, planes);
  block.squared_norms[row] = code.squared_norm;
  block.steps[row] = code.step;
  block.residuals4[row] = code.residual4;
  block.residuals8[row] = code.residual8;
  if (code.norm > block.norm_max.Get()) block.norm_max.Set(code.norm);
}

Slot VectorStore::Add(std::span<const int32_t> vector) {
  Check(vector.size() == dimension_);
  const CenterFunction center = BestKernels().center;
  const auto place = [&](const int32_t* mean, RowExtent* extent) {
    *extent = center(vector.data(), mean, dimension_, scratch_.data());
    return ScaleOf(*extent);
  };
  BeginEpochIfDue();
  ++rows_added_;
  for (uint32_t i = 0; i < dimension_; ++i) sums_[i] += vector[i];

  RowExtent extent;
  RowScale scale = place(Mean(epoch_count() - 1), &extent);
  // A free slot may have another mean, so its residuals may not be wide enough.
  if (auto& free = free_[static_cast<unsigned>(scale.width)]; !free.empty()) {
    const Slot slot{free.back()};
    const VectorBlock& block = MutableBlock(slot);
    scale = place(block.mean, &extent);
    if (scale.width <= block.width) {
      scale.width = block.width;
      free.pop_back();
      Write(slot, extent, scale);
      return slot;
    }
    scale = place(Mean(epoch_count() - 1), &extent);
  }
  const Slot slot = TakeSlot(scale.width);
  Write(slot, extent, scale);
  return slot;
}

void VectorStore::Publish(Slot slot, LogIndex born, RecordVersion* version) {
  VectorBlock& block = MutableBlock(slot);
  block.versions[RowOf(slot)].Set(version);
  block.died[RowOf(slot)].Set(kNever);
  block.born[RowOf(slot)].Set(born);
  if (++block.published_rows < kBlockRows) return;
  LogIndex full_from = 0;
  LogIndex died_min = kNever;
  for (uint32_t row = 0; row < kBlockRows; ++row) {
    full_from = std::max(full_from, block.born[row].Get());
    died_min = std::min(died_min, block.died[row].Get());
  }
  block.died_min.Set(died_min);
  block.full_from.Set(full_from);
}

void VectorStore::SetVersion(Slot slot, RecordVersion* version) {
  MutableBlock(slot).versions[RowOf(slot)].Set(version);
}

void VectorStore::MarkDied(Slot slot, LogIndex died) {
  VectorBlock& block = MutableBlock(slot);
  block.died[RowOf(slot)].Set(died);
  if (died < block.died_min.Get()) block.died_min.Set(died);
}

void VectorStore::Retire(Slot slot) {
  VectorBlock& block = MutableBlock(slot);
  block.full_from.Set(kNever);
  --block.published_rows;
  block.born[RowOf(slot)].Set(kNever);
  block.versions[RowOf(slot)].Set(nullptr);
}

void VectorStore::Recycle(Slot slot) {
  VectorBlock& block = MutableBlock(slot);
  const uint32_t row = RowOf(slot);
  const auto zero = [](const void* plane, size_t bytes) {
    std::memset(const_cast<void*>(plane), 0, bytes);
  };
  zero(block.high(row), block.nibble_bytes());
  zero(block.low(row), block.nibble_bytes());
  zero(block.residual(row), block.residual_bytes());
  free_[static_cast<unsigned>(block.width)].push_back(static_cast<uint32_t>(slot));
}

}  // namespace stele::index
