// If this failed, an auditor could be shown a log that dropped, changed or reordered entries, or be
// refused a proof of a log that did not.
#include "index/log_proof.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>

#include "index/commit_record.h"
#include "index/log_tiles.h"
#include "index/log_tree.h"

namespace stele::index {
namespace {

Hash Leaf(uint64_t i) { return LogLeaf("entry " + std::to_string(i)); }

// RFC 6962 section 2.1, word for word.
Hash NaiveRoot(std::span<const Hash> leaves) {
  if (leaves.empty()) return Hasher().Finish();
  if (leaves.size() == 1) return leaves[0];
  const size_t k = std::bit_floor(leaves.size() - 1);
  return HashPair(Label::kLogNode, NaiveRoot(leaves.first(k)), NaiveRoot(leaves.subspan(k)));
}

// Section 2.1.1: PATH(m, D[n]).
std::vector<Hash> NaivePath(size_t m, std::span<const Hash> leaves) {
  if (leaves.size() == 1) return {};
  const size_t k = std::bit_floor(leaves.size() - 1);
  std::vector<Hash> path;
  if (m < k) {
    path = NaivePath(m, leaves.first(k));
    path.push_back(NaiveRoot(leaves.subspan(k)));
  } else {
    path = NaivePath(m - k, leaves.subspan(k));
    path.push_back(NaiveRoot(leaves.first(k)));
  }
  return path;
}

// Section 2.1.2: SUBPROOF(m, D[n], b).
std::vector<Hash> NaiveSubproof(size_t m, std::span<const Hash> leaves, bool whole) {
  if (m == leaves.size()) return whole ? std::vector<Hash>{} : std::vector{NaiveRoot(leaves)};
  const size_t k = std::bit_floor(leaves.size() - 1);
  std::vector<Hash> path;
  if (m <= k) {
    path = NaiveSubproof(m, leaves.first(k), whole);
    path.push_back(NaiveRoot(leaves.subspan(k)));
  } else {
    path = NaiveSubproof(m - k, leaves.subspan(k), false);
    path.push_back(NaiveRoot(leaves.first(k)));
  }
  return path;
}

std::vector<Hash> Leaves(size_t count) {
  std::vector<Hash> leaves(count);
  for (size_t i = 0; i < count; ++i) leaves[i] = Leaf(i);
  return leaves;
}

// A log as it is kept: complete tiles by (level, index), and those that are open.
struct Log {
  LogTiles tiles;
  std::map<std::pair<unsigned, uint64_t>, LogTile> complete;
  mutable uint64_t reads = 0;
  mutable uint64_t hashes = 0;

