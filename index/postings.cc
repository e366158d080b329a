#include "index/postings.h"

#include <algorithm>
#include <iterator>
#include <new>

namespace stele::index {
namespace {

// Longer lists are not indexed by element, so that a record costs a bounded number of terms; rows
// that have one are in a list of their own.
constexpr size_t kElementsMax = 64;
constexpr std::string_view kLongList = "long list";
// A list is written anew when it has so many dead entries, and as many of them as living ones.
constexpr size_t kRemovedMin = 32;
// Of postings that may name more than one slot in so many, looking at what they name does not pay.
constexpr uint64_t kNarrowsFrom = 8;

// Equal values have equal terms, whatever their types; collisions do no harm.
std::string TermOf(std::string_view attribute, std::string_view kind, ValueView value) {
  Encoder encoder;
  encoder.Sized(attribute).Sized(kind);
  if (const std::optional<int64_t> integer = IntegerOf(value); integer.has_value()) {
    encoder.U8(static_cast<uint8_t>(ValueType::kInt64)).I64(*integer);
  } else {
    encoder.U8(static_cast<uint8_t>(value.type)).Raw(value.payload);
  }
  const XXH128_hash_t hash = XXH3_128bits(encoder.bytes().data(), encoder.bytes().size());
  return Encoder().U64(hash.low64).U64(hash.high64).Take();
}

constexpr std::string_view kWhole = "value";
constexpr std::string_view kElement = "element";

std::vector<std::string> TermsOf(std::string_view attributes) {
  std::vector<std::string> terms;
  AttributesView(attributes)
      .ForEach([&](std::string_view name, std::string_view encoded, std::string_view) {
        Decoder decoder(encoded);
        const ValueView value = DecodeValue(decoder);
        if (value.type != ValueType::kList) {
          terms.push_back(TermOf(name, kWhole, value));
          return;
        }
        const std::vector<ValueView> elements = ElementsOf(value);
        if (elements.size() > kElementsMax) {
          terms.push_back(TermOf(name, kLongList, {ValueType::kBool, {}}));
          return;
        }
        for (const ValueView element : elements) terms.push_back(TermOf(name, kElement, element));
      });
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  return terms;
}

// The terms whose rows a condition can match; nothing where the postings cannot tell.
std::optional<std::vector<std::string>> TermsOf(const Filter& condition) {
  const bool contains = condition.test == Filter::Test::kContains;
  if (!contains && condition.test != Filter::Test::kEquals &&
      condition.test != Filter::Test::kOneOf) {
    return std::nullopt;
  }
  std::vector<std::string> terms;
  for (const std::string& literal : condition.literals) {
    Decoder decoder(literal);
    terms.push_back(
        TermOf(condition.attribute, contains ? kElement : kWhole, DecodeValue(decoder)));
  }
  if (contains) terms.push_back(TermOf(condition.attribute, kLongList, {ValueType::kBool, {}}));
  return terms;
}

// The terms of a, without those of b.
std::vector<std::string> Without(const std::vector<std::string>& a, const RecordVersion* b) {
  if (b == nullptr) return a;
  const std::vector<std::string> others = TermsOf(b->attributes());
  std::vector<std::string> left;
  std::set_difference(a.begin(), a.end(), others.begin(), others.end(), std::back_inserter(left));
  return left;
}

// Without the entries that were removed.
SlotList* Compacted(const SlotList& slots) {
  std::vector<Slot> removed = slots.removed;
  std::sort(removed.begin(), removed.end());
  std::vector<uint32_t> left(removed.size(), 1);
  auto* compacted = new SlotList;
  slots.ForEach([&](Slot slot) {
    // Of several removals of one slot each takes an entry.
    auto place = std::lower_bound(removed.begin(), removed.end(), slot);
    for (; place != removed.end() && *place == slot; ++place) {
      uint32_t& takes = left[static_cast<size_t>(place - removed.begin())];
      if (takes > 0) {
        --takes;
        return;
      }
    }
    compacted->Append(slot);
  });
  return compacted;
}

}  // namespace

SlotList::~SlotList() {
  for (Chunk* chunk = first_.Get(); chunk != nullptr;) {
    Chunk* next = chunk->next.Get();
    ::operator delete(chunk);
    chunk = next;
  }
}

void SlotList::Append(Slot slot) {
  const uint32_t count = size();
  const auto number = static_cast<uint32_t>(slot);
  if (count < kInline) {
    inline_[count] = number;
  } else {
    if (last_ == nullptr || last_used_ == last_->capacity) {
      // Each chunk is as large as everything before it, up to a page.
      const uint32_t capacity = std::min(count + 2, 1024u);
      void* memory = ::operator new(sizeof(Chunk) + capacity * sizeof(uint32_t));
      auto* chunk = new (memory) Chunk;
      chunk->capacity = capacity;
      (last_ == nullptr ? first_ : last_->next).Set(chunk);
      last_ = chunk;
      last_used_ = 0;
    }
    last_->slots()[last_used_++] = number;
  }
  size_.Set(count + 1);
}

size_t SlotList::memory_bytes() const {
  size_t bytes = sizeof(*this);
  for (const Chunk* chunk = first_.Get(); chunk != nullptr; chunk = chunk->next.Get()) {
    bytes += sizeof(Chunk) + chunk->capacity * sizeof(uint32_t);
  }
  return bytes;
}

void Postings::Garbage::Free() const {
  delete slots;
  if (node != nullptr) TermMap::Free(node);
}

Postings::~Postings() {
  for (TermMap::Node* node = terms_.First(); node != nullptr; node = node->Next()) {
    delete node->payload.slots.Get();
  }
}

const SlotList* Postings::Find(const std::string& term) const {
  const TermMap::Node* node = terms_.Find(term);
  return node == nullptr ? nullptr : node->payload.slots.Get();
}

std::optional<uint64_t> Postings::EstimateRows(const Filter& filter) const {
  switch (filter.kind) {
    case Filter::Kind::kCondition: {
      const std::optional<std::vector<std::string>> terms = TermsOf(filter);
      if (!terms.has_value()) return std::nullopt;
      uint64_t rows = 0;
      for (const std::string& term : *terms) {
        if (const SlotList* slots = Find(term); slots != nullptr) rows += slots->size();
      }
      return rows;
    }
    case Filter::Kind::kAllOf: {
      std::optional<uint64_t> least;
      for (const Filter& part : filter.parts) {
        const std::optional<uint64_t> rows = EstimateRows(part);
        if (rows.has_value() && (!least.has_value() || *rows < *least)) least = rows;
      }
      return least;
    }
    case Filter::Kind::kAnyOf: {
      uint64_t sum = 0;
      for (const Filter& part : filter.parts) {
        const std::optional<uint64_t> rows = EstimateRows(part);
        if (!rows.has_value()) return std::nullopt;
        sum += *rows;
      }
      return sum;
    }
    case Filter::Kind::kNoneOf:
      return std::nullopt;
  }
  return std::nullopt;
}

bool Postings::Narrows(const Filter* filter, uint64_t slot_count) const {
  if (filter == nullptr) return false;
  const std::optional<uint64_t> rows = EstimateRows(*filter);
  return rows.has_value() && *rows <= slot_count / kNarrowsFrom;
}

void Postings::Collect(const Filter& filter, std::vector<const SlotList*>* lists) const {
  if (filter.kind == Filter::Kind::kCondition) {
    const std::optional<std::vector<std::string>> terms = TermsOf(filter);
    if (!terms.has_value()) return;
    for (const std::string& term : *terms) {
      if (const SlotList* slots = Find(term); slots != nullptr) lists->push_back(slots);
    }
    return;
  }
  if (filter.kind == Filter::Kind::kAnyOf) {
    for (const Filter& part : filter.parts) Collect(part, lists);
    return;
  }
  // All of: every part holds, so those of the smallest one are enough.
  const Filter* smallest = nullptr;
  uint64_t least = 0;
  for (const Filter& part : filter.parts) {
    const std::optional<uint64_t> rows = EstimateRows(part);
    if (!rows.has_value() || (smallest != nullptr && *rows >= least)) continue;
    smallest = &part;
    least = *rows;
  }
  if (smallest != nullptr) Collect(*smallest, lists);
}

std::vector<uint64_t> Postings::Candidates(const Filter& filter, uint32_t block_count) const {
  std::vector<uint64_t> masks(block_count);
  ForEachSlot(filter, [&masks](Slot slot) {
    const auto number = static_cast<uint32_t>(slot);
    if (number / 64 < masks.size()) masks[number / 64] |= uint64_t{1} << number % 64;
  });
  return masks;
}

void Postings::Add(const RecordVersion& version, const RecordVersion* before) {
  if (version.attributes().empty()) return;
  for (const std::string& term : Without(TermsOf(version.attributes()), before)) {
    TermMap::Node* node = terms_.Find(term);
    if (node == nullptr) {
      node = terms_.Prepare(term);
      node->payload.slots.Set(new SlotList);
      terms_.Link(node);
    }
    node->payload.slots.Get()->Append(version.slot());
  }
}

void Postings::Remove(const RecordVersion& version, std::vector<Garbage>* garbage) {
  if (version.attributes().empty()) return;
  const RecordVersion* newer = version.newer;
  const bool same_slot = newer != nullptr && newer->slot() == version.slot();
  for (const std::string& term :
       Without(TermsOf(version.attributes()), same_slot ? newer : nullptr)) {
    TermMap::Node* node = terms_.Find(term);
    Check(node != nullptr);
    SlotList* slots = node->payload.slots.Get();
    slots->removed.push_back(version.slot());
    if (slots->removed.size() == slots->size()) {
      terms_.Unlink(node);
      garbage->push_back({slots, node});
    } else if (slots->removed.size() >= kRemovedMin && 2 * slots->removed.size() >= slots->size()) {
      node->payload.slots.Set(Compacted(*slots));
      garbage->push_back({slots, nullptr});
    }
  }
}

size_t Postings::memory_bytes() const {
  size_t bytes = 0;
  for (const TermMap::Node* node = terms_.First(); node != nullptr; node = node->Next()) {
    bytes += node->memory_bytes() + node->payload.slots.Get()->memory_bytes();
  }
  return bytes;
}

}  // namespace stele::index
