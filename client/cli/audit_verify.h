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

#include "absl/status/statusor.h"
#include "client/cli/json_values.h"
#include "index/proof_text.h"

namespace stele::client::cli {

struct VerifyInputs {
  index::VerifierKey key;
  // The older checkpoint, for a consistency proof.
  std::optional<std::string> old_checkpoint;
  // What the record's document is said to be, for a record proof.
  std::optional<std::string> document;
};

// What was shown, for programs and for people.
struct Verified {
  Json json;
  std::string text;
};

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
