#include "index/vector_store.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "index/check.h"
#include "index/kernels.h"

namespace stele::index {
namespace {

uint32_t RowOf(Slot slot) { return static_cast<uint32_t>(slot) % kBlockRows; }
uint32_t BlockOf(Slot slot) { return static_cast<uint32_t>(slot) / kBlockRows; }

unsigned SegmentOf(uint32_t block) { return static_cast<unsigned>(std::bit_width(block + 1)) - 1; }

// Blocks come in areas of 1, 2, 4 and so on, until an area would be larger than this.
constexpr size_t kAreaBytesMax = 16u << 20;

// Rows that begin another mean: 1,024 and then 16 times as many each time.
uint64_t RowsOfEpoch(uint32_t epoch) { return uint64_t{1024} << (4 * (epoch - 1)); }

}  // namespace

VectorStore::VectorStore(uint32_t dimension)
    : dimension_(dimension),
      sums_(dimension),
      scratch_(size_t{GroupCount(dimension)} * kGroupDimensions) {}

VectorStore::~VectorStore() {
  for (auto& segment : segments_) delete[] segment.Get();
  for (auto& mean : means_) delete[] mean.Get();
}

const VectorStore::BlockPointer& VectorStore::BlockCell(uint32_t number) const {
  const unsigned segment = SegmentOf(number);
  return segments_[segment].Get()[number + 1 - (1u << segment)];
}

VectorBlock& VectorStore::MutableBlock(Slot slot) { return *BlockCell(BlockOf(slot)).Get(); }

void VectorStore::ReadRow(Slot slot, std::span<int32_t> vector) const {
  Check(vector.size() == dimension_);
  const VectorBlock& from = block(BlockOf(slot));
  const uint32_t row = RowOf(slot);
  BestKernels().decode(from.planes(row), from.scale(row), dimension_, vector.data());
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
    for (Fresh& fresh = fresh_[width]; fresh.next < fresh.end; ++fresh.next) {
      free_[width].push_back(fresh.next);
    }
  }
}

void VectorStore::AddBlocks(ResidualWidth width) {
  const size_t nibbles = kBlockRows * NibbleBytes(dimension_);
  const size_t residuals = size_t{kBlockRows} * dimension_ * BytesOf(width);
  constexpr size_t kWords = kBlockRows * sizeof(uint32_t);
  // What is read together stands together.
  const size_t coarse_bytes = sizeof(VectorBlock) + 4 * kWords + nibbles;
  const size_t finer_bytes = kWords + nibbles;
  constexpr size_t kLivesBytes = kBlockRows * (2 * sizeof(Cell<LogIndex>) + sizeof(void*));
  const size_t block_bytes = coarse_bytes + finer_bytes + residuals + kLivesBytes;
  Fresh& fresh = fresh_[static_cast<unsigned>(width)];
  const auto blocks_max = static_cast<uint32_t>(std::max<size_t>(1, kAreaBytesMax / block_bytes));
  fresh.blocks = std::clamp(2 * fresh.blocks, 1u, blocks_max);
  char* place = areas_.emplace_back(fresh.blocks * block_bytes).data();
  const auto take = [&place, &fresh](size_t bytes) {
    return std::exchange(place, place + fresh.blocks * bytes);
  };
  char* coarse = take(coarse_bytes);
  char* finer = take(finer_bytes);
  auto* residual = reinterpret_cast<uint8_t*>(take(residuals));
  char* lives = take(kLivesBytes);

  fresh.next = block_count() * kBlockRows;
  fresh.end = fresh.next + fresh.blocks * kBlockRows;
  for (uint32_t i = 0; i < fresh.blocks; ++i) {
    auto* block = new (coarse + i * coarse_bytes) VectorBlock;
    block->dimension = dimension_;
    block->width = width;
    block->epoch = epoch_count() - 1;
    block->mean = Mean(block->epoch);
    char* at = reinterpret_cast<char*>(block + 1);
    block->squared_norms = reinterpret_cast<int64_t*>(at);
    block->steps = reinterpret_cast<uint32_t*>(at + 2 * kWords);
    block->residuals4 = reinterpret_cast<uint32_t*>(at + 3 * kWords);
    block->high_plane = reinterpret_cast<uint8_t*>(at + 4 * kWords);
    at = finer + i * finer_bytes;
    block->residuals8 = reinterpret_cast<uint32_t*>(at);
    block->low_plane = reinterpret_cast<uint8_t*>(at + kWords);
    block->residual_plane = residual + i * residuals;
    block->born = new (lives + i * kLivesBytes) Cell<LogIndex>[kBlockRows];
    block->died = new (block->born + kBlockRows) Cell<LogIndex>[kBlockRows];
    block->versions = new (block->died + kBlockRows) Cell<RecordVersion*>[kBlockRows];
    for (uint32_t row = 0; row < kBlockRows; ++row) {
      block->born[row].Set(kNever);
      block->died[row].Set(kNever);
    }
    const uint32_t number = fresh.next / kBlockRows + i;
    const unsigned segment = SegmentOf(number);
    Check(segment < kSegments);
    if (segments_[segment].Get() == nullptr) {
      segments_[segment].Set(new BlockPointer[size_t{1} << segment]);
    }
    const_cast<BlockPointer&>(BlockCell(number)).Set(block);
  }
  block_count_.Set(block_count() + fresh.blocks);
  bytes_.Set(bytes_.Get() + fresh.blocks * block_bytes);
}

Slot VectorStore::TakeSlot(ResidualWidth width) {
  Fresh& fresh = fresh_[static_cast<unsigned>(width)];
  if (fresh.next == fresh.end) AddBlocks(width);
  return Slot{fresh.next++};
}

void VectorStore::Write(Slot slot, const RowExtent& extent, const RowScale& scale) {
  VectorBlock& block = MutableBlock(slot);
  const uint32_t row = RowOf(slot);
  const RowCode code =
      BestKernels().encode(scratch_.data(), dimension_, extent, scale, block.planes(row));
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
  const RowPlanes planes = block.planes(row);
  std::memset(planes.high, 0, block.nibble_bytes());
  std::memset(planes.low, 0, block.nibble_bytes());
  std::memset(planes.residual, 0, block.residual_bytes());
  free_[static_cast<unsigned>(block.width)].push_back(static_cast<uint32_t>(slot));
}

}  // namespace stele::index
