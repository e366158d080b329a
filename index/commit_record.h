// What came of an entry: the small result that is kept for ever and is the leaf of the log tree,
// and the effects, the per-record changes behind it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// FROZEN: on disk. Everything but kOk leaves the state as it was.
enum class Outcome : uint8_t {
  kOk = 0,
  kCollectionNotFound = 1,
  kCollectionExists = 2,
  kRecordExists = 3,
  kRecordNotFound = 4,
  kPreconditionFailed = 5,  // `current`: the record's version, 0 where there is no record
  kStateIndexMismatch = 6,  // `current`: the state index
  kDimensionMismatch = 7,   // `current`: the collection's dimension
  kNotNormalized = 8,       // the collection's metric is COSINE and the vector is not of unit norm
  kRequestTooOld = 9,
  kDuplicateRequest = 10,    // `current`: the entry that executed it
  kRequestIdReused = 11,     // `current`: the entry that used the id
  kAttributesTooLarge = 12,  // an update would leave more attributes than allowed
  kTooManyCollections = 13,
  kMalformed = 14,
  // The operation is salted and the collection is not erasable, or the other way round: it was
  // dropped and created anew in between.
  kOptionsMismatch = 15,
  kNotErasable = 16,   // an erasure in a collection that is not erasable
  kHeld = 17,          // `current`: the entry that set the hold
  kHoldExists = 18,    // `current`: the entry that set it
  kHoldNotFound = 19,  // there is no hold of this name
  kTooManyHolds = 20,
};
inline constexpr Outcome kLastOutcome = Outcome::kTooManyHolds;

struct CommitRecord {
  LogIndex index = 0;
  Hash command{};  // CommandCommitment
  Outcome outcome = Outcome::kOk;
  uint32_t failed_item = 0;  // which operation was refused
  uint64_t current = 0;
  uint64_t inserted_count = 0;
  uint64_t updated_count = 0;
  uint64_t deleted_count = 0;
  uint64_t missing_count = 0;
  bool more = false;
  LogIndex state_index = 0;  // newest entry, up to this one, that changed the state
  Hash effects_root{};
  Hash state_root{};
};

std::string EncodeCommitRecord(const CommitRecord& record);
std::optional<CommitRecord> DecodeCommitRecord(std::string_view bytes);
// RFC 6962 leaf hash of the encoded record.
Hash LogLeaf(std::string_view encoded_commit_record);

// One changed key of the state trees. `value` is the record commitment or the collection's value
// hash; 32 zero bytes where the key was removed.
struct Effect {
  // FROZEN: on disk.
  enum class Kind : uint8_t { kRecord = 1, kCollection = 2 };
  Kind kind = Kind::kRecord;
  Hash key{};
  Hash value{};
  bool operator==(const Effect&) const = default;
};

std::string EncodeEffects(const std::vector<Effect>& effects);
std::optional<std::vector<Effect>> DecodeEffects(std::string_view bytes);
Hash EffectsRoot(const std::vector<Effect>& effects);

// The row of one entry in the journal; its items are rows of their own.
struct EntryRow {
  std::string header;   // EncodeHeader
  std::string commit;   // EncodeCommitRecord
  std::string effects;  // EncodeEffects
};
std::string EncodeEntryRow(const EntryRow& row);
std::optional<EntryRow> DecodeEntryRow(std::string_view bytes);

}  // namespace stele::index
