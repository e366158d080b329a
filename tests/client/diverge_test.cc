// If these fail, where two states differ is not found, or found at a cost that grows with the
// states.
#include "client/cli/diverge.h"

#include <gtest/gtest.h>

#include <cmath>

#include "index/state_machine.h"

namespace stele::client::cli {
namespace {

using index::Operation;
using index::OperationKind;

// A state as a side of the comparison.
class State {
 public:
  explicit State(uint64_t records, uint64_t seed = 1) : machine_(seed) {
    Operation create;
    create.kind = OperationKind::kCreateCollection;
    create.collection = "c";
    create.config = {1, index::Metric::kL2, ""};
    Apply({create});
    for (uint64_t first = 0; first < records; first += 1000) {
      std::vector<Operation> operations;
      for (uint64_t i = first; i < std::min(first + 1000, records); ++i) {
        operations.push_back(Upsert(i, 1));
      }
      Apply(operations);
    }
  }

  static Operation Upsert(uint64_t number, int32_t value) {
    Operation operation;
    operation.collection = "c";
    operation.id = "r" + std::to_string(number);
    operation.vector = {value};
    return operation;
  }

  void Apply(std::vector<Operation> operations) {
    index::Command command;
    for (Operation& operation : operations) {
      command.operations.push_back(index::Prepare(std::move(operation)));
    }
    index::Seal(command);
    const auto result = machine_.Apply(machine_.next_index(), command);
    ASSERT_EQ(result.commit.outcome, index::Outcome::kOk);
  }

  TreeSource Source() {
    return
        [this](const v1::GetTreeNodesRequest& request) -> absl::StatusOr<v1::GetTreeNodesResponse> {
          ++asked;
          v1::GetTreeNodesResponse response;
          response.mutable_position()->set_state_root(
              std::string(index::AsBytes(machine_.state_root())));
          index::Hash prefix{};
          std::copy(request.prefix().begin(), request.prefix().end(), prefix.begin());
          std::vector<index::TreeNode> nodes;
          response.set_exists(machine_.ReadTree(request.collection(), prefix, request.prefix_bits(),
                                                request.levels(), &nodes));
          EXPECT_LE(nodes.size(), size_t{1} << request.levels());
          for (const index::TreeNode& node : nodes) {
            v1::TreeNode* wire = response.add_nodes();
            wire->set_path(std::string(index::AsBytes(node.path)));
            wire->set_depth(node.depth);
            (node.is_leaf ? wire->mutable_value() : wire->mutable_hash())
                ->assign(index::AsBytes(node.hash));
            if (!node.is_leaf) continue;
            wire->set_key(std::string(index::AsBytes(node.path)));
            if (request.collection().empty() && node.path == index::CollectionKey("c")) {
              wire->set_name("c");
            }
            if (request.with_ids()) wire->set_name("asked");
          }
          return response;
        };
  }

  uint64_t asked = 0;

 private:
  index::StateMachine machine_;
};

TEST(DivergeTest, NoDifferenceTakesOneLookAtEachRoot) {
  State a(3000, 1);
  State b(3000, 2);
  const auto found = FindDivergence(a.Source(), b.Source());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->kind, Divergence::Kind::kNone);
  EXPECT_EQ(found->exchanges, 2u);
}

TEST(DivergeTest, OneChangedRecordIsFoundInLogarithmicallyManyExchanges) {
  for (const uint64_t records : {1u, 20u, 1000u, 30000u}) {
    State a(records);
    for (const uint64_t changed : {uint64_t{0}, records / 2, records - 1}) {
      SCOPED_TRACE(std::to_string(changed) + " of " + std::to_string(records));
      State b(records);
      b.Apply({State::Upsert(changed, 2)});
      const auto found = FindDivergence(a.Source(), b.Source());
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->kind, Divergence::Kind::kRecordContent);
      EXPECT_EQ(found->collection, "c");
      const index::Hash key = index::RecordKey("c", "r" + std::to_string(changed));
      EXPECT_EQ(found->key, index::AsBytes(key));
      // The collections, the records eight levels at a time, and the id.
      const double depth = std::log2(static_cast<double>(records)) + 16;
      EXPECT_LE(static_cast<double>(found->exchanges), 2 + 2 * std::ceil(depth / 8) + 2);
    }
  }
}

TEST(DivergeTest, RecordsThatOnlyOneSideHas) {
  State a(500);
  State b(500);
  b.Apply({State::Upsert(777, 1)});
  auto found = FindDivergence(a.Source(), b.Source());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Divergence::Kind::kRecordOnlyInB);
  const index::Hash key = index::RecordKey("c", "r777");
  EXPECT_EQ(found->key, index::AsBytes(key));
  found = FindDivergence(b.Source(), a.Source());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Divergence::Kind::kRecordOnlyInA);

  // An empty side: the first record in order of key, and a collection that is not there at all.
  State none(0);
  found = FindDivergence(a.Source(), none.Source());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Divergence::Kind::kRecordOnlyInA);
  index::Hash first{};
  first.fill(0xff);
  for (int i = 0; i < 500; ++i) {
    first = std::min(first, index::RecordKey("c", "r" + std::to_string(i)));
  }
  EXPECT_EQ(found->key, index::AsBytes(first));
}

TEST(DivergeTest, CollectionsThatDiffer) {
  State a(5);
  State b(5);
  Operation create;
  create.kind = OperationKind::kCreateCollection;
  create.collection = "other";
  create.config = {1, index::Metric::kL2, ""};
  b.Apply({create});
  auto found = FindDivergence(a.Source(), b.Source());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Divergence::Kind::kCollectionOnlyInB);
  create.config.description = "another";
  a.Apply({create});
  found = FindDivergence(a.Source(), b.Source());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->kind, Divergence::Kind::kCollectionConfig);
}

TEST(DivergeTest, AStateThatChangesMeanwhileIsNotCompared) {
  State a(2000);
  State b(2000);
  b.Apply({State::Upsert(7, 2)});
  const TreeSource source = b.Source();
  const auto found = FindDivergence(a.Source(), [&](const v1::GetTreeNodesRequest& request) {
    auto response = source(request);
    b.Apply({State::Upsert(8, static_cast<int32_t>(b.asked))});
    return response;
  });
  EXPECT_TRUE(absl::IsAborted(found.status())) << found.status();
}

}  // namespace
}  // namespace stele::client::cli
