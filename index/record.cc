#include "index/record.h"

#include <cstring>
#include <new>

namespace stele::index {
namespace {

constexpr uint32_t kDocumentBit = uint32_t{1} << 31;
constexpr uint32_t kSaltBit = uint32_t{1} << 30;
constexpr uint32_t kErasedBit = uint32_t{1} << 29;
constexpr uint32_t kSizeMask = kErasedBit - 1;

// Not to be optimised away, though nothing reads the memory again.
void Wipe(char* bytes, size_t size) {
  volatile char* const place = bytes;
  for (size_t i = 0; i < size; ++i) place[i] = 0;
}

}  // namespace

std::optional<Hash> PartOf(const DocumentRef* document) {
  if (document == nullptr) return std::nullopt;
  return document->part;
}

RecordVersion* RecordVersion::Make(LogIndex born, const RecordNode* record, Slot slot,
                                   std::string_view attributes, const DocumentRef* document,
                                   const Salt* salt) {
  const size_t document_size = document != nullptr ? sizeof(DocumentRef) : 0;
  const size_t salt_size = salt != nullptr ? sizeof(Salt) : 0;
  void* memory =
      ::operator new(sizeof(RecordVersion) + document_size + salt_size + attributes.size());
  auto* version = new (memory) RecordVersion(born, record, slot);
  version->attributes_size_ = static_cast<uint32_t>(attributes.size());
  char* behind = reinterpret_cast<char*>(version + 1);
  if (document != nullptr) {
    version->attributes_size_ |= kDocumentBit;
    new (behind) DocumentRef(*document);
  }
  if (salt != nullptr) {
    version->attributes_size_ |= kSaltBit;
    new (behind + document_size) Salt(*salt);
  }
  if (!attributes.empty()) {
    std::memcpy(behind + document_size + salt_size, attributes.data(), attributes.size());
  }
  return version;
}

RecordVersion* RecordVersion::MakeErased(LogIndex born, const RecordNode* record,
                                         const Hash& commitment) {
  RecordVersion* version = Make(born, record, kNoSlot, {}, nullptr, &commitment);
  version->attributes_size_ = kErasedBit;
  return version;
}

void RecordVersion::Free(RecordVersion* version) {
  if (version->salt() != nullptr) {
    Wipe(reinterpret_cast<char*>(version + 1), version->memory_bytes() - sizeof(RecordVersion));
  }
  version->~RecordVersion();
  ::operator delete(version);
}

const Hash& RecordVersion::HashBehind() const {
  const char* behind = reinterpret_cast<const char*>(this + 1);
  if (document() != nullptr) behind += sizeof(DocumentRef);
  return *reinterpret_cast<const Hash*>(behind);
}

std::string_view RecordVersion::attributes() const {
  const char* behind = reinterpret_cast<const char*>(this + 1);
  if (document() != nullptr) behind += sizeof(DocumentRef);
  if ((attributes_size_ & (kSaltBit | kErasedBit)) != 0) behind += sizeof(Salt);
  return {behind, attributes_size_ & kSizeMask};
}

const DocumentRef* RecordVersion::document() const {
  if ((attributes_size_ & kDocumentBit) == 0) return nullptr;
  return reinterpret_cast<const DocumentRef*>(this + 1);
}

const Salt* RecordVersion::salt() const {
  return (attributes_size_ & kSaltBit) != 0 ? &HashBehind() : nullptr;
}

bool RecordVersion::erased() const { return (attributes_size_ & kErasedBit) != 0; }

const Hash& RecordVersion::commitment() const { return HashBehind(); }

size_t RecordVersion::memory_bytes() const {
  return sizeof(RecordVersion) + (document() != nullptr ? sizeof(DocumentRef) : 0) +
         ((attributes_size_ & (kSaltBit | kErasedBit)) != 0 ? sizeof(Salt) : 0) +
         attributes().size();
}

const RecordVersion* FindVisible(const RecordVersion* newest, LogIndex n) {
  const RecordVersion* version = newest;
  while (version != nullptr && version->born() > n) version = version->older.Get();
  return version != nullptr && n < version->died.Get() ? version : nullptr;
}

}  // namespace stele::index
