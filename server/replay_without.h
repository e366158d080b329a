// The state that the log would have made without some of its entries: all others applied, in their
// places, by the state machine. An entry that is left out is applied as one that changes nothing,
// so indices, and with them versions and preconditions, keep their meaning; what follows from the
// missing ones (a rejection, another count) follows here as well.
//
// It is built beside the live state, from nothing or from the snapshot that the log continues, and
// is bounded by kReplayEntriesMax and kReplayBytesMax.
//
// Thread safety: a pure function over the journal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/command.h"
#include "index/state_machine.h"
#include "server/engine.h"

namespace stele::server {

inline constexpr uint64_t kReplayEntriesMax = 1'000'000;
inline constexpr uint64_t kReplayBytesMax = uint64_t{2} << 30;  // of operations

struct ReplayedState {
  std::unique_ptr<index::StateMachine> state;
  uint64_t entries_applied = 0;  // those that were left out included
  uint64_t entries_left_out = 0;
  uint64_t outcomes_changed = 0;  // of others, against what the log says
};

// Up to entry `to`. `leave_out` is asked for every entry. Errors: RESOURCE_EXHAUSTED (a limit),
// FAILED_PRECONDITION (content of an entry has been erased, which is named; the base snapshot is
// not there), DATA_LOSS, CANCELLED.
absl::StatusOr<ReplayedState> ReplayWithout(
    const Engine& engine, index::LogIndex to,
    const std::function<bool(index::LogIndex, const index::CommandHeader&)>& leave_out,
    const std::function<bool()>& stopped);

}  // namespace stele::server
