#include "client/cli/diverge.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/json_values.h"
#include "index/snapshot.h"
#include "index/sparse_tree.h"
#include "server/recovery.h"
#include "storage/snapshot_store.h"

namespace stele::client::cli {
namespace {

constexpr uint32_t kLevels = 8;

index::Hash HashOf(const std::string& bytes) {
  index::Hash hash{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), hash.size()), hash.begin());
  return hash;
}

std::string Text(const index::Hash& hash) { return std::string(index::AsBytes(hash)); }

// The first `bits` bits, in whole bytes.
std::string Prefix(const index::Hash& path, uint32_t bits) {
  std::string prefix = Text(path).substr(0, (bits + 7) / 8);
  if (bits % 8 != 0) prefix.back() = static_cast<char>(prefix.back() & (0xff00 >> bits % 8));
  return prefix;
}

// The `count` bits of a path behind the first `begin`.
uint32_t BitsOf(const index::Hash& path, uint32_t begin, uint32_t count) {
  uint32_t value = 0;
  for (uint32_t depth = begin; depth < begin + count && depth < 256; ++depth) {
    value = value << 1 | index::SparseKeyBit(path, depth);
  }
  return value;
}

class Search {
 public:
  Search(const TreeSource& a, const TreeSource& b) : sources_{&a, &b} {}

  absl::StatusOr<Divergence> Run() {
    const auto collections = Descend("");
    if (!collections.ok()) return collections.status();
    const Place& place = *collections;
    if (place[0] == nullptr && place[1] == nullptr) return result_;
    result_.key = place[0] != nullptr ? place[0]->key() : place[1]->key();
    result_.collection = NameOf(place);
    if (place[0] == nullptr || place[1] == nullptr || place[0]->key() != place[1]->key()) {
      result_.kind = place[0] != nullptr ? Divergence::Kind::kCollectionOnlyInA
                                         : Divergence::Kind::kCollectionOnlyInB;
      return result_;
    }
    return Records(result_.collection);
  }

 private:
  // The differing leaves of the sides, or null where there is none.
  using Place = std::array<std::shared_ptr<v1::TreeNode>, 2>;

  static std::string NameOf(const Place& place) {
    for (const auto& node : place) {
      if (node != nullptr && !node->name().empty()) return node->name();
    }
    return Hex(place[0] != nullptr ? place[0]->key() : place[1]->key());
  }

  absl::StatusOr<Divergence> Records(const std::string& collection) {
    const auto records = Descend(collection);
    if (!records.ok()) return records.status();
    const Place& place = *records;
    if (place[0] == nullptr && place[1] == nullptr) {
      result_.kind = Divergence::Kind::kCollectionConfig;
      return result_;
    }
    const bool same_key =
        place[0] != nullptr && place[1] != nullptr && place[0]->key() == place[1]->key();
    // Of two keys in one place, the lower one.
    const size_t first = place[0] == nullptr                                        ? 1
                         : place[1] != nullptr && place[1]->key() < place[0]->key() ? 1
                                                                                    : 0;
    result_.key = place[first]->key();
    result_.kind = same_key     ? Divergence::Kind::kRecordContent
                   : first == 0 ? Divergence::Kind::kRecordOnlyInA
                                : Divergence::Kind::kRecordOnlyInB;
    const absl::StatusOr<std::string> id = IdOf(collection, result_.key, same_key, first);
    if (!id.ok()) return id.status();
    result_.id = *id;
    return result_;
  }

  absl::StatusOr<v1::GetTreeNodesResponse> Ask(size_t side, const std::string& collection,
                                               const index::Hash& path, uint32_t bits,
                                               uint32_t levels, bool with_ids) {
    v1::GetTreeNodesRequest request;
    request.set_collection(collection);
    request.set_prefix(Prefix(path, bits));
    request.set_prefix_bits(bits);
    request.set_levels(levels);
    request.set_with_ids(with_ids);
    ++result_.exchanges;
    auto response = (*sources_[side])(request);
    if (!response.ok()) return response.status();
    v1::Position& position = side == 0 ? result_.a : result_.b;
    if (position.state_root().empty()) {
      position = response->position();
    } else if (position.state_root() != response->position().state_root()) {
      return absl::AbortedError(
          absl::StrCat("the state of ", side == 0 ? "A" : "B",
                       " changed while it was compared; stop writing to it, or compare again"));
    }
    return response;
  }

