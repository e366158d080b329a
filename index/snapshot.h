// Snapshots: the whole state at one log index as one file of canonical bytes, and the way back. The
// layout is stated in docs/format.md, "Snapshot", and FROZEN.
//
// It does no I/O: bytes leave through a sink and come in as a view. Plan data (slots, heights,
// codes) is not in it.
//
// Thread safety: WriteSnapshot is a reader of the state machine; loading needs a machine of its
// own.
//
// Invariants:
//   1. Equal states at equal indices of equal logs give equal bytes.
//   2. Loading accepts only what recomputes to the state root and hashes that the manifest names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/log_tree.h"
#include "index/request_log.h"
#include "index/state_machine.h"

namespace stele::index {

// FROZEN: on disk.
enum class SectionKind : uint8_t {
  kRequests = 1,
  kCollection = 2,
  kDocuments = 3,
  kCollectionWithOptions = 4,
  kSaltedDocuments = 5,  // of an erasable collection
  kPolicies = 6,
};

struct SnapshotSection {
  SectionKind kind = SectionKind::kRequests;
  uint64_t offset = 0;  // in the file
  uint64_t size_bytes = 0;
  Hash digest{};  // SHA-256 of its bytes
};

// Where in which log a snapshot stands.
struct SnapshotPoint {
  LogId log_id{};
  LogIndex log_index = 0;
  LogIndex state_index = 0;
  uint32_t rules_version = 0;
  int64_t timestamp_micros = 0;
  LogTree log_tree;  // of entries 0..log_index
  Hash state_root{};
};

// What a snapshot says of itself.
struct SnapshotManifest : SnapshotPoint {
  Hash versions_hash{};  // over names, ids and versions: what the state root does not cover
  Hash requests_hash{};  // SHA-256 of the requests section
  std::vector<SnapshotSection> sections;
};

// Names the snapshot: covers everything in the manifest but the places and digests of its sections.
Hash SnapshotHash(const SnapshotManifest& manifest);

// What the caller captures between two entries; the rest is read at leisure.
struct SnapshotBasis : SnapshotPoint {
  RequestLog::View requests;
  std::vector<LogIndex> pending_erasures;
  std::optional<uint64_t> history_entries;
};

// Both give false to stop.
using SnapshotSink = std::function<bool(std::string_view)>;
struct StoredDocument {
  std::string bytes;
  Salt salt{};  // of the part; where the collection is erasable
};
using DocumentReader = std::function<bool(const DocumentRef&, StoredDocument*)>;

// Writes the state at basis.log_index, which the caller holds. False where a callback stopped it.
bool WriteSnapshot(const StateMachine& state, const SnapshotBasis& basis, const SnapshotSink& sink,
                   const DocumentReader& read_document, SnapshotManifest* manifest);

// Reads the manifest of a whole file. No value, and what is wrong, unless it is intact.
std::optional<SnapshotManifest> ParseSnapshot(std::string_view file, std::string* error);

// Whether a section's bytes have the digest that the manifest names.
bool IsIntact(std::string_view file, const SnapshotSection& section);

class SnapshotLoader {
 public:
  // Loads the content of `file` into `state`, which must be fresh, and compares every hash but the
  // sections' own digests (IsIntact; they can be checked beside it). False, and what is wrong,
  // otherwise.
  static bool Load(std::string_view file, const SnapshotManifest& manifest, StateMachine* state,
                   std::string* error);

 private:
  SnapshotLoader(const SnapshotManifest& manifest, StateMachine* state)
      : manifest_(manifest), state_(state) {}
  bool LoadCollection(std::string_view bytes, bool with_options);
  bool LoadRecord(Decoder& decoder, Collection* collection, std::string* last_id);
  bool LoadRequests(std::string_view bytes);
  bool LoadPolicies(std::string_view bytes);

  std::map<std::string, Holds> holds_;  // of collections that are still to come

  const SnapshotManifest& manifest_;
  StateMachine* state_;
  Hasher versions_{Label::kVersions};
};

// Calls visit(reference, document, salt of the part or null) for every document in the file. False
// where a section is malformed or visit gives false.
using DocumentVisitor =
    std::function<bool(const DocumentRef&, std::string_view document, const Salt* salt)>;
bool ForEachDocument(std::string_view file, const SnapshotManifest& manifest,
                     const DocumentVisitor& visit);

// What of a snapshot is to go.
struct ScrubResult {
  uint64_t records = 0;                // whose content the file held
  std::vector<DocumentRef> documents;  // theirs: where they lie in the log
};
// Up to which entry what was written of records is to go, by record key.
using ErasedKeys = std::map<Hash, LogIndex>;
// Writes the snapshot `file`, whose sections are intact, without the content of versions that these
// keys mean: of each there is its commitment. The hash of the snapshot stays what it was. False
// where the sink stopped it or the file is malformed.
bool ScrubSnapshot(std::string_view file, const SnapshotManifest& manifest, const ErasedKeys& keys,
                   const SnapshotSink& sink, ScrubResult* result);

}  // namespace stele::index
