#include <algorithm>
#include <bit>

#include "index/check.h"
#include "index/snapshot.h"
#include "index/snapshot_format.h"
#include "index/snapshot_sections.h"

namespace stele::index {
namespace {

constexpr uint64_t kSectionEntryBytes = 1 + 8 + 8 + 32;

// Sections must fill the file from the header to the manifest without gaps.
bool DecodeSections(Decoder& decoder, uint64_t manifest_offset,
                    std::vector<SnapshotSection>* sections) {
  const uint32_t count = decoder.U32();
  if (decoder.remaining() != count * kSectionEntryBytes) return false;
  uint64_t expected = kSnapshotHeaderBytes;
  for (uint32_t i = 0; i < count; ++i) {
    SnapshotSection section;
    section.kind = static_cast<SectionKind>(decoder.U8());
    section.offset = decoder.U64();
    section.size_bytes = decoder.U64();
    section.digest = decoder.Digest();
    if (section.offset != expected || section.size_bytes > manifest_offset - expected) return false;
    expected += section.size_bytes;
    sections->push_back(section);
  }
  return decoder.Done() && expected == manifest_offset;
}

bool DecodeMetadata(Decoder& decoder, SnapshotManifest* manifest, std::string* error) {
  const uint32_t format = decoder.U32();
  if (format != kSnapshotFormat) {
    *error = "manifest: snapshot format " + std::to_string(format) +
             " is not known here (known: " + std::to_string(kSnapshotFormat) + ")";
    return false;
  }
  manifest->log_id = decoder.Id();
  manifest->log_index = decoder.U64();
  manifest->state_index = decoder.U64();
  manifest->rules_version = decoder.U32();
  manifest->timestamp_micros = decoder.I64();
  const uint32_t frontier_size = decoder.U32();
  const uint64_t size = manifest->log_index + 1;
  if (!decoder.ok() || size == 0 || frontier_size != static_cast<uint32_t>(std::popcount(size))) {
    *error = "manifest: malformed";
    return false;
  }
  std::vector<Hash> frontier(frontier_size);
  for (Hash& hash : frontier) hash = decoder.Digest();
  manifest->log_tree = LogTree(size, std::move(frontier));
  const Hash log_root = decoder.Digest();
  manifest->state_root = decoder.Digest();
  manifest->versions_hash = decoder.Digest();
  manifest->requests_hash = decoder.Digest();
  if (!decoder.ok() || log_root != manifest->log_tree.Root()) {
    *error = "manifest: the log root does not match its frontier";
    return false;
  }
  return true;
}

}  // namespace

std::optional<SnapshotManifest> ParseSnapshot(std::string_view file, std::string* error) {
  if (file.size() < kSnapshotHeaderBytes + kSnapshotTrailerBytes ||
      file.substr(0, kSnapshotMagic.size()) != kSnapshotMagic) {
    *error = "header: not a Stele snapshot";
    return std::nullopt;
  }
  Decoder header(file.substr(kSnapshotMagic.size(), 8));
  const uint32_t format = header.U32();
  if (format != kSnapshotFormat || header.U32() != 0) {
    *error = "header: snapshot format " + std::to_string(format) +
             " is not known here (known: " + std::to_string(kSnapshotFormat) + ")";
    return std::nullopt;
  }
  Decoder trailer(file.substr(file.size() - kSnapshotTrailerBytes));
  const uint64_t offset = trailer.U64();
  const uint64_t size = trailer.U64();
  const Hash digest = trailer.Digest();
  if (trailer.Raw(kSnapshotEnd.size()) != kSnapshotEnd || offset < kSnapshotHeaderBytes ||
      offset > file.size() || size != file.size() - kSnapshotTrailerBytes - offset) {
    *error = "trailer: the file is cut off or damaged";
    return std::nullopt;
  }
  const std::string_view bytes = file.substr(offset, size);
  if (Hasher().Bytes(bytes).Finish() != digest) {
    *error = "manifest: its SHA-256 does not match";
    return std::nullopt;
  }
  Decoder decoder(bytes);
  SnapshotManifest manifest;
  if (!DecodeMetadata(decoder, &manifest, error)) return std::nullopt;
  if (!DecodeSections(decoder, offset, &manifest.sections)) {
    *error = "manifest: its list of sections is malformed";
    return std::nullopt;
  }
  return manifest;
}

bool IsIntact(std::string_view file, const SnapshotSection& section) {
  return Hasher().Bytes(BytesOf(file, section)).Finish() == section.digest;
}

bool SnapshotLoader::LoadRequests(std::string_view bytes) {
  Decoder decoder(bytes);
  const LogIndex first = decoder.U64();
  const uint64_t count = decoder.U64();
  if (!decoder.ok() || count > kDedupEntries || first + count != manifest_.log_index + 1 ||
      decoder.remaining() != count * (16 + 32)) {
    return false;
  }
  state_->requests_.StartAt(first);
  for (uint64_t i = 0; i < count; ++i) {
    RequestEntry entry;
    std::string_view key = decoder.Raw(entry.request.size());
    std::copy(key.begin(), key.end(), entry.request.begin());
    entry.body = decoder.Digest();
    if (entry.request != RequestKey{} && state_->requests_.Find(entry.request)) return false;
    if (first + i == manifest_.log_index) {
      entry.state_index = manifest_.state_index;
      entry.state_root = manifest_.state_root;
      entry.timestamp_micros = manifest_.timestamp_micros;
    }
    state_->requests_.Append(first + i, entry);
  }
  return decoder.Done();
}

bool SnapshotLoader::LoadRecord(Decoder& decoder, Collection* collection, std::string* last_id) {
  const CollectionConfig& config = collection->config();
  const StoredRecord record = DecodeRecord(decoder, config);
  if (!decoder.ok() || record.id <= *last_id || record.version > manifest_.log_index ||
      (record.document.has_value() && record.document->index > manifest_.log_index)) {
    return false;
  }
  versions_.Sized(record.id).U64(record.version);
  const Salt* const salt = config.erasable ? &record.salt : nullptr;
  const DocumentRef* const document = record.document.has_value() ? &*record.document : nullptr;
  Hash commitment = record.commitment;
  RecordNode* node = collection->mutable_records().Prepare(record.id);
  RecordVersion* version = nullptr;
  if (record.erased) {
    version = RecordVersion::MakeErased(record.version, node, commitment);
    ++state_->erased_records_;
  } else {
    commitment =
        RecordCommitment({record.id, record.vector, record.attributes, PartOf(document), salt});
    const Slot slot = collection->mutable_vectors().Add(record.vector);
    version = RecordVersion::Make(record.version, node, slot, record.attributes, document, salt);
    collection->mutable_postings().Add(*version, nullptr);
    collection->mutable_vectors().Publish(slot, record.version, version);
  }
  collection->tree().Put(RecordKey(collection->name(), record.id), commitment);
  node->payload.newest.Set(version);
  collection->mutable_records().Link(node);
  *last_id = record.id;
  return true;
}

bool SnapshotLoader::LoadCollection(std::string_view bytes, bool with_options) {
  Decoder decoder(bytes);
  const std::optional<CollectionHead> head = DecodeHead(decoder, with_options);
  if (!head.has_value()) return false;
  const std::string& name = head->name;
  const LogIndex born = head->born;
  const LogIndex state_index = head->state_index;
  const uint64_t record_count = head->record_count;
  if (born > manifest_.log_index || state_index > manifest_.log_index ||
      record_count > decoder.remaining() || state_->collection_count_ == kCollectionsMax ||
      state_->LiveCollection(name) != nullptr) {
    return false;
  }
  versions_.Sized(name).U64(born).U64(state_index);
  auto collection = std::make_unique<Collection>(name, head->config, born, state_->seed_);
  std::string last_id;
  for (uint64_t i = 0; i < record_count; ++i) {
    if (!LoadRecord(decoder, collection.get(), &last_id)) return false;
  }
  if (!decoder.Done()) return false;
  auto* stats = new CollectionStats;
  stats->index = state_index;
  stats->record_count = record_count;
  stats->state_index = state_index;
  stats->records_root = collection->tree().Root();
  if (auto held = holds_.extract(name); !held.empty()) {
    stats->holds = std::make_shared<const Holds>(std::move(held.mapped()));
  }
  collection->PushStats(stats);
  state_->collections_tree_.Put(CollectionKey(name), collection->ValueHash());
  auto* node = state_->collections_.Prepare(name);
  node->payload.newest.Set(collection.release());
  state_->collections_.Link(node);
  ++state_->collection_count_;
  return true;
}

bool SnapshotLoader::Load(std::string_view file, const SnapshotManifest& manifest,
                          StateMachine* state, std::string* error) {
  Check(state->next_index() == 0);
  if (manifest.rules_version != kRulesVersion) {
    *error =
        "manifest: rules version " + std::to_string(manifest.rules_version) + " is not known here";
    return false;
  }
  SnapshotLoader loader(manifest, state);
  bool has_requests = false;
  for (size_t i = 0; i < manifest.sections.size(); ++i) {
    const SnapshotSection& section = manifest.sections[i];
    bool good = true;
    if (section.kind == SectionKind::kRequests) {
      good = !has_requests && section.digest == manifest.requests_hash &&
             loader.LoadRequests(BytesOf(file, section));
      has_requests = true;
    } else if (section.kind == SectionKind::kCollection ||
               section.kind == SectionKind::kCollectionWithOptions) {
      good = loader.LoadCollection(BytesOf(file, section),
                                   section.kind == SectionKind::kCollectionWithOptions);
    } else if (section.kind == SectionKind::kPolicies) {
      good = i == 1 && loader.LoadPolicies(BytesOf(file, section));
    } else {
      good =
          section.kind == SectionKind::kDocuments || section.kind == SectionKind::kSaltedDocuments;
    }
    if (!good) {
      *error = "section " + std::to_string(i) + " at byte " + std::to_string(section.offset) +
               ": malformed";
      return false;
    }
  }
  state->rules_version_ = manifest.rules_version;
  state->next_index_ = manifest.log_index + 1;
  state->state_index_ = manifest.state_index;
  state->last_timestamp_micros_ = manifest.timestamp_micros;
  state->ComputeStateRoot();
  if (!has_requests || !loader.holds_.empty() || state->state_root_ != manifest.state_root) {
    *error = "the state root recomputed from the content is not the one in the manifest";
    return false;
  }
  if (loader.versions_.Finish() != manifest.versions_hash) {
    *error = "the versions hash recomputed from the content is not the one in the manifest";
    return false;
  }
  return true;
}

bool SnapshotLoader::LoadPolicies(std::string_view bytes) {
  Decoder decoder(bytes);
  std::vector<LogIndex>& pending = state_->pending_erasures_;
  for (uint32_t left = decoder.U32(); left > 0 && decoder.ok(); --left) {
    const LogIndex index = decoder.U64();
    if (index > manifest_.log_index || (!pending.empty() && index <= pending.back())) return false;
    pending.push_back(index);
  }
  const bool has_history = decoder.Bool();
  const uint64_t history = decoder.U64();
  if (has_history ? history > kHistoryEntriesMax : history != 0) return false;
  if (has_history) state_->history_entries_ = history;
  const uint32_t held = decoder.U32();
  for (uint32_t left = held; left > 0 && decoder.ok(); --left) {
    std::string name(decoder.Sized(kCollectionNameBytesMax));
    if (!holds_.empty() && name <= holds_.rbegin()->first) return false;
    Holds holds = DecodeHolds(decoder);
    for (const auto& [hold_name, hold] : holds) {
      if (hold.index > manifest_.log_index) return false;
    }
    holds_.emplace(std::move(name), std::move(holds));
  }
  return decoder.Done() && (has_history || held > 0 || !pending.empty());
}

bool ForEachDocument(std::string_view file, const SnapshotManifest& manifest,
                     const DocumentVisitor& visit) {
  for (const SnapshotSection& section : manifest.sections) {
    const bool salted = section.kind == SectionKind::kSaltedDocuments;
    if (section.kind != SectionKind::kDocuments && !salted) continue;
    Decoder decoder(BytesOf(file, section));
    while (decoder.remaining() > 0) {
      DocumentRef document;
      document.index = decoder.U64();
      document.ordinal = decoder.U32();
      Salt salt{};
      if (salted) salt = decoder.Digest();
      const std::string_view bytes = decoder.Sized(kDocumentBytesMax);
      document.size_bytes = static_cast<uint32_t>(bytes.size());
      if (!decoder.ok()) return false;
      document.part = DocumentPart(bytes, salted ? &salt : nullptr);
      if (!visit(document, bytes, salted ? &salt : nullptr)) return false;
    }
  }
  return true;
}

}  // namespace stele::index
