// Checks a search receipt offline: its signature and form, and, where the state it is about can be
// rebuilt, that the same search on that state gives the same receipt to the byte.
//
// It asks no server. Every failure is DATA_LOSS and says which object and which place is at fault.
// Thread-safe: independent calls are independent.
//
// Invariant: what was not shown is said. Only a search that was made again is called VERIFIED.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/cli/audit_verify.h"
#include "server/offline.h"

namespace stele::client::cli {

struct ReceiptInputs {
  index::VerifierKey key;
  // Where the state comes from; at most one of the first three. All empty: the light check.
  std::string log_directory;  // an export
  std::string snapshot_file;
  std::string data_dir;
  std::string base_snapshot;  // for an export that continues a snapshot
  // For the light check: record proofs of hits, and the proof of the receipt's entry; each with the
  // name of its file.
  std::vector<std::pair<std::string, std::string>> proofs;
};

absl::StatusOr<Verified> VerifyReceipt(const std::string& bytes, const ReceiptInputs& inputs);

}  // namespace stele::client::cli
