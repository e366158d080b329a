// Prints state roots, a snapshot's SHA-256 and hit lists of generated data. Whatever the processor,
// the compiler and its options, the output is tests/golden/roots.txt.
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "index/log_tree.h"
#include "index/quantize.h"
#include "index/search.h"
#include "index/snapshot.h"
#include "index/state_machine.h"
#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

std::string Hex(const Hash& hash) {
  std::string out;
  for (const uint8_t byte : hash) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned>(byte));
    out += digits;
  }
  return out;
}

class World {
 public:
  CommitRecord Apply(std::vector<Operation> operations) {
    Command command;
    for (Operation& operation : operations) {
      command.operations.push_back(Prepare(std::move(operation)));
    }
    command.header.actor = "actor";
    command.header.request_id = std::to_string(machine_.next_index());
    command.header.timestamp_micros = static_cast<int64_t>(machine_.next_index()) * 1000;
    Seal(command);
    const LogIndex index = machine_.next_index();
    const ApplyResult result = machine_.Apply(index, command);
    log_tree_.Append(LogLeaf(EncodeCommitRecord(result.commit)));
    return result.commit;
  }

  Operation RandomUpsert(const std::string& collection, uint32_t dimension, Metric metric) {
    Operation operation;
    operation.collection = collection;
    operation.id = std::to_string(random_.Below(400));
    operation.vector = RandomUnit(dimension, metric);
    AttributeMap attributes = {{"n", EncodeInt64(random_.Within(100))}};
    if (random_.Below(2) == 0) {
      // A double of any finite bits.
      const uint64_t bits = random_.Next() & ~(uint64_t{1} << 62);
      attributes.emplace_back("x", *EncodeDouble(bits));
    }
    operation.attributes = EncodeAttributes(attributes);
    return operation;
  }

  // Through the quantiser from binary32 bits, as floats from clients go.
  std::vector<int32_t> RandomUnit(uint32_t dimension, Metric metric) {
    std::vector<uint32_t> bits(dimension);
    for (uint32_t& x : bits) {
      // Magnitudes from 2^-20 to 2^6.
      x = static_cast<uint32_t>(random_.Next()) & 0x807fffffu;
      x |= static_cast<uint32_t>(107 + random_.Below(26)) << 23;
    }
    std::vector<int32_t> vector(dimension);
    const VectorCheck check =
        metric == Metric::kCosine ? NormalizeFloat32(bits, vector) : QuantizeFloat32(bits, vector);
    if (!check.ok()) std::printf("fault\n");
    return vector;
  }

  // Every kernel that this processor has, against the scalar ones; prints how many differ.
  void CompareKernels(uint32_t dimension) {
    const uint32_t groups = GroupCount(dimension);
    std::vector<int32_t> a(dimension);
    std::vector<int32_t> b(dimension);
    for (int32_t& x : a) x = random_.Within(1 << 20);
    for (int32_t& x : b) x = random_.Within(1 << 20);
    std::vector<uint8_t> plane(size_t{64} * groups * kGroupBytes);
    std::vector<int8_t> codes(size_t{groups} * kGroupDimensions);
    for (uint8_t& byte : plane) byte = static_cast<uint8_t>(random_.Next());
    for (int8_t& code : codes) code = static_cast<int8_t>(random_.Within(127));
    const Kernels& scalar = ScalarKernels();
    std::vector<int32_t> expected(64);
    scalar.nibble_dots(codes.data(), plane.data(), groups, 64, expected.data());
    int differ = 0;
    for (const KernelKind kind : kKernelKinds) {
      const Kernels* kernels = KernelsOfKind(kind);
      if (kernels == nullptr) continue;
      std::vector<int32_t> dots(64);
      kernels->nibble_dots(codes.data(), plane.data(), groups, 64, dots.data());
      differ += dots != expected;
      differ +=
          kernels->dot(a.data(), b.data(), dimension) != scalar.dot(a.data(), b.data(), dimension);
      differ += kernels->squared_l2(a.data(), b.data(), dimension) !=
                scalar.squared_l2(a.data(), b.data(), dimension);
    }
    std::printf("kernels of dimension %u: %d differ, %d\n", dimension, differ, int(expected[63]));
  }

