// What the calls that write share: handing a draft to the
// engine, and answering the retries that the door alone would misjudge.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "server/call.h"
#include "server/engine.h"
#include "server/outcomes.h"
#include "server/requests.h"

namespace stele::server {

// Submits a draft, or refuses it. A draft whose refusal is in doubt is looked up first: if the
// request was executed while the collection was another one (or still there), `done` gets that
// result. `done` runs exactly once: on this thread, or on one of the engine's, which it must not
// block.
void SubmitDraft(Engine* engine, WriteDraft draft, Engine::WriteCallback done);

// The same, and then ends the call: where the write was executed, with its position and what `fill`
// adds to the response.
template <typename Response>
void SubmitCall(
    Engine* engine, Call* call, WriteDraft draft, Response* response,
    std::function<void(const WriteResult&)> fill = [](const WriteResult&) {}) {
  SubmitDraft(engine, std::move(draft),
              [call, response, fill = std::move(fill)](const absl::StatusOr<WriteResult>& result) {
                if (!result.ok()) return call->Done(result.status());
                const absl::Status status = StatusOf(*result);
                if (status.ok()) {
                  FillPosition(result->position, response->mutable_position());
                  fill(*result);
                }
                call->Done(status);
              });
}

}  // namespace stele::server
