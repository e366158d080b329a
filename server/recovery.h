// From bytes on disk to a state: entries decoded, applied and compared with what the log says came
// of them.
//
// Thread safety: one thread at a time; Replay uses a second one of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/log_tree.h"
#include "index/snapshot.h"
#include "index/state_machine.h"
#include "server/engine.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {

// The state and the log tree after some entry.
struct Recovered {
  std::unique_ptr<index::StateMachine> state;
  index::LogTree log_tree;
};

// DATA_LOSS "entry <index>: <what>".
absl::Status DamagedEntry(index::LogIndex index, std::string_view what);

// One entry of the log, decoded, with what the log says came of it.
struct LoggedEntry {
  index::LogIndex index = 0;
  index::Command command;
  std::string commit;
  std::string effects;
};
// `bytes` are an entry row. DATA_LOSS names the entry; FAILED_PRECONDITION: unknown rules.
absl::StatusOr<LoggedEntry> DecodeEntry(const index::LogId& log_id, index::LogIndex index,
                                        std::string_view bytes,
                                        std::span<const std::string_view> items);
// Applies it, and compares what comes of it with what the log says. DATA_LOSS names the entry.
// Counts into `report` the effects that were taken from the log.
absl::Status ApplyEntry(const LoggedEntry& entry, Recovered* recovered, RecoveryReport* report);

// The leading byte of a carried document: an item row of a log that continues a snapshot, holding a
// document of an entry below its base. No operation has this kind. FROZEN: on disk.
inline constexpr char kCarriedDocument = '\xd0';
// The same from an erasable collection: the salt of the document's part follows.
inline constexpr char kCarriedSaltedDocument = '\xd1';
// What is left of one that was erased.
inline constexpr char kCarriedErased = '\xd2';

// Reads and checks a whole snapshot: section digests, content, roots; documents only if asked.
absl::StatusOr<Recovered> LoadSnapshot(const storage::SnapshotFile& file,
                                       const index::SnapshotManifest& manifest,
                                       bool check_documents);
absl::StatusOr<index::SnapshotManifest> ReadManifest(const storage::SnapshotFile& file);
// DATA_LOSS unless the snapshot is of this log (or the one that it continues) and of a state in it.
absl::Status FitsJournal(const index::SnapshotManifest& manifest, const storage::Journal& journal);
SnapshotInfo DescribeSnapshot(const storage::SnapshotFile& file,
                              const index::SnapshotManifest& manifest);

// The newest snapshot of the store that is good and fits the journal; what was refused goes into
// `report`. Without any: an empty state, if the journal begins at 0; otherwise DATA_LOSS.
absl::StatusOr<Recovered> LoadNewestSnapshot(const storage::SnapshotStore& store,
                                             const storage::Journal& journal,
                                             RecoveryReport* report);

// Applies the entries from the state's next index to the journal's end, comparing commit record,
// effects and root of each, and the log root at the watermark. Stops after entry `at_index`, if
// given. DATA_LOSS names the entry. Keeps `history_entries` of old versions.
absl::Status Replay(const storage::Journal& journal, uint64_t history_entries,
                    std::optional<index::LogIndex> at_index,
                    const std::function<void(uint64_t, uint64_t)>& progress, Recovered* recovered,
                    RecoveryReport* report);

// The row of an applied entry. `command` gives up its item bytes.
storage::EntryWrite MakeEntryWrite(index::Command& command, const index::ApplyResult& result,
                                   std::string* encoded_commit);

// Applies and appends the entry that begins a log.
absl::Status AppendFirstEntry(storage::Journal& journal, index::Operation operation,
                              int64_t clock_micros, Recovered* recovered);

// Position and log root of what was recovered.
void FillReport(const Recovered& recovered, RecoveryReport* report);

// The stele-probe executable: installed beside the program, or in the folder of its target in a
// build tree. Empty where there is none.
std::string FindProbe();
storage::Journal::Options JournalOptions(const EngineOptions& options);
std::string SnapshotDirectory(const std::string& data_directory);
absl::StatusOr<std::unique_ptr<storage::SnapshotStore>> OpenSnapshotsReadOnly(
    const std::string& data_directory);
// The one place where the clock is read. Microseconds since 1970-01-01T00:00:00Z.
int64_t SystemClockMicros();

index::LogId RandomLogId();
// From the operating system's generator.
index::Salt RandomSalt();
uint64_t SeedOf(const index::LogId& log_id);
std::string Hex(std::span<const uint8_t> bytes);
// The log's name in checkpoints and receipts: their origin, and the name of the key.
std::string LogOrigin(const index::LogId& log_id);

}  // namespace stele::server