  void Search(const std::string& name, uint32_t dimension, Metric metric) {
    const LogIndex n = machine_.next_index() - 1;
    const Collection& collection = *machine_.FindCollection(name, n);
    const std::vector<int32_t> vector = RandomUnit(dimension, metric);
    Filter filter;
    filter.kind = Filter::Kind::kCondition;
    filter.test = Filter::Test::kGreater;
    filter.attribute = "x";
    filter.literals = {EncodeInt64(0)};
    SearchQuery query;
    query.vector = vector;
    query.k = 5;
    for (const Filter* chosen : {static_cast<const Filter*>(nullptr), &std::as_const(filter)}) {
      query.filter = chosen;
      for (const SearchHit& hit : SearchAll(collection, n, query, BestKernels())) {
        std::printf("%s: %lld %s\n", name.c_str(), static_cast<long long>(hit.distance),
                    std::string(hit.version->id()).c_str());
      }
    }
  }

  void Snapshot() {
    SnapshotBasis basis;
    basis.log_index = machine_.next_index() - 1;
    basis.state_index = machine_.state_index();
    basis.rules_version = machine_.rules_version();
    basis.timestamp_micros = machine_.last_timestamp_micros();
    basis.state_root = machine_.state_root();
    basis.log_tree = log_tree_;
    basis.requests = machine_.MakeRequestView();
    SnapshotManifest manifest;
    Hasher digest;
    WriteSnapshot(
        machine_, basis,
        [&](std::string_view bytes) {
          digest.Bytes(bytes);
          return true;
        },
        [](const DocumentRef&, StoredDocument*) { return false; }, &manifest);
    std::printf("snapshot %s\nsnapshot hash %s\nlog root %s\n", Hex(digest.Finish()).c_str(),
                Hex(SnapshotHash(manifest)).c_str(), Hex(log_tree_.Root()).c_str());
  }

  TestRandom& random() { return random_; }

 private:
  TestRandom random_{2026};
  StateMachine machine_;
  LogTree log_tree_;
};

void Run() {
  World world;
  const struct {
    const char* name;
    uint32_t dimension;
    Metric metric;
  } collections[] = {
      {"l2", 8, Metric::kL2}, {"dot", 17, Metric::kDot}, {"cosine", 33, Metric::kCosine}};
  Operation operation;
  operation.kind = OperationKind::kGenesis;
  operation.rules_version = kRulesVersion;
  world.Apply({operation});
  for (const auto& [name, dimension, metric] : collections) {
    operation.kind = OperationKind::kCreateCollection;
    operation.collection = name;
    operation.config = {dimension, metric, ""};
    world.Apply({operation});
  }
  for (int i = 0; i < 1500; ++i) {
    const auto& [name, dimension, metric] = collections[i % 3];
    Operation next = world.RandomUpsert(name, dimension, metric);
    if (i % 7 == 3) {
      next.kind = i % 2 == 0 ? OperationKind::kDelete : OperationKind::kUpdateAttributes;
      if (next.kind == OperationKind::kDelete) next.attributes.clear();
      next.vector.clear();
    }
    const CommitRecord commit = world.Apply({next});
    if (i % 100 == 99) {
      std::printf("%d: outcome %d root %s\n", i, int(commit.outcome),
                  Hex(commit.state_root).c_str());
    }
  }
  for (const auto& [name, dimension, metric] : collections) {
    for (int i = 0; i < 3; ++i) world.Search(name, dimension, metric);
  }
  for (const uint32_t dimension : {1u, 31u, 33u, 100u, 384u}) world.CompareKernels(dimension);
  world.Snapshot();
}

}  // namespace
}  // namespace stele::index

int main() { stele::index::Run(); }
