// What Write, WriteStream, CreateCollection and DropCollection share: handing a draft to the
// engine, and answering the retries that the door alone would misjudge.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "server/engine.h"
#include "server/requests.h"

namespace stele::server {

// Submits a draft, or refuses it. A draft whose refusal is in doubt is looked up first: if the
// request was executed while the collection was another one (or still there), `done` gets that
// result. `done` runs exactly once: on this thread, or on one of the engine's, which it must not
// block.
void SubmitDraft(Engine* engine, WriteDraft draft, Engine::WriteCallback done);

}  // namespace stele::server
