// Where two states differ, found by their trees: by the roots, then by the subtrees that differ,
// down to a record. Each step asks both sides for some levels of one subtree, so the number of
// exchanges grows with the logarithm of the number of records.
//
// It compares what the sides say; it verifies no proofs. Not thread-safe.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "stele/v1/diff.pb.h"

namespace stele::client::cli {

// One side: the nodes that a request asks for, always of one state.
using TreeSource =
    std::function<absl::StatusOr<v1::GetTreeNodesResponse>(const v1::GetTreeNodesRequest&)>;

TreeSource ServerTrees(Client client);
// A snapshot file, loaded and verified. Errors: DATA_LOSS and those of files.
absl::StatusOr<TreeSource> SnapshotTrees(const std::string& path);

struct Divergence {
  enum class Kind {
    kNone,
    kCollectionOnlyInA,
    kCollectionOnlyInB,
    kCollectionConfig,  // the records are the same
    kRecordOnlyInA,
    kRecordOnlyInB,
    kRecordContent,
  };
  Kind kind = Kind::kNone;
  std::string collection;  // its key in hexadecimal where nobody knows the name
  std::string id;          // likewise
  std::string key;         // 32 bytes
  v1::Position a;
  v1::Position b;
  uint64_t exchanges = 0;  // questions to both sides together
};

// The first difference in the order of keys. ABORTED if the state of a side changes meanwhile.
absl::StatusOr<Divergence> FindDivergence(const TreeSource& a, const TreeSource& b);

std::string DivergenceKindName(Divergence::Kind kind);

}  // namespace stele::client::cli
