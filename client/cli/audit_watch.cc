#include "client/cli/audit_watch.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/files.h"

namespace stele::client::cli {
namespace {

constexpr char kHeader[] = "stele/audit-state@v1";
constexpr size_t kStateBytesMax = 128 * 1024;

absl::Status Fork(const AuditState& state, const std::string& other, absl::string_view what,
                  std::string* evidence) {
  *evidence = absl::StrCat(state.note, "\n", other);
  return ForkError(what);
}

}  // namespace

absl::StatusOr<std::optional<AuditState>> ReadAuditState(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return std::nullopt;
  const auto bytes = ReadFile(path, kStateBytesMax);
  if (!bytes.ok()) return bytes.status();
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  index::LineParser lines(*bytes);
  const auto header = lines.Next("the first line");
  if (!header.has_value() || *header != kHeader) return damaged("it is not an audit state file");
  const auto key_text = lines.Field("key");
  const auto empty = lines.Next("an empty line");
  if (!key_text.has_value() || !empty.has_value() || !empty->empty()) {
    return damaged("it is not an audit state file");
  }
  std::string error;
  const auto key = index::ParseVerifierKey(*key_text, &error);
  if (!key.has_value()) return damaged(error);
  AuditState state;
  state.key = *key;
  state.note = std::string(lines.rest());
  const auto checkpoint = VerifyCheckpoint(state.note, state.key);
  if (!checkpoint.ok()) return damaged(checkpoint.status().message());
  state.checkpoint = *checkpoint;
  return state;
}

absl::Status WriteAuditState(const std::string& path, const AuditState& state) {
  return WriteFile(path, absl::StrCat(kHeader, "\nkey ", index::EncodeVerifierKey(state.key),
                                      "\n\n", state.note));
}

absl::Status LookOnce(Client& client, AuditState* state, std::string* evidence) {
  const auto response = client.GetCheckpoint();
  if (!response.ok()) return response.status();
  const std::string& note = response->checkpoint().note();
  const auto checkpoint = VerifyCheckpoint(note, state->key);
  if (!checkpoint.ok()) {
    return Fork(*state, note,
                absl::StrCat("REPLACED: what this server signs is not of the log and the key that "
                             "are watched: ",
                             checkpoint.status().message()),
                evidence);
  }
  const index::Checkpoint& seen = state->checkpoint;
  if (seen.size != 0 && checkpoint->size < seen.size) {
    return Fork(*state, note,
                absl::StrCat("ROLLBACK: the log had ", seen.size, " entries and has ",
                             checkpoint->size, " now"),
                evidence);
  }
  if (seen.size != 0 && checkpoint->size == seen.size && checkpoint->root != seen.root) {
    return Fork(*state, note,
                absl::StrCat("FORK: two checkpoints of ", seen.size, " entries differ"), evidence);
  }
  if (seen.size != 0 && checkpoint->size > seen.size) {
    const auto proof = client.ProveConsistency(seen.size, checkpoint->size);
    const bool refused = absl::IsOutOfRange(proof.status()) || absl::IsDataLoss(proof.status());
    if (!proof.ok() && !refused) return proof.status();
    absl::Status good = proof.status();
    if (good.ok()) {
      const auto extended = VerifyExtension(proof->text(), seen, state->key);
      good = extended.status();
      if (good.ok() && !(*extended == *checkpoint)) {
        good = absl::DataLossError("the proof is for another checkpoint");
      }
    }
    if (!good.ok()) {
      return Fork(*state, note,
                  absl::StrCat("FORK: the log of ", checkpoint->size, " entries is not shown to ",
                               "begin with the ", seen.size, " seen before: ", good.message()),
                  evidence);
    }
  }
  state->note = note;
  state->checkpoint = *checkpoint;
  return absl::OkStatus();
}

}  // namespace stele::client::cli
