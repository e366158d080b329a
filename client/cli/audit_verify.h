// Checks what auditors keep: checkpoints and proofs, offline, against a key that the auditor
// trusts.
//
// It asks no server. Every failure is DATA_LOSS and says which object and which line or which
// promise is broken. Thread-safe: pure functions of their arguments.
//
// Invariant: OK means that every byte of the input was taken into account: a text with one byte
// changed never passes, except inside signature lines of keys that are not asked about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/json_values.h"
#include "index/commit_record.h"
#include "index/cosignature.h"
#include "index/proof_text.h"
#include "index/record_proof.h"

namespace stele::client::cli {

struct VerifyInputs {
  index::VerifierKey key;
  // The older checkpoint, for a consistency proof.
  std::optional<std::string> old_checkpoint;
  // Who must have cosigned a checkpoint, and how many of them.
  std::vector<index::WitnessKey> witnesses;
  uint32_t witnesses_needed = 0;
  // What the record's document is said to be, for a record proof.
  std::optional<std::string> document;
};

// What was shown, for programs and for people.
struct Verified {
  Json json;
  std::string text;
  // How many records could not be checked since their content has been erased: no plain pass.
  uint64_t erased = 0;
};

// An entry that is shown to be in the log, with what its commit record says.
struct ProvedEntry {
  index::Checkpoint checkpoint;
  index::CommitRecord commit;
};
absl::StatusOr<ProvedEntry> VerifyEntry(const std::string& bytes, const index::VerifierKey& key);

// A record proof that holds: its paths lead to the state root of `entry`.
struct ProvedRecord {
  index::RecordProof proof;
  ProvedEntry entry;
};
absl::StatusOr<ProvedRecord> VerifyRecord(const std::string& bytes, const index::VerifierKey& key);

Json CheckpointToJson(const index::Checkpoint& checkpoint);
std::string CheckpointToText(const index::Checkpoint& checkpoint);

// `bytes` are a checkpoint, a log inclusion or consistency proof, or a record proof; the first line
// says which.
absl::StatusOr<Verified> VerifyProof(const std::string& bytes, const VerifyInputs& inputs);

absl::StatusOr<index::Checkpoint> VerifyCheckpoint(const std::string& note,
                                                   const index::VerifierKey& key);

// That the checkpoint inside `proof` extends `old_checkpoint`; gives the newer one.
absl::StatusOr<index::Checkpoint> VerifyExtension(const std::string& proof,
                                                  const index::Checkpoint& old_checkpoint,
                                                  const index::VerifierKey& key);

}  // namespace stele::client::cli
