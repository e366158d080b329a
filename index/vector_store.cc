#include "index/vector_store.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "index/check.h"

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

}  // namespace

VectorStore::~VectorStore() {
  const uint32_t blocks = block_count();
  for (uint32_t number = 0; number < blocks; ++number) {
    VectorBlock* block = BlockCell(number).Get();
    block->~VectorBlock();
    FreeZeroed(block);
  }
  for (auto& segment : segments_) delete[] segment.Get();
}

size_t VectorStore::BlockBytes() const {
  return sizeof(VectorBlock) + size_t{kBlockRows} * dimension_ * sizeof(int32_t);
}

const VectorStore::BlockPointer& VectorStore::BlockCell(uint32_t number) const {
  const unsigned segment = static_cast<unsigned>(std::bit_width(number + 1)) - 1;
  return segments_[segment].Get()[number + 1 - (1u << segment)];
}

VectorBlock& VectorStore::MutableBlock(Slot slot) { return *BlockCell(BlockOf(slot)).Get(); }

std::span<const int32_t> VectorStore::Row(Slot slot) const {
  return {block(BlockOf(slot)).components() + size_t{RowOf(slot)} * dimension_, dimension_};
}

size_t VectorStore::memory_bytes() const {
  return block_count() * BlockBytes() + free_.capacity() * sizeof(uint32_t);
}

Slot VectorStore::Add(std::span<const int32_t> vector) {
  Check(vector.size() == dimension_);
  Slot slot;
  if (!free_.empty()) {
    slot = Slot{free_.back()};
    free_.pop_back();
  } else {
    slot = Slot{slot_count_.Get()};
    if (RowOf(slot) == 0) {
      const uint32_t number = BlockOf(slot);
      const unsigned segment = static_cast<unsigned>(std::bit_width(number + 1)) - 1;
      Check(segment < kSegments);
      if (segments_[segment].Get() == nullptr) {
        segments_[segment].Set(new BlockPointer[size_t{1} << segment]);
      }
      auto* block = new (AllocateZeroed(BlockBytes())) VectorBlock;
      for (uint32_t row = 0; row < kBlockRows; ++row) {
        block->born[row].Set(kNever);
        block->died[row].Set(kNever);
      }
      const_cast<BlockPointer&>(BlockCell(number)).Set(block);
    }
    slot_count_.Set(slot_count_.Get() + 1);
  }
  int32_t* row = MutableBlock(slot).components() + size_t{RowOf(slot)} * dimension_;
  std::memcpy(row, vector.data(), vector.size_bytes());
  return slot;
}

void VectorStore::Publish(Slot slot, LogIndex born, RecordVersion* version) {
  VectorBlock& block = MutableBlock(slot);
  block.versions[RowOf(slot)].Set(version);
  block.died[RowOf(slot)].Set(kNever);
  block.born[RowOf(slot)].Set(born);
}

void VectorStore::SetVersion(Slot slot, RecordVersion* version) {
  MutableBlock(slot).versions[RowOf(slot)].Set(version);
}

void VectorStore::MarkDied(Slot slot, LogIndex died) {
  MutableBlock(slot).died[RowOf(slot)].Set(died);
}

void VectorStore::Retire(Slot slot) {
  MutableBlock(slot).born[RowOf(slot)].Set(kNever);
  MutableBlock(slot).versions[RowOf(slot)].Set(nullptr);
}

void VectorStore::Recycle(Slot slot) {
  int32_t* row = MutableBlock(slot).components() + size_t{RowOf(slot)} * dimension_;
  std::memset(row, 0, size_t{dimension_} * sizeof(int32_t));
  free_.push_back(static_cast<uint32_t>(slot));
}

}  // namespace stele::index
