// That a record with some content was, or was not, in the state after an entry of the log: its
// path in the records tree of its collection, that collection's path in the tree of collections,
// and the proof that the commit record which names the state's root is in the log.
//
// docs/format.md, "Checkpoints and proofs", states the text. It checks no signature.
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/command.h"
#include "index/hash.h"
#include "index/sparse_proof.h"

namespace stele::index {

// The content that the commitment is of. The document is there as its part hash only.
struct RecordContent {
  std::string vector;      // components, little-endian int32
  std::string attributes;  // encoded
  std::optional<Hash> document;
  // In an erasable collection: the salts of the id, the vector and each attribute.
  std::vector<Salt> salts;
};

struct RecordProof {
  std::string collection;
  std::string id;
  uint32_t rules_version = 0;
  // Of the collection; nothing where there is none of the name.
  std::optional<CollectionConfig> config;
  // Of the collection: HoldsHash, where it has holds.
  std::optional<Hash> holds;
  // Where the log sets how far history reaches.
  std::optional<uint64_t> history_entries;
  // Of the record; nothing where there is none of the id.
  std::optional<Hash> commitment;
  // May be left out.
  std::optional<RecordContent> content;
  SparseProof record_path;  // where there is a collection
  SparseProof collection_path;
  std::string inclusion;  // InclusionText of the newest entry
};

// FROZEN: first line of the text.
inline constexpr std::string_view kRecordProofHeader = "stele/record-proof@v1";

std::string EncodeRecordProof(const RecordProof& proof);
// Nothing, and why, where the text is not of the form.
std::optional<RecordProof> ParseRecordProof(std::string_view bytes, std::string* error);

// The root of the state that the proof is about; nothing, and why, where it contradicts itself. To
// be compared with the state root of the commit record in `inclusion`.
std::optional<Hash> RecordProofStateRoot(const RecordProof& proof, std::string* error);

}  // namespace stele::index
