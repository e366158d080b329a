#include "server/write_door.h"

#include <utility>

#include "server/outcomes.h"

namespace stele::server {

void SubmitDraft(Engine* engine, WriteDraft draft, Engine::WriteCallback done) {
  if (draft.status.ok()) {
    engine->Submit(std::move(draft.task),
                   [done = std::move(done)](absl::StatusOr<WriteResult> result) {
                     if (!result.ok()) return done(ExplainWriteFailure(result.status()));
                     done(std::move(result));
                   });
    return;
  }
  if (!draft.doubt.has_value()) return done(draft.status);
  engine->FindOutcome(draft.task.actor, draft.task.request_id,
                      [status = draft.status, born = draft.doubt->collection_born,
                       done = std::move(done)](absl::StatusOr<WriteResult> result) {
                        const bool earlier =
                            result.ok() && (!born.has_value() || *born > result->commit.index);
                        if (!earlier) return done(status);
                        result->duplicate = true;
                        done(std::move(result));
                      });
}

}  // namespace stele::server
