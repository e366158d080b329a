// Versions of records. A version is visible at n iff born <= n < died. Versions of one record form
// a chain, newest first; several versions may share a vector slot, so changing an attribute copies
// no vector.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "index/cell.h"
#include "index/commitment.h"
#include "index/skip_list.h"
#include "index/types.h"

namespace stele::index {

class RecordVersion;

// The entry of a record in its collection's ordered map.
struct RecordHead {
  Cell<RecordVersion*> newest;
};
using RecordMap = SkipList<RecordHead>;
using RecordNode = RecordMap::Node;

// Where a document lies: the item of the log entry that brought it. Documents are never in memory.
struct DocumentRef {
  LogIndex index = 0;
  uint32_t ordinal = 0;
  uint32_t size_bytes = 0;
  Hash part{};  // DocumentPart
};
// As commitments take it; nothing where `document` is null.
std::optional<Hash> PartOf(const DocumentRef* document);

// The slot of a version without a vector.
inline constexpr Slot kNoSlot{0xffffffff};

class RecordVersion {
 public:
  // `document` and `salt` may be null. Attributes are copied behind the object.
  static RecordVersion* Make(LogIndex born, const RecordNode* record, Slot slot,
                             std::string_view attributes, const DocumentRef* document,
                             const Salt* salt = nullptr);
  // A version whose content has been erased: there is its commitment, and no slot.
  static RecordVersion* MakeErased(LogIndex born, const RecordNode* record, const Hash& commitment);
  // What was salted is overwritten first.
  static void Free(RecordVersion* version);

  LogIndex born() const { return born_; }
  std::string_view id() const { return record_->key(); }
  Slot slot() const { return slot_; }
  std::string_view attributes() const;
  // Null where the record has no document.
  const DocumentRef* document() const;
  // Null where the collection is not erasable, and where the content has been erased.
  const Salt* salt() const;
  // The content has been erased: no vector, no attributes, no document.
  bool erased() const;
  // REQUIRES: erased().
  const Hash& commitment() const;
  size_t memory_bytes() const;

  bool VisibleAt(LogIndex n) const { return born_ <= n && n < died.Get(); }

  Cell<LogIndex> died{kNever};
  Cell<RecordVersion*> older{nullptr};
  RecordVersion* newer = nullptr;  // writer only

 private:
  RecordVersion(LogIndex born, const RecordNode* record, Slot slot)
      : born_(born), record_(record), slot_(slot) {}

  LogIndex born_;
  const RecordNode* record_;
  Slot slot_;
  const Hash& HashBehind() const;

  // Top bits: a DocumentRef stands before the attributes; before them a salt; or a commitment.
  uint32_t attributes_size_ = 0;
};

// The version of a chain that is visible at n, or null.
const RecordVersion* FindVisible(const RecordVersion* newest, LogIndex n);

}  // namespace stele::index