  // From the root of one tree to the first place where the sides differ.
  absl::StatusOr<Place> Descend(const std::string& collection) {
    index::Hash path{};
    for (uint32_t bits = 0; bits < 256; bits += kLevels) {
      std::map<uint32_t, Place> slots;
      for (size_t side = 0; side < 2; ++side) {
        const auto part = Ask(side, collection, path, bits, kLevels, false);
        if (!part.ok()) return part.status();
        for (const v1::TreeNode& node : part->nodes()) {
          const index::Hash place = HashOf(node.key().empty() ? node.path() : node.key());
          slots[BitsOf(place, bits, kLevels)][side] = std::make_shared<v1::TreeNode>(node);
        }
      }
      const auto differs = [](const auto& slot) {
        const auto& [a, b] = slot.second;
        return a == nullptr || b == nullptr || a->hash() != b->hash() || a->key() != b->key() ||
               a->value() != b->value();
      };
      const auto found = std::find_if(slots.begin(), slots.end(), differs);
      if (found == slots.end()) return Place{};
      const Place& place = found->second;
      const bool at_leaves = (place[0] == nullptr || !place[0]->key().empty()) &&
                             (place[1] == nullptr || !place[1]->key().empty());
      if (at_leaves) return place;
      for (uint32_t i = 0; i < kLevels; ++i) {
        if ((found->first >> (kLevels - 1 - i) & 1) != 0) {
          const uint32_t depth = bits + i;
          path[depth / 8] = static_cast<uint8_t>(path[depth / 8] | 0x80u >> depth % 8);
        }
      }
    }
    return absl::DataLossError("the sides name inner nodes below 256 bits");
  }

  // From the side that has the record; where both have it, from the one that knows its id.
  absl::StatusOr<std::string> IdOf(const std::string& collection, const std::string& key,
                                   bool in_both, size_t side) {
    for (size_t i = 0; i < (in_both ? 2u : 1u); ++i) {
      const auto part = Ask(in_both ? i : side, collection, HashOf(key), 256, 1, /*with_ids=*/true);
      if (!part.ok()) return part.status();
      for (const v1::TreeNode& node : part->nodes()) {
        if (!node.name().empty()) return node.name();
      }
    }
    return Hex(key);
  }

  const std::array<const TreeSource*, 2> sources_;
  Divergence result_;
};

// Names of a loaded state by key: of its collections, or of the records of one.
std::string NameIn(const index::StateMachine& state, index::LogIndex n,
                   const std::string& collection, const index::Hash& key) {
  if (!collection.empty()) {
    const index::Collection* found = state.FindCollection(collection, n);
    if (found == nullptr) return "";
    for (const auto* node = found->records().First(); node != nullptr; node = node->Next()) {
      if (index::RecordKey(collection, node->key()) == key) return std::string(node->key());
    }
    return "";
  }
  for (const index::Collection* found = state.SeekCollection({}, n); found != nullptr;
       found = state.SeekCollection(found->name() + '\0', n)) {
    if (index::CollectionKey(found->name()) == key) return found->name();
  }
  return "";
}

}  // namespace

TreeSource ServerTrees(Client client) {
  const auto shared = std::make_shared<Client>(std::move(client));
  return [shared](const v1::GetTreeNodesRequest& request) { return shared->TreeNodes(request); };
}

absl::StatusOr<TreeSource> SnapshotTrees(const std::string& path) {
  auto file = storage::SnapshotFile::Open(path);
  if (!file.ok()) return file.status();
  const auto manifest = server::ReadManifest(**file);
  if (!manifest.ok()) return manifest.status();
  auto loaded = server::LoadSnapshot(**file, *manifest, false);
  if (!loaded.ok()) return loaded.status();
  const std::shared_ptr<index::StateMachine> state = std::move(loaded->state);
  const index::LogIndex n = manifest->log_index;
  return [state,
          n](const v1::GetTreeNodesRequest& request) -> absl::StatusOr<v1::GetTreeNodesResponse> {
    v1::GetTreeNodesResponse response;
    response.mutable_position()->set_log_index(n);
    response.mutable_position()->set_state_index(state->state_index());
    response.mutable_position()->set_state_root(Text(state->state_root()));
    std::vector<index::TreeNode> nodes;
    response.set_exists(state->ReadTree(request.collection(), HashOf(request.prefix()),
                                        request.prefix_bits(), request.levels(), &nodes));
    for (const index::TreeNode& node : nodes) {
      v1::TreeNode* wire = response.add_nodes();
      wire->set_path(Text(node.path));
      wire->set_depth(node.depth);
      if (!node.is_leaf) {
        wire->set_hash(Text(node.hash));
        continue;
      }
      wire->set_key(Text(node.path));
      wire->set_value(Text(node.hash));
      if (request.collection().empty() || request.with_ids()) {
        wire->set_name(NameIn(*state, n, request.collection(), node.path));
      }
    }
    return response;
  };
}

absl::StatusOr<Divergence> FindDivergence(const TreeSource& a, const TreeSource& b) {
  return Search(a, b).Run();
}

std::string DivergenceKindName(Divergence::Kind kind) {
  switch (kind) {
    case Divergence::Kind::kNone:
      return "none";
    case Divergence::Kind::kCollectionOnlyInA:
      return "collection only in A";
    case Divergence::Kind::kCollectionOnlyInB:
      return "collection only in B";
    case Divergence::Kind::kCollectionConfig:
      return "collection has another configuration";
    case Divergence::Kind::kRecordOnlyInA:
      return "record only in A";
    case Divergence::Kind::kRecordOnlyInB:
      return "record only in B";
    case Divergence::Kind::kRecordContent:
      return "record has another content";
  }
  return "unknown";
}

}  // namespace stele::client::cli
