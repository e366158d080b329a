#include "index/record.h"

#include <cstring>
#include <new>

namespace stele::index {
namespace {

constexpr uint32_t kDocumentBit = uint32_t{1} << 31;

}  // namespace

RecordVersion* RecordVersion::Make(LogIndex born, const RecordNode* record, Slot slot,
                                   std::string_view attributes, const DocumentRef* document) {
  const size_t document_size = document != nullptr ? sizeof(DocumentRef) : 0;
  void* memory = ::operator new(sizeof(RecordVersion) + document_size + attributes.size());
  auto* version = new (memory) RecordVersion(born, record, slot);
  version->attributes_size_ = static_cast<uint32_t>(attributes.size());
  char* behind = reinterpret_cast<char*>(version + 1);
  if (document != nullptr) {
    version->attributes_size_ |= kDocumentBit;
    new (behind) DocumentRef(*document);
  }
  if (!attributes.empty()) {
    std::memcpy(behind + document_size, attributes.data(), attributes.size());
  }
  return version;
}

void RecordVersion::Free(RecordVersion* version) {
  version->~RecordVersion();
  ::operator delete(version);
}

std::string_view RecordVersion::attributes() const {
  const char* behind = reinterpret_cast<const char*>(this + 1);
  if (document() != nullptr) behind += sizeof(DocumentRef);
  return {behind, attributes_size_ & ~kDocumentBit};
}

const DocumentRef* RecordVersion::document() const {
  if ((attributes_size_ & kDocumentBit) == 0) return nullptr;
  return reinterpret_cast<const DocumentRef*>(this + 1);
}

size_t RecordVersion::memory_bytes() const {
  return sizeof(RecordVersion) + (document() != nullptr ? sizeof(DocumentRef) : 0) +
         attributes().size();
}

const RecordVersion* FindVisible(const RecordVersion* newest, LogIndex n) {
  const RecordVersion* version = newest;
  while (version != nullptr && version->born() > n) version = version->older.Get();
  return version != nullptr && n < version->died.Get() ? version : nullptr;
}

}  // namespace stele::index
