// Remembers the last checkpoint seen and demands that each new one extends it.
//
// The state file: "stele/audit-state@v1", "key VERIFIER KEY", an empty line, the checkpoint. It is
// replaced whole, and only by a checkpoint that was shown to extend it. Not thread-safe.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/audit_verify.h"
#include "client/client.h"

namespace stele::client::cli {

struct AuditState {
  index::VerifierKey key;
  std::string note;
  index::Checkpoint checkpoint;
};

// Nothing where there is no file yet. DATA_LOSS: it is damaged.
absl::StatusOr<std::optional<AuditState>> ReadAuditState(const std::string& path);
absl::Status WriteAuditState(const std::string& path, const AuditState& state);

// One look at the server: its newest checkpoint, checked and compared with `state`, which then
// holds it. ForkError (exit code 8) where the log was rolled back, changed in its past or replaced;
// both checkpoints are then in `*evidence`. Other errors as Client.
absl::Status LookOnce(Client& client, AuditState* state, std::string* evidence);

}  // namespace stele::client::cli
