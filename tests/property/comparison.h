// Compares what readers of the state machine see at an index with a state of the reference.
#pragma once

#include <string>
#include <vector>

#include "index/search.h"
#include "index/state_machine.h"
#include "tests/reference/machine.h"

namespace stele::property {

// Empty if everything visible at n is as in `expected`; else what differs.
std::string Difference(const index::StateMachine& machine, index::LogIndex n,
                       const reference::State& expected);

// Exact search over all blocks at n, scanned in two halves and merged, with the given kernels.
std::vector<index::SearchHit> SearchInParts(const index::Collection& collection, index::LogIndex n,
                                            const index::SearchQuery& query,
                                            const index::Kernels& kernels);

}  // namespace stele::property
