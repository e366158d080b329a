// Which rows of a collection may carry an attribute's value: for every value a list of slots, kept
// as records are written, so that a selective filter looks at few rows instead of all.
//
// Lists name at least the rows that match, at every index that a reader may hold; they may name
// more (rows that changed since, or were never meant). Whoever uses them applies the filter itself.
// Postings are derived data: they are in no hash and no file.
//
// Values are indexed for equality, and the elements of lists for containment. Order, absence and
// negation are not.
//
// Thread safety: one writer, any number of readers. What the writer takes out is handed back as
// garbage, to be freed once no reader that might have met it is left.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/cell.h"
#include "index/filter.h"
#include "index/record.h"
#include "index/skip_list.h"
#include "index/types.h"

namespace stele::index {

// Slots, in the order in which they came. Append-only.
class SlotList {
 public:
  SlotList() = default;
  SlotList(const SlotList&) = delete;
  SlotList& operator=(const SlotList&) = delete;
  ~SlotList();

  uint32_t size() const { return size_.Get(); }
  // visit(slot) for each.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    const uint32_t count = size();
    for (uint32_t i = 0; i < count && i < kInline; ++i) visit(Slot{inline_[i]});
    const Chunk* chunk = count > kInline ? first_.Get() : nullptr;
    for (uint32_t done = kInline; done < count;
         done += chunk->capacity, chunk = chunk->next.Get()) {
      for (uint32_t i = 0; i < chunk->capacity && done + i < count; ++i) {
        visit(Slot{chunk->slots()[i]});
      }
    }
  }
  size_t memory_bytes() const;

  // Writer only.
  void Append(Slot slot);
  // One entry of each of these slots, the earliest, has no version behind it any more.
  std::vector<Slot> removed;

 private:
  static constexpr uint32_t kInline = 2;
  // The slots follow the object.
  struct Chunk {
    Cell<Chunk*> next{nullptr};
    uint32_t capacity = 0;
    uint32_t* slots() { return reinterpret_cast<uint32_t*>(this + 1); }
    const uint32_t* slots() const { return reinterpret_cast<const uint32_t*>(this + 1); }
  };

  Cell<uint32_t> size_{0};
  uint32_t inline_[kInline] = {};
  Cell<Chunk*> first_{nullptr};
  Chunk* last_ = nullptr;
  uint32_t last_used_ = 0;
};

class Postings {
 public:
  struct Term {
    Cell<SlotList*> slots{nullptr};
  };
  using TermMap = SkipList<Term>;
  // A list, and the node that named it if nothing is left of it.
  struct Garbage {
    SlotList* slots = nullptr;
    TermMap::Node* node = nullptr;
    void Free() const;
  };

  explicit Postings(uint64_t seed) : terms_(seed) {}
  ~Postings();
  Postings(const Postings&) = delete;
  Postings& operator=(const Postings&) = delete;

  // How many slots `filter` can match at most, if the postings can tell. Not exact.
  std::optional<uint64_t> EstimateRows(const Filter& filter) const;
  // Whether `filter`, which may be null, can match so few of `slot_count` slots that it pays to
  // look only at those that the postings name.
  bool Narrows(const Filter* filter, uint64_t slot_count) const;
  // visit(slot) for each of them, in no order, some perhaps more than once.
  // REQUIRES: EstimateRows(filter) has a value.
  template <typename Visit>
  void ForEachSlot(const Filter& filter, Visit&& visit) const {
    std::vector<const SlotList*> lists;
    Collect(filter, &lists);
    for (const SlotList* slots : lists) slots->ForEach(visit);
  }
  // The same as a bit mask for each block of 64; slots beyond the blocks are left out.
  // REQUIRES: EstimateRows(filter) has a value.
  std::vector<uint64_t> Candidates(const Filter& filter, uint32_t block_count) const;
  size_t memory_bytes() const;

  // Writer only. `version` is about to become visible; `before` is the version before it if that
  // has the same slot, else null.
  void Add(const RecordVersion& version, const RecordVersion* before);
  // Writer only. `version` is about to be freed.
  void Remove(const RecordVersion& version, std::vector<Garbage>* garbage);

 private:
  const SlotList* Find(const std::string& term) const;
  void Collect(const Filter& filter, std::vector<const SlotList*>* lists) const;

  TermMap terms_;
};

}  // namespace stele::index
