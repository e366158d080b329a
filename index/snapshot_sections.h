// The parts of a snapshot file that its writer, its reader and its scrubber share.
//
// Thread safety: pure functions; one writer object per thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/codec.h"
#include "index/snapshot.h"

namespace stele::index {

// Collects bytes into pieces for the sink, and the digest and place of each section.
class SectionWriter {
 public:
  SectionWriter(const SnapshotSink& sink, std::vector<SnapshotSection>* sections)
      : sink_(sink), sections_(sections) {}

  void Begin(SectionKind kind) {
    digest_ = Hasher();
    sections_->push_back({kind, offset_, 0, {}});
  }
  Encoder& encoder() { return encoder_; }
  // Passes on what the encoder holds, if it is worth it.
  bool Advance() { return encoder_.size() < kPiece || Flush(); }
  bool End() {
    if (!Flush()) return false;
    SnapshotSection& section = sections_->back();
    section.size_bytes = offset_ - section.offset;
    section.digest = digest_.Finish();
    return true;
  }
  // Bytes that belong to no section.
  bool Plain(std::string_view bytes) {
    offset_ += bytes.size();
    return sink_(bytes);
  }
  uint64_t offset() const { return offset_; }

 private:
  static constexpr size_t kPiece = 1 << 18;

  bool Flush() {
    const std::string bytes = encoder_.Take();
    encoder_ = Encoder();
    digest_.Bytes(bytes);
    return Plain(bytes);
  }

  const SnapshotSink& sink_;
  std::vector<SnapshotSection>* sections_;
  uint64_t offset_ = 0;
  Encoder encoder_;
  Hasher digest_;
};

// Manifest and trailer, behind the last section.
bool WriteManifest(const SnapshotManifest& manifest, SectionWriter& writer);

inline std::string_view BytesOf(std::string_view file, const SnapshotSection& section) {
  return file.substr(section.offset, section.size_bytes);
}

// Which collection a section is of, its options and numbers.
struct CollectionHead {
  std::string name;
  CollectionConfig config;
  LogIndex born = 0;
  LogIndex state_index = 0;
  uint64_t record_count = 0;
};
void EncodeHead(const CollectionHead& head, Encoder& encoder);
// Nothing where it is malformed.
std::optional<CollectionHead> DecodeHead(Decoder& decoder, bool with_options);

// A record as it stands in a section; the views point into it.
struct StoredRecord {
  std::string_view id;
  LogIndex version = 0;
  bool erased = false;
  Hash commitment{};  // if erased; otherwise what follows
  Salt salt{};        // of erasable collections
  std::vector<int32_t> vector;
  std::string_view attributes;
  std::optional<DocumentRef> document;
};
void EncodeRecord(const StoredRecord& record, bool erasable, Encoder& encoder);
// Fails the decoder where a field is out of its limits.
StoredRecord DecodeRecord(Decoder& decoder, const CollectionConfig& config);

}  // namespace stele::index
