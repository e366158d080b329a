#include "index/candidates.h"

#include <algorithm>

namespace stele::index {
CandidateRecords::CandidateRecords(const Collection& collection, LogIndex n, const Filter* filter,
                                   std::string_view from)
    : collection_(collection), n_(n) {
  const uint64_t slots = uint64_t{collection.vectors().block_count()} * kBlockRows;
  narrowed_ = collection.postings().Narrows(filter, slots);
  if (narrowed_) {
    Collect(*filter, from);
  } else {
    node_ = collection.records().Seek(from);
  }
}

void CandidateRecords::Collect(const Filter& filter, std::string_view from) {
  const VectorStore& vectors = collection_.vectors();
  collection_.postings().ForEachSlot(filter, [&](Slot slot) {
    const auto number = static_cast<uint32_t>(slot);
    // Slots that came after this began are of entries beyond n.
    if (number / kBlockRows >= vectors.block_count()) return;
    const VectorBlock& block = vectors.block(number / kBlockRows);
    const uint32_t row = number % kBlockRows;
    if (block.born[row].Get() > n_ || n_ >= block.died[row].Get()) return;
    const RecordVersion* version = FindVisible(block.versions[row].Get(), n_);
    if (version->id() >= from) found_.push_back(version);
  });
  const auto by_id = [](const RecordVersion* a, const RecordVersion* b) {
    return a->id() < b->id();
  };
  std::sort(found_.begin(), found_.end(), by_id);
  // A slot may have been named more than once.
  found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
}

bool CandidateRecords::Advance() {
  if (narrowed_) {
    if (next_ == found_.size()) return false;
    version_ = found_[next_++];
    return true;
  }
  if (node_ == nullptr) return false;
  version_ = FindVisible(node_->payload.newest.Get(), n_);
  node_ = node_->Next();
  return true;
}

}  // namespace stele::index
