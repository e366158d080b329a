// If this failed, a record could be shown to be where it is not, or to be missing where it is.
#include "index/record_proof.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "index/proof_text.h"
#include "index/sparse_tree.h"
#include "index/state_machine.h"

namespace stele::index {
namespace {

using Map = std::map<Hash, Hash>;

Hash RandomHash(std::mt19937_64& random) {
  Hash hash;
  for (uint8_t& byte : hash) byte = static_cast<uint8_t>(random());
  return hash;
}

// docs/format.md, "Sparse tree", word for word.
Hash NaiveRoot(const Map& map, unsigned depth) {
  if (map.empty()) return kZeroHash;
  if (map.size() == 1) return SparseLeaf(map.begin()->first, map.begin()->second);
  Map halves[2];
  for (const auto& [key, value] : map) halves[key[depth / 8] >> (7 - depth % 8) & 1][key] = value;
  return HashPair(Label::kTreeNode, NaiveRoot(halves[0], depth + 1),
                  NaiveRoot(halves[1], depth + 1));
}

struct Tree {
  Map map;
  SparseTree tree;
  void Put(const Hash& key, const Hash& value) {
    map[key] = value;
    tree.Put(key, value);
  }
};

// Random keys, and families that differ only in their last bits.
Tree MakeTree(unsigned count, std::mt19937_64& random) {
  Tree made;
  while (made.map.size() < count) {
    Hash key = RandomHash(random);
    if (random() % 4 == 0 && !made.map.empty()) {
      key = made.map.begin()->first;
      key[random() % 32] ^= static_cast<uint8_t>(1u << random() % 8);
    }
    made.Put(key, RandomHash(random));
  }
  return made;
}

void ExpectChangesFail(const Hash& key, const std::optional<Hash>& value, const SparseProof& proof,
                       const Hash& root) {
  const auto fails = [&](const SparseProof& changed) {
    return SparseProofRoot(key, value, changed) != root;
  };
  for (size_t i = 0; i < proof.siblings.size(); ++i) {
    SparseProof changed = proof;
    changed.siblings[i][i % 32] ^= 1;
    EXPECT_TRUE(fails(changed));
    changed = proof;
    changed.siblings.erase(changed.siblings.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_TRUE(fails(changed));
  }
  SparseProof changed = proof;
  changed.siblings.push_back(kZeroHash);
  EXPECT_TRUE(fails(changed));
  if (proof.end == SparseProof::End::kOtherKey) {
    changed = proof;
    changed.other_key[31] ^= 1;
    EXPECT_TRUE(fails(changed));
    changed = proof;
    changed.other_value[0] ^= 1;
    EXPECT_TRUE(fails(changed));
  }
}

TEST(SparseProof, PresenceAndAbsenceHoldAndNothingElseDoes) {
  std::mt19937_64 random(5);
  for (const unsigned count : {0u, 1u, 2u, 3u, 10u, 200u}) {
    Tree made = MakeTree(count, random);
    const Hash root = made.tree.Root();
    ASSERT_EQ(root, NaiveRoot(made.map, 0));
    for (const auto& [key, value] : made.map) {
      const SparseProof proof = made.tree.Prove(key);
      ASSERT_EQ(proof.end, SparseProof::End::kKey);
      ASSERT_EQ(SparseProofRoot(key, value, proof), root);
      Hash other = value;
      other[3] ^= 4;
      EXPECT_NE(SparseProofRoot(key, other, proof), root);
      EXPECT_FALSE(SparseProofRoot(key, std::nullopt, proof).has_value());
      if (count <= 10) ExpectChangesFail(key, value, proof, root);
      // It is there: no proof of another kind says that it is not.
      SparseProof lie = proof;
      lie.end = SparseProof::End::kEmpty;
      EXPECT_NE(SparseProofRoot(key, std::nullopt, lie), root);
      lie.end = SparseProof::End::kOtherKey;
      lie.other_key = key;
      lie.other_value = value;
      EXPECT_NE(SparseProofRoot(key, std::nullopt, lie), root);
    }
    for (int i = 0; i < 300; ++i) {
      Hash key = RandomHash(random);
      if (i % 2 == 0 && !made.map.empty()) {
        key = made.map.begin()->first;
        key[random() % 32] ^= static_cast<uint8_t>(1u << random() % 8);
      }
      if (made.map.contains(key)) continue;
      const SparseProof proof = made.tree.Prove(key);
      ASSERT_NE(proof.end, SparseProof::End::kKey);
      ASSERT_EQ(SparseProofRoot(key, std::nullopt, proof), root);
      EXPECT_NE(SparseProofRoot(key, RandomHash(random), proof), root);
      if (count <= 10) ExpectChangesFail(key, std::nullopt, proof, root);
    }
  }
}

TEST(SparseProof, AnotherKeyMustShareThePath) {
  std::mt19937_64 random(6);
  Tree made = MakeTree(50, random);
  const Hash root = made.tree.Root();
  // The path of one key, said to be that of another.
  for (const auto& [key, value] : made.map) {
    SparseProof proof = made.tree.Prove(key);
    proof.end = SparseProof::End::kOtherKey;
    proof.other_key = key;
    proof.other_value = value;
    for (int i = 0; i < 20; ++i) {
      const Hash elsewhere = RandomHash(random);
      const std::optional<Hash> claimed = SparseProofRoot(elsewhere, std::nullopt, proof);
      bool shares = true;
      for (unsigned j = 0; j < proof.siblings.size(); ++j) {
        shares = shares && SparseKeyBit(key, j) == SparseKeyBit(elsewhere, j);
      }
      EXPECT_EQ(claimed == root, shares);
    }
  }
}

// A tree that no rule makes: a leaf in the place of a key that it does not share.
TEST(SparseProof, ALeafInAPlaceThatIsNotItsOwnShowsNothing) {
  Hash key{};
  Hash other{};
  other[0] = 0x80;
  SparseProof proof;
  proof.end = SparseProof::End::kOtherKey;
  proof.other_key = other;
  proof.other_value = Hash{1};
  proof.siblings = {kZeroHash};
  EXPECT_FALSE(SparseProofRoot(key, std::nullopt, proof).has_value());
  proof.siblings.assign(257, kZeroHash);
  EXPECT_FALSE(SparseProofRoot(key, std::nullopt, proof).has_value());
}

TEST(SparseProof, IsAsLongAsTheLogarithm) {
  std::mt19937_64 random(7);
  SparseTree tree;
  std::vector<Hash> keys;
  for (int i = 0; i < 100'000; ++i) {
    keys.push_back(RandomHash(random));
    tree.Put(keys.back(), keys.back());
  }
  const Hash root = tree.Root();
  const uint64_t hashes = tree.hash_count();
  size_t siblings = 0;
  for (int i = 0; i < 1000; ++i) {
    const Hash& key = keys[random() % keys.size()];
    const SparseProof proof = tree.Prove(key);
    siblings += proof.siblings.size();
    EXPECT_LE(proof.siblings.size(), 50u);
    EXPECT_EQ(SparseProofRoot(key, key, proof), root);
  }
  // log2(100,000) is 16.6; a compact tree of random keys is 1.33 deeper on the average.
  EXPECT_LE(siblings / 1000, 19u);
  EXPECT_EQ(tree.hash_count(), hashes) << "proving rehashed inner nodes";
}

class RecordProofs : public ::testing::Test {
 protected:
  void Apply(Operation operation) {
    Command command;
    command.operations.push_back(Prepare(std::move(operation)));
    Seal(command);
    const ApplyResult result = machine_.Apply(machine_.next_index(), command);
    ASSERT_EQ(result.commit.outcome, Outcome::kOk);
  }
  void SetUp() override {
    Operation genesis;
    genesis.kind = OperationKind::kGenesis;
    genesis.rules_version = kRulesVersion;
    Apply(genesis);
    for (const char* name : {"c", "d"}) {
      Operation create;
      create.kind = OperationKind::kCreateCollection;
      create.collection = name;
      create.config = {2, Metric::kDot, "about \xc3\xa9"};
      Apply(create);
    }
    for (int i = 0; i < 20; ++i) Put("r" + std::to_string(i), i % 2 == 0 ? "text" : "");
  }
  void Put(const std::string& id, const std::string& document) {
    Operation upsert;
    upsert.collection = "c";
    upsert.id = id;
    upsert.vector = {1 << 16, -5};
    upsert.attributes = EncodeAttributes({{"n", EncodeInt64(7)}});
    upsert.document = document;
    Apply(upsert);
  }
  void Expect(const std::string& collection, const std::string& id, bool exists) {
    RecordProof proof = machine_.ProveRecord(collection, id);
    proof.inclusion = "INCLUSION";
    EXPECT_EQ(proof.commitment.has_value(), exists);
    std::string error;
    EXPECT_EQ(RecordProofStateRoot(proof, &error), machine_.state_root()) << error;
    const std::string text = EncodeRecordProof(proof);
    const auto parsed = ParseRecordProof(text, &error);
    ASSERT_TRUE(parsed.has_value()) << error;
    EXPECT_EQ(EncodeRecordProof(*parsed), text);
    EXPECT_EQ(RecordProofStateRoot(*parsed, &error), machine_.state_root());
    RecordProof other = *parsed;
    other.id += "x";
    // Where nothing is, nothing else may be either: that is as true.
    EXPECT_TRUE(!exists || RecordProofStateRoot(other, &error) != machine_.state_root());
    other = *parsed;
    other.rules_version += 1;
    EXPECT_NE(RecordProofStateRoot(other, &error), machine_.state_root());
    other = *parsed;
    other.content.reset();
    EXPECT_EQ(RecordProofStateRoot(other, &error), machine_.state_root());
  }
  StateMachine machine_;
};

TEST_F(RecordProofs, HoldForWhatIsThereAndForWhatIsNot) {
  Expect("c", "r0", true);
  Expect("c", "r1", true);
  Expect("c", "r20", false);
  Expect("d", "r0", false);
  Expect("e", "r0", false);
  Operation drop;
  drop.kind = OperationKind::kDelete;
  drop.collection = "c";
  drop.id = "r1";
  Apply(drop);
  Expect("c", "r1", false);
  drop = {};
  drop.kind = OperationKind::kDropCollection;
  drop.collection = "c";
  Apply(drop);
  Expect("c", "r0", false);
  Expect("d", "r0", false);
}

TEST_F(RecordProofs, NothingIsShownThatThePathsDoNotCarry) {
  const auto refused = [](const RecordProof& proof) {
    std::string error;
    EXPECT_FALSE(ParseRecordProof(EncodeRecordProof(proof), &error).has_value());
    EXPECT_FALSE(error.empty());
    error.clear();
    EXPECT_FALSE(RecordProofStateRoot(proof, &error).has_value());
    EXPECT_FALSE(error.empty());
  };
  const RecordProof there = machine_.ProveRecord("c", "r0");
  RecordProof none = machine_.ProveRecord("e", "r0");
  none.commitment = there.commitment;
  refused(none);
  none.content = there.content;
  refused(none);
  none = machine_.ProveRecord("c", "nobody");
  none.content = there.content;
  refused(none);
  // Found where nothing is, and nothing where something is.
  std::string error;
  none = machine_.ProveRecord("c", "nobody");
  none.commitment = there.commitment;
  EXPECT_FALSE(RecordProofStateRoot(none, &error).has_value());
  RecordProof lie = there;
  lie.commitment.reset();
  lie.content.reset();
  EXPECT_FALSE(RecordProofStateRoot(lie, &error).has_value());
  lie = there;
  lie.config.reset();
  EXPECT_FALSE(RecordProofStateRoot(lie, &error).has_value());
}

// FROZEN.
TEST(RecordProofText, IsTheseLines) {
  RecordProof proof;
  proof.collection = "c";
  proof.id = "r";
  proof.rules_version = 1;
  proof.config = CollectionConfig{2, Metric::kCosine, ""};
  proof.commitment = Hash{1};
  proof.content = RecordContent{std::string("\1\0\0\0\2\0\0\0", 8), "", Hash{2}, {}};
  proof.record_path.end = SparseProof::End::kKey;
  proof.record_path.siblings = {Hash{3}, kZeroHash};
  proof.collection_path.end = SparseProof::End::kOtherKey;
  proof.collection_path.other_key = Hash{4};
  proof.collection_path.other_value = Hash{5};
  proof.inclusion = "INCLUSION\n";
  EXPECT_EQ(EncodeRecordProof(proof),
            "stele/record-proof@v1\n"
            "collection Yw==\n"
            "id cg==\n"
            "rules 1\n"
            "config 2 3 \n"
            "record AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
            "vector AQAAAAIAAAA=\n"
            "attributes \n"
            "document AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
            "record-path found\n"
            "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
            "\n"
            "collection-path other BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "
            "BQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
            "\n"
            "sha256 zd3vVAL9wBfuHNng5/1WPg5m5ISkoEiYAyiz3n2cqCY=\n"
            "INCLUSION\n");
  proof.config.reset();
  proof.commitment.reset();
  proof.content.reset();
  proof.collection_path.end = SparseProof::End::kEmpty;
  EXPECT_EQ(EncodeRecordProof(proof),
            "stele/record-proof@v1\ncollection Yw==\nid cg==\nrules 1\nconfig none\nrecord none\n"
            "collection-path empty\n\nsha256 cXnZC8kfpXzwqUVdiFsL7OsFseTibimfBvGNYHV5Vfc=\n"
            "INCLUSION\n");
}

// Every byte of the text, one bit at a time: it is refused. With the sum of the lines put right
// again it still is refused, or leads to another root, or is as true: nothing else is there either.
TEST_F(RecordProofs, EveryByteCounts) {
  const std::pair<const char*, const char*> kPlaces[] = {{"c", "r0"}, {"d", "r0"}, {"e", "r0"}};
  for (const auto& [collection, id] : kPlaces) {
    const RecordProof proof = machine_.ProveRecord(collection, id);
    const std::string text = EncodeRecordProof(proof);
    const size_t sum = text.find("sha256 ");
    std::string error;
    for (size_t i = 0; i < text.size(); ++i) {
      EXPECT_FALSE(ParseRecordProof(text.substr(0, i), &error).has_value());
      for (unsigned bit = 0; bit < 8; ++bit) {
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
        error.clear();
        EXPECT_FALSE(ParseRecordProof(changed, &error).has_value()) << "byte " << i;
        EXPECT_TRUE(error.starts_with("line ")) << error;
        if (i >= sum) continue;
        const std::string head = changed.substr(0, sum);
        changed = head + "sha256 " + EncodeBase64(AsBytes(Hasher().Bytes(head).Finish())) + "\n";
        const auto parsed = ParseRecordProof(changed, &error);
        if (!parsed.has_value()) continue;
        ASSERT_EQ(EncodeRecordProof(*parsed), changed);
        const bool as_true = (!proof.commitment.has_value() && parsed->id != proof.id) ||
                             (!proof.config.has_value() && parsed->collection != proof.collection);
        EXPECT_TRUE(as_true || RecordProofStateRoot(*parsed, &error) != machine_.state_root())
            << "byte " << i << " of\n"
            << changed;
      }
    }
  }
}

}  // namespace
}  // namespace stele::index
