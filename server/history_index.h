// The index from records to the entries that touched them, as the journal keeps it: which rows an
// entry has, and their completion for entries that were written without them.
//
// It follows from the effects alone, so it is never evidence: who reads a row looks into the entry
// that it names.
//
// Thread safety: pure functions; CompleteHistory as the journal.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "index/commit_record.h"
#include "storage/journal.h"

namespace stele::server {

// The form in which the journal takes the digest that names a record or a collection.
std::array<char, 16> HistoryKeyOf(const index::Hash& key);

// A row for every record that was touched, and for a collection that was itself created, changed or
// dropped: one whose value became zero, or that changed without a record of it.
std::vector<storage::HistoryWrite> HistoryOf(const std::vector<index::Effect>& effects);

// Writes the rows that the journal lacks: all of them where it has never had them or where some of
// the newest are missing. DATA_LOSS names an entry that cannot be read.
absl::Status CompleteHistory(storage::Journal* journal);

// Looks for every row, where they should all be there. DATA_LOSS names the entry whose row is not.
absl::Status VerifyHistory(const storage::Journal& journal);

}  // namespace stele::server
