// Who answers the queries of a golden test: a server, or a snapshot file without any server.
//
// Not thread-safe.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/golden.h"
#include "client/client.h"

namespace stele::client::cli {

struct GoldenSource {
  // Of a snapshot: its state. Of a server: its newest state, whichever is asked.
  GoldenState state;
  // The answer, with the state that it was found on. NOT_FOUND: there is no such collection.
  std::function<absl::StatusOr<index::SearchReceipt>(const std::string& collection,
                                                     const v1::SearchQuery& query)>
      ask;
};

// The file is checked whole, as `snapshot verify` does.
absl::StatusOr<GoldenSource> OpenSnapshotSource(const std::string& path);
// The newest state, or that after `at_index`; `client` must outlive the source.
absl::StatusOr<GoldenSource> OpenServerSource(Client* client, std::optional<uint64_t> at_index);

}  // namespace stele::client::cli
