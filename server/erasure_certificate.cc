#include "server/erasure_certificate.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "server/erasure.h"
#include "server/errors.h"

namespace stele::server {
namespace {

using index::LogIndex;

// The operation that says that what entry `index` marked is gone, and its entry. It follows soon.
absl::StatusOr<std::optional<std::pair<LogIndex, index::Operation>>> FindCompletion(
    const Engine& engine, LogIndex index) {
  std::optional<std::pair<LogIndex, index::Operation>> found;
  const absl::Status status = engine.journal().Scan(
      index + 1, engine.published_index(),
      [&](LogIndex entry, std::string_view, std::span<const std::string_view> items) {
        const bool completes = items.size() == 1 && !items[0].empty() &&
                               static_cast<index::OperationKind>(items[0].front()) ==
                                   index::OperationKind::kErasureCompleted;
        if (!completes) return absl::OkStatus();
        const auto operation = index::DecodeOperation(items[0]);
        if (!operation.has_value() || operation->index != index) return absl::OkStatus();
        found.emplace(entry, *operation);
        return absl::CancelledError("found");
      });
  if (!status.ok() && !found.has_value()) return status;
  return found;
}

}  // namespace

absl::StatusOr<SignedCertificate> MakeErasureCertificate(const Engine& engine,
                                                         Checkpointer* checkpointer,
                                                         LogIndex index) {
  const LogIndex base = engine.base_index();
  const LogIndex published = engine.published_index();
  if (index < base || index > published) {
    return EntryOutOfRange(
        absl::StrCat("entry ", index, ": this log holds ", base, " to ", published), base,
        published);
  }
  const absl::StatusOr<ErasureTargets> targets = ReadTargets(engine.journal(), {&index, 1});
  if (!targets.ok()) return targets.status();
  const auto none = [&] {
    return MakeError(absl::StatusCode::kNotFound, "ERASURE_NOT_FOUND",
                     absl::StrCat("entry ", index, " ordered no erasure"));
  };
  if (targets->collections.empty()) return none();
  const Engine::ErasureState state = engine.FindErasure(index);
  const auto completion = FindCompletion(engine, index);
  if (!completion.ok()) return completion.status();
  if (!completion->has_value() && !state.pending) return none();
  if (!completion->has_value()) {
    return MakeError(absl::StatusCode::kUnavailable, "ERASURE_PENDING",
                     state.error.ok()
                         ? absl::StrCat("what entry ", index, " marked is being destroyed")
                         : absl::StrCat("what entry ", index,
                                        " marked is not destroyed yet; the last attempt met: ",
                                        std::string(state.error.message())));
  }
  const auto& [entry, operation] = **completion;
  const absl::StatusOr<SignedCheckpoint> checkpoint = checkpointer->Make();
  if (!checkpoint.ok()) return checkpoint.status();
  SignedCertificate made;
  made.certificate = {checkpointer->key().name,
                      index,
                      entry,
                      operation.items_count,
                      operation.snapshots_count,
                      {},
                      checkpoint->checkpoint.size,
                      checkpoint->checkpoint.root};
  for (const auto& [key, through] : targets->keys) made.certificate.records.push_back(key);
  auto note = checkpointer->SignText(index::EncodeErasureText(made.certificate));
  if (!note.ok()) return note.status();
  made.note = *std::move(note);
  return made;
}

}  // namespace stele::server