  explicit Log(LogTiles start = {}) : tiles(std::move(start)) {}
  void Append(const Hash& leaf) {
    std::vector<LogTile> done;
    tiles.Append(leaf, &done);
    for (const LogTile& tile : done) complete.insert({{tile.level, tile.index}, tile});
  }
  LogNodeReader Reader() const {
    return [this](unsigned height, uint64_t index) {
      ++reads;
      const TilePlace place = LocateNode(height, index);
      const auto found = complete.find({place.level, place.index});
      if (found == complete.end()) {
        return TileNode(tiles.unfinished(place.level), place.height, place.offset, &hashes);
      }
      return TileNode(found->second.hashes, place.height, place.offset, &hashes);
    };
  }
};

TEST(LogProof, InclusionIsThatOfTheRfcForEverySizeAndIndex) {
  const std::vector<Hash> leaves = Leaves(150);
  Log log;
  for (size_t size = 1; size <= leaves.size(); ++size) {
    log.Append(leaves[size - 1]);
    const std::span<const Hash> part(leaves.data(), size);
    const Hash root = NaiveRoot(part);
    ASSERT_EQ(log.tiles.Root(), root);
    ASSERT_EQ(LogRootAt(size, log.Reader()), root);
    for (size_t i = 0; i < size; ++i) {
      const auto proof = MakeInclusionProof(i, size, log.Reader());
      ASSERT_TRUE(proof.has_value());
      ASSERT_EQ(*proof, NaivePath(i, part));
      ASSERT_TRUE(VerifyInclusion(i, size, leaves[i], *proof, root));
    }
  }
}

TEST(LogProof, ConsistencyIsThatOfTheRfcForEveryPairOfSizes) {
  const std::vector<Hash> leaves = Leaves(80);
  Log log;
  std::vector<Hash> roots = {NaiveRoot({})};
  for (size_t size = 1; size <= leaves.size(); ++size) {
    log.Append(leaves[size - 1]);
    const std::span<const Hash> part(leaves.data(), size);
    roots.push_back(NaiveRoot(part));
    for (size_t old_size = 0; old_size <= size; ++old_size) {
      const auto proof = MakeConsistencyProof(old_size, size, log.Reader());
      ASSERT_TRUE(proof.has_value());
      if (old_size > 0) {
        ASSERT_EQ(*proof, NaiveSubproof(old_size, part, true));
      }
      ASSERT_TRUE(VerifyConsistency(old_size, size, *proof, roots[old_size], roots[size]));
    }
  }
}

// Sizes up to 40, every proof: each bit of each hash, hashes left out, added and swapped, another
// leaf, index, size or root.
TEST(LogProof, NothingElsePasses) {
  const std::vector<Hash> leaves = Leaves(41);
  Log log;
  std::vector<Hash> roots = {NaiveRoot({})};
  for (const Hash& leaf : leaves) {
    log.Append(leaf);
    roots.push_back(log.tiles.Root());
  }
  for (size_t size = 1; size <= 40; ++size) {
    const Hash& root = roots[size];
    for (size_t i = 0; i < size; ++i) {
      std::vector<Hash> proof = *MakeInclusionProof(i, size, log.Reader());
      for (size_t other = 0; other <= 41; ++other) {
        if (other != i) {
          EXPECT_FALSE(VerifyInclusion(other, size, leaves[i], proof, root));
        }
      }
      EXPECT_FALSE(VerifyInclusion(i, size, leaves[i + 1], proof, root));
      EXPECT_FALSE(VerifyInclusion(i, size, leaves[i], proof, roots[size + 1]));
      for (Hash& hash : proof) {
        for (unsigned bit = 0; bit < 256; bit += 5) {
          hash[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
          EXPECT_FALSE(VerifyInclusion(i, size, leaves[i], proof, root));
          hash[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        }
      }
      for (size_t j = 0; j + 1 < proof.size(); ++j) {
        std::swap(proof[j], proof[j + 1]);
        EXPECT_FALSE(VerifyInclusion(i, size, leaves[i], proof, root));
        std::swap(proof[j], proof[j + 1]);
      }
      proof.push_back(root);
      EXPECT_FALSE(VerifyInclusion(i, size, leaves[i], proof, root));
      proof.pop_back();
      if (!proof.empty()) {
        proof.pop_back();
        EXPECT_FALSE(VerifyInclusion(i, size, leaves[i], proof, root));
      }
    }
    for (size_t old_size = 1; old_size < size; ++old_size) {
      std::vector<Hash> proof = *MakeConsistencyProof(old_size, size, log.Reader());
      EXPECT_FALSE(VerifyConsistency(old_size, size, proof, roots[old_size + 1], root));
      EXPECT_FALSE(VerifyConsistency(old_size, size, proof, roots[old_size], roots[size + 1]));
      EXPECT_FALSE(VerifyConsistency(size, old_size, proof, root, roots[old_size]));
      for (Hash& hash : proof) {
        for (unsigned bit = 0; bit < 256; bit += 5) {
          hash[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
          EXPECT_FALSE(VerifyConsistency(old_size, size, proof, roots[old_size], root));
          hash[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        }
      }
      proof.push_back(root);
      EXPECT_FALSE(VerifyConsistency(old_size, size, proof, roots[old_size], root));
      proof.pop_back();
      proof.pop_back();
      EXPECT_FALSE(VerifyConsistency(old_size, size, proof, roots[old_size], root));
    }
  }
  EXPECT_FALSE(VerifyConsistency(0, 5, {}, roots[1], roots[5]));
  EXPECT_FALSE(VerifyConsistency(5, 5, {}, roots[4], roots[5]));
  EXPECT_FALSE(VerifyConsistency(3, 5, {}, roots[3], roots[5]));
}

// A million entries: what is read and computed for a proof is the logarithm, and 7 hashes a read at
// most.
TEST(LogProof, CostsTheLogarithm) {
  constexpr uint64_t kSize = 1'000'003;
  Log log;
  for (uint64_t i = 0; i < kSize; ++i) log.Append(Leaf(i));
  const Hash root = log.tiles.Root();
  constexpr uint64_t kHeight = 20;  // ceil(log2(kSize))
  for (const uint64_t i : {uint64_t{0}, uint64_t{1}, uint64_t{524'287}, kSize / 2, kSize - 1}) {
    log.reads = log.hashes = 0;
    const auto proof = MakeInclusionProof(i, kSize, log.Reader());
    ASSERT_TRUE(proof.has_value());
    EXPECT_LE(proof->size(), kHeight);
    EXPECT_LE(log.reads, 2 * kHeight);
    EXPECT_LE(log.hashes, 7 * log.reads);
    EXPECT_LE(log.hashes, 4 * kHeight);
    EXPECT_TRUE(VerifyInclusion(i, kSize, Leaf(i), *proof, root));
  }
  LogTree old_tree;
  for (uint64_t i = 0; i < 777'777; ++i) old_tree.Append(Leaf(i));
  log.reads = log.hashes = 0;
  const auto proof = MakeConsistencyProof(777'777, kSize, log.Reader());
  ASSERT_TRUE(proof.has_value());
  EXPECT_LE(proof->size(), kHeight + 1);
  EXPECT_LE(log.reads, 2 * kHeight);
  EXPECT_TRUE(VerifyConsistency(777'777, kSize, *proof, old_tree.Root(), root));
}

// A log that continues another one knows of what lies before it only the frontier, and still proves
// everything about itself.
TEST(LogTiles, ContinueAFrontier) {
  const std::vector<Hash> leaves = Leaves(600);
  for (uint64_t base = 0; base <= 300; ++base) {
    LogTree tree;
    for (uint64_t i = 0; i < base; ++i) tree.Append(leaves[i]);
    const Hash base_root = tree.Root();
    Log log(LogTiles(base, tree.frontier()));
    ASSERT_EQ(log.tiles.Root(), base_root);
    for (uint64_t i = base; i < leaves.size(); ++i) {
      log.Append(leaves[i]);
      tree.Append(leaves[i]);
      ASSERT_EQ(log.tiles.Root(), tree.Root());
    }
    for (uint64_t i = base; i < leaves.size(); i += 7) {
      const auto proof = MakeInclusionProof(i, leaves.size(), log.Reader());
      ASSERT_TRUE(proof.has_value()) << "base " << base << " entry " << i;
      ASSERT_TRUE(VerifyInclusion(i, leaves.size(), leaves[i], *proof, tree.Root()));
    }
    const auto proof = MakeConsistencyProof(base, leaves.size(), log.Reader());
    ASSERT_TRUE(proof.has_value());
    ASSERT_TRUE(VerifyConsistency(base, leaves.size(), *proof, base_root, tree.Root()));
    // An entry before the base cannot be proved, and nothing wrong is given out instead.
    for (uint64_t i = 0; i < base; i += 11) {
      const auto older = MakeInclusionProof(i, leaves.size(), log.Reader());
      ASSERT_TRUE(!older.has_value() ||
                  VerifyInclusion(i, leaves.size(), leaves[i], *older, tree.Root()));
    }
  }
}

TEST(LogTiles, CompleteTilesEndWithTheLeafThatTheirPlaceSays) {
  LogTiles tiles;
  std::vector<LogTile> complete;
  for (uint64_t i = 0; i < 16 * 16 * 16; ++i) {
    complete.clear();
    tiles.Append(Leaf(i), &complete);
    ASSERT_EQ(complete.size(), i % 4096 == 4095 ? 3u
                               : i % 256 == 255 ? 2u
                               : i % 16 == 15   ? 1u
                                                : 0u);
    for (const LogTile& tile : complete) ASSERT_EQ(TileLastLeaf(tile.level, tile.index), i);
  }
}

// The root of four places in the first of them is the node over these four, and no other.
TEST(LogTiles, AMergedHashIsOneNodeOnly) {
  std::vector<Hash> hashes(kTileWidth);
  hashes[0] = Leaf(0);
  for (unsigned i = 4; i < kTileWidth; ++i) hashes[i] = Leaf(i);
  EXPECT_EQ(TileNode(hashes, 2, 0), Leaf(0));
  EXPECT_FALSE(TileNode(hashes, 0, 0).has_value());
  EXPECT_FALSE(TileNode(hashes, 1, 0).has_value());
  EXPECT_FALSE(TileNode(hashes, 0, 1).has_value());
  EXPECT_FALSE(TileNode(hashes, 1, 2).has_value());
  EXPECT_EQ(TileNode(hashes, 0, 4), Leaf(4));
  EXPECT_EQ(TileNode(hashes, 3, 0), HashPair(Label::kLogNode, Leaf(0), *TileNode(hashes, 2, 4)));
}

TEST(LogTiles, CanBeLoadedAgain) {
  LogTiles tiles;
  std::vector<LogTile> complete;
  for (uint64_t i = 0; i < 1000; ++i) tiles.Append(Leaf(i), &complete);
  LogTiles loaded;
  for (unsigned level = 0; level < 4; ++level) {
    for (const Hash& hash : tiles.unfinished(level)) loaded.Load(level, hash);
  }
  loaded.SetSize(1000);
  EXPECT_EQ(loaded.Root(), tiles.Root());
  loaded.Append(Leaf(1000), &complete);
  tiles.Append(Leaf(1000), &complete);
  EXPECT_EQ(loaded.Root(), tiles.Root());
}

}  // namespace
}  // namespace stele::index
