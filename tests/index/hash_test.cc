// If these fail, hashes are not those that docs/format.md and RFC 6962 define, so nobody else can
// check them.
#include "index/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "index/log_tree.h"
#include "index/sparse_tree.h"
#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

std::string Hex(const Hash& hash) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : hash) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string Bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

// The leaves of Certificate Transparency's reference tests, and the roots of their first 0..8.
const std::string kLeaves[] = {
    "",
    Bytes({0x00}),
    Bytes({0x10}),
    Bytes({0x20, 0x21}),
    Bytes({0x30, 0x31}),
    Bytes({0x40, 0x41, 0x42, 0x43}),
    Bytes({0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57}),
    Bytes({0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e,
           0x6f}),
};
const char* const kRoots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

TEST(LogTreeTest, HasTheRootsOfTheReferenceTestsOfRfc6962) {
  LogTree tree;
  std::vector<Hash> leaves;
  EXPECT_EQ(Hex(tree.Root()), kRoots[0]);
  for (size_t i = 0; i < std::size(kLeaves); ++i) {
    leaves.push_back(Hasher(Label::kLogLeaf).Bytes(kLeaves[i]).Finish());
    tree.Append(leaves.back());
    EXPECT_EQ(Hex(tree.Root()), kRoots[i + 1]);
    EXPECT_EQ(MerkleRoot(Label::kLogNode, leaves), tree.Root());
    EXPECT_EQ(LogTree(tree.size(), tree.frontier()).Root(), tree.Root());
  }
  EXPECT_EQ(MerkleRoot(Label::kLogNode, {}), kZeroHash);
}

TEST(HasherTest, IsSha256WithTheLabelInFront) {
  EXPECT_EQ(Hex(Hasher().Bytes("abc").Finish()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string bytes = Bytes({0x25, 7, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'});
  EXPECT_EQ(Hasher(Label::kStateRoot).U8(7).U32(0x201).U64(3).Sized("x").Finish(),
            Hasher().Bytes(bytes).Finish());
}

// Keys that share long prefixes, so that deep splits and their merging are met.
Hash Key(uint64_t number) {
  Hash key{};
  key[31] = static_cast<uint8_t>(number);
  key[0] = static_cast<uint8_t>(number >> 8 << 7);
  key[15] = static_cast<uint8_t>(number >> 9);
  return key;
}

Hash RootByDefinition(const std::vector<std::pair<Hash, Hash>>& pairs, unsigned depth) {
  if (pairs.empty()) return kZeroHash;
  if (pairs.size() == 1) {
    return Hasher(Label::kTreeLeaf).Digest(pairs[0].first).Digest(pairs[0].second).Finish();
  }
  std::vector<std::pair<Hash, Hash>> sides[2];
  for (const auto& pair : pairs) {
    sides[pair.first[depth / 8] >> (7 - depth % 8) & 1].push_back(pair);
  }
  return HashPair(Label::kTreeNode, RootByDefinition(sides[0], depth + 1),
                  RootByDefinition(sides[1], depth + 1));
}

TEST(SparseTreeTest, IsItsDefinitionWhateverTheOrderOfChanges) {
  TestRandom random(3);
  SparseTree tree;
  std::map<Hash, Hash> content;
  for (int step = 0; step < 4000; ++step) {
    const bool growing = step / 500 % 2 == 0;
    const Hash key = Key(random.Below(1 << 12));
    if (random.Below(10) < (growing ? 8u : 3u)) {
      const Hash value{static_cast<uint8_t>(random.Below(3))};
      content[key] = value;
      tree.Put(key, value);
    } else if (content.erase(key) == 1) {
      tree.Remove(key);
    } else if (!content.empty()) {
      const Hash first = content.begin()->first;
      content.erase(first);
      tree.Remove(first);
    }
    if (step % 7 == 0) {
      ASSERT_EQ(tree.Root(), RootByDefinition({content.begin(), content.end()}, 0)) << step;
    }
  }
  while (!content.empty()) {
    tree.Remove(content.begin()->first);
    content.erase(content.begin());
  }
  EXPECT_EQ(tree.Root(), kZeroHash);
}

}  // namespace
}  // namespace stele::index
