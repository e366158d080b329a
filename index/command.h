// What goes into the log: commands, the input of the state machine. A command holds no result, so
// any ordered log can carry it and every replica derives the same results. Values only; no
// behaviour.
//
// Invariant: DecodeOperation and DecodeHeader accept exactly what their encoders write, within the
// limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/commitment.h"
#include "index/filter.h"
#include "index/hash.h"
#include "index/types.h"
#include "index/value.h"

namespace stele::index {

// FROZEN: on disk. Numbers are never reused.
enum class OperationKind : uint8_t {
  kUpsert = 1,
  kInsert = 2,
  kUpdateAttributes = 3,
  kDelete = 4,
  kDeleteByFilter = 5,
  kCreateCollection = 6,
  kDropCollection = 7,
  kGenesis = 8,          // first entry of a new log
  kRestore = 9,          // first entry of a log that continues a snapshot of another
  kUpgrade = 10,         // sets the rules version
  kSnapshotSealed = 11,  // a snapshot was taken; changes no state
  kContinuation = 12,    // reserved: a command split over slots of an external log
  kReceipts = 24,        // search receipts were given, by their digests; changes no state
  // Forms of an operation that only its bytes tell apart: an Operation never has these kinds.
  kCreateWithOptions = 13,  // kCreateCollection whose config is not plain
  // With a salt: for erasable collections.
  kSaltedUpsert = 14,
  kSaltedInsert = 15,
  kSaltedUpdate = 16,
  kSaltedDeleteByFilter = 17,
  // Kinds of their own again.
  kErase = 18,             // deletes, and marks all that was ever written of the id for destruction
  kEraseByFilter = 19,     // the same for what matches; always salted
  kErasureCompleted = 20,  // what an entry marked has been destroyed; changes no record
  kSetHold = 21,           // forbids to erase records of a collection
  kReleaseHold = 22,
  kSetHistory = 23,  // how many entries back states can be read
};
// FROZEN: on disk. Added to the kind of an operation whose content has been erased.
inline constexpr uint8_t kErasedBit = 0x80;

struct Precondition {
  // FROZEN: on disk.
  enum class Kind : uint8_t { kNone = 0, kMustNotExist = 1, kExpectedVersion = 2 };
  Kind kind = Kind::kNone;
  LogIndex version = 0;  // kExpectedVersion
};

// One item of a command. Which members count depends on the kind; the others stay empty.
struct Operation {
  OperationKind kind = OperationKind::kUpsert;
  std::string collection;
  std::string id;
  Precondition precondition;
  std::vector<int32_t> vector;  // raw Q16.16, admitted; normalised under COSINE
  std::string attributes;       // EncodeAttributes
  std::string document;
  std::vector<std::string> removed;  // kUpdateAttributes: names, ascending
  Filter filter;                     // kDeleteByFilter, kEraseByFilter
  uint32_t limit = 0;                // by filter: 1..kDeleteByFilterMax
  CollectionConfig config;           // kCreateCollection
  uint32_t rules_version = 0;        // kGenesis, kRestore, kUpgrade
  LogId parent_log{};                // kRestore
  // kRestore: the parent's index. kSnapshotSealed: its index. kErasureCompleted: the entry that
  // marked.
  LogIndex index = 0;
  uint64_t items_count = 0;      // kErasureCompleted: operations whose content was destroyed
  uint64_t snapshots_count = 0;  // kErasureCompleted: snapshot files that were rewritten
  std::string hold;              // kSetHold, kReleaseHold: its name
  std::string reason;            // kSetHold: for people
  std::vector<std::string> ids;  // kSetHold: ascending; empty: the whole collection
  uint64_t history_entries = 0;  // kSetHistory: up to kHistoryEntriesMax
  Hash log_root{};               // kRestore: parent's log root
  Hash snapshot_hash{};          // kRestore, kSnapshotSealed
  std::vector<Hash> receipts;    // kReceipts: ReceiptDigest, ascending, none twice
  // kUpsert, kInsert, kUpdateAttributes, kDeleteByFilter of an erasable collection; kEraseByFilter.
  bool salted = false;
  Salt salt{};
  // Salted ones only: the content is gone, and of it all there is left is the digest.
  bool erased = false;
  Hash digest{};
};

// Kinds 1 to 4 and kErase: they name one record, and may share a command.
bool IsRecordKind(OperationKind kind);
// kUpsert, kInsert: they bring all that a record is.
bool IsWholeRecord(OperationKind kind);
// kDeleteByFilter, kEraseByFilter.
bool IsByFilter(OperationKind kind);
// kErase, kEraseByFilter.
bool Erases(OperationKind kind);
// Kinds that are salted exactly where the collection is erasable.
bool TakesSalt(OperationKind kind);

std::string EncodeOperation(const Operation& operation);
std::optional<Operation> DecodeOperation(std::string_view bytes);
// Whether the bytes are those of a salted operation, with its content or without: the first tells.
bool IsSalted(std::string_view bytes);
// The same operation without its content. REQUIRES: salted.
Operation WithoutContent(const Operation& operation);

// An operation with everything about it that needs no state. A pure function of the operation, so
// it may be computed anywhere, on any number of threads, before Apply.
struct PreparedOperation {
  Operation operation;
  std::string bytes;                  // EncodeOperation
  Hash item{};                        // commitment of the item
  Hash key{};                         // record kinds: RecordKey
  Hash record{};                      // kUpsert, kInsert: RecordCommitment, erased or not
  std::optional<Hash> document_part;  // kUpsert, kInsert
};
PreparedOperation Prepare(Operation operation);

using RequestKey = std::array<uint8_t, 16>;

struct CommandHeader {
  LogId log_id{};
  uint64_t term = 0;
  uint32_t rules_version = kRulesVersion;
  std::string request_id;  // empty for entries the server makes itself
  std::string actor;
  int64_t timestamp_micros = 0;  // never smaller than the previous entry's
  int64_t clock_micros = 0;      // the clock as it was read
  LogIndex known_index = 0;
  std::optional<LogIndex> expected_state_index;
  uint32_t item_count = 0;
  Hash items_root{};
};

std::string EncodeHeader(const CommandHeader& header);
std::optional<CommandHeader> DecodeHeader(std::string_view bytes);

struct Command {
  CommandHeader header;
  std::vector<PreparedOperation> operations;
};

// Fills item_count and items_root from the operations.
void Seal(Command& command);
Hash CommandCommitment(const CommandHeader& header);
// First 16 bytes of a digest of (actor, request id).
RequestKey MakeRequestKey(std::string_view actor, std::string_view request_id);
// What a retry must repeat: the operations and the expected state index.
Hash RequestBody(const CommandHeader& header);

// Each (collection, id) at most once; everything but record operations alone in its command.
bool IsWellFormed(const Command& command);

}  // namespace stele::index
