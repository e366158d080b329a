// If these fail, a snapshot does not hold the state, loads into another one, differs between equal
// servers, or is accepted when damaged.
#include "index/snapshot.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "tests/property/commands.h"
#include "tests/property/comparison.h"

namespace stele::property {
namespace {

using index::LogIndex;
using index::StateMachine;

using Documents = std::map<std::pair<LogIndex, uint32_t>, index::StoredDocument>;

// A state machine with the log around it, as far as a snapshot needs it.
struct World {
  std::unique_ptr<StateMachine> machine = std::make_unique<StateMachine>(5);
  index::LogTree log_tree;
  Documents documents;

  index::ApplyResult Apply(const index::Command& command) {
    const LogIndex index = machine->next_index();
    index::ApplyResult result = machine->Apply(index, command);
    log_tree.Append(index::LogLeaf(index::EncodeCommitRecord(result.commit)));
    for (uint32_t i = 0; i < command.operations.size(); ++i) {
      const index::Operation& operation = command.operations[i].operation;
      documents[{index, i}] = {operation.document,
                               index::PartSalt(operation.salt, index::PartKind::kDocument)};
    }
    return result;
  }

  index::SnapshotBasis Basis() const {
    index::SnapshotBasis basis;
    basis.log_id = {1, 2, 3};
    basis.log_index = machine->next_index() - 1;
    basis.state_index = machine->state_index();
    basis.rules_version = machine->rules_version();
    basis.timestamp_micros = machine->last_timestamp_micros();
    basis.state_root = machine->state_root();
    basis.log_tree = log_tree;
    basis.requests = machine->MakeRequestView();
    basis.pending_erasures = machine->pending_erasures();
    basis.history_entries = machine->history_entries();
    return basis;
  }

  std::string Write(const index::SnapshotBasis& basis, index::SnapshotManifest* manifest) const {
    std::string file;
    EXPECT_TRUE(index::WriteSnapshot(
        *machine, basis,
        [&](std::string_view bytes) {
          file.append(bytes);
          return true;
        },
        [&](const index::DocumentRef& reference, index::StoredDocument* document) {
          *document = documents.at({reference.index, reference.ordinal});
          return true;
        },
        manifest));
    return file;
  }
};

// The whole way that recovery goes. Null where anything is wrong.
std::unique_ptr<World> Read(const std::string& file) {
  std::string error;
  const auto manifest = index::ParseSnapshot(file, &error);
  if (!manifest.has_value()) return nullptr;
  for (const index::SnapshotSection& section : manifest->sections) {
    if (!index::IsIntact(file, section)) return nullptr;
  }
  auto world = std::make_unique<World>();
  if (!index::SnapshotLoader::Load(file, *manifest, world->machine.get(), &error)) return nullptr;
  world->log_tree = manifest->log_tree;
  if (!index::ForEachDocument(file, *manifest,
                              [&](const index::DocumentRef& reference, std::string_view bytes,
                                  const index::Salt* salt) {
                                world->documents[{reference.index, reference.ordinal}] = {
                                    std::string(bytes), salt != nullptr ? *salt : index::Salt{}};
                                return true;
                              })) {
    return nullptr;
  }
  return world;
}

TEST(SnapshotTest, ALoadedMachineIsTheMachine) {
  const uint64_t fresh_seed = SeedFromEnvironment();
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{4}, fresh_seed}) {
    SCOPED_TRACE("STELE_SEED=" + std::to_string(seed));
    CommandSource source(seed);
    reference::Machine reference;
    World world;
    const uint64_t entries = 50 + source.random().Below(250);
    const auto apply_next = [&] {
      const index::Command command = source.Next(reference.state());
      reference.Apply(command);
      return std::pair(command, world.Apply(command));
    };
    for (uint64_t i = 0; i < entries; ++i) apply_next();

    const index::SnapshotBasis basis = world.Basis();
    const reference::State state = reference.state();
    index::SnapshotManifest manifest;
    const std::string file = world.Write(basis, &manifest);
    std::unique_ptr<World> loaded = Read(file);
    ASSERT_NE(loaded, nullptr);
    EXPECT_EQ(loaded->machine->state_root(), world.machine->state_root());
    EXPECT_EQ(Difference(*loaded->machine, basis.log_index, state), "");
    index::SnapshotManifest again;
    EXPECT_EQ(loaded->Write(loaded->Basis(), &again), file) << "written again, other bytes";
    EXPECT_EQ(index::SnapshotHash(again), index::SnapshotHash(manifest));

    for (int i = 0; i < 150; ++i) {
      const auto [command, expected] = apply_next();
      const index::ApplyResult result = loaded->Apply(command);
      ASSERT_EQ(index::EncodeCommitRecord(result.commit),
                index::EncodeCommitRecord(expected.commit));
      ASSERT_EQ(result.effects, expected.effects);
    }
    EXPECT_EQ(loaded->log_tree.Root(), world.log_tree.Root());
    index::SnapshotManifest later[2];
    EXPECT_EQ(loaded->Write(loaded->Basis(), &later[0]), world.Write(world.Basis(), &later[1]));
    // A snapshot is of its own index, however late it is written.
    EXPECT_EQ(world.Write(basis, &later[0]), file);
  }
}

// A small state with everything in it.
std::string SmallFile() {
  World world;
  std::vector<index::Operation> entries(5);
  entries[0].kind = index::OperationKind::kGenesis;
  entries[0].rules_version = 1;
  entries[1].kind = index::OperationKind::kCreateCollection;
  entries[1].collection = "c";
  entries[1].config = {2, index::Metric::kL2, "text"};
  entries[2].collection = "c";
  entries[2].id = "a";
  entries[2].vector = {1, -2};
  entries[2].attributes = index::EncodeAttributes({{"n", index::EncodeInt64(1)}});
  entries[2].document = "doc";
  entries[3] = entries[2];
  entries[3].id = "b";
  entries[3].document.clear();
  entries[4] = entries[1];
  entries[4].collection = "d";
  entries[4].config.metric = index::Metric::kCosine;
  for (index::Operation& operation : entries) {
    index::Command command;
    command.header.actor = "actor";
    command.header.request_id = std::to_string(world.machine->next_index());
    command.operations.push_back(index::Prepare(std::move(operation)));
    index::Seal(command);
    EXPECT_EQ(world.Apply(command).commit.outcome, index::Outcome::kOk);
  }
  index::SnapshotManifest manifest;
  return world.Write(world.Basis(), &manifest);
}

TEST(SnapshotTest, EveryChangedByteIsRefused) {
  const std::string file = SmallFile();
  ASSERT_NE(Read(file), nullptr);
  for (size_t i = 0; i < file.size(); ++i) {
    for (const int flip : {0x01, 0x02, 0x10, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      EXPECT_EQ(Read(damaged), nullptr) << "byte " << i << " of " << file.size();
    }
  }
}

TEST(SnapshotTest, EveryCutAndEveryExtensionIsRefused) {
  const std::string file = SmallFile();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(Read(file.substr(0, size)), nullptr) << size;
    EXPECT_EQ(Read(file.substr(file.size() - size)), nullptr) << size;
  }
  EXPECT_EQ(Read(file + '\0'), nullptr);
  EXPECT_EQ(Read('\0' + file), nullptr);
  EXPECT_EQ(Read(file + file), nullptr);
}

// Someone who can also rewrite digests: the sections' and the manifest's are right, the content is
// not. Load must refuse by the roots alone, and must survive whatever stands there.
TEST(SnapshotTest, ChangedContentWithRepairedDigestsIsRefused) {
  const std::string file = SmallFile();
  std::string error;
  const auto manifest = index::ParseSnapshot(file, &error);
  ASSERT_TRUE(manifest.has_value());
  const size_t part = file.find(index::AsBytes(index::DocumentPart("doc")));
  ASSERT_NE(part, std::string::npos);
  for (const index::SnapshotSection& section : manifest->sections) {
    if (section.kind == index::SectionKind::kDocuments) continue;
    for (uint64_t at = section.offset; at < section.offset + section.size_bytes; ++at) {
      for (const int flip : {0x01, 0x80, 0xff}) {
        std::string damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        index::SnapshotManifest repaired = *manifest;
        for (index::SnapshotSection& other : repaired.sections) {
          other.digest =
              index::Hasher()
                  .Bytes(std::string_view(damaged).substr(other.offset, other.size_bytes))
                  .Finish();
        }
        StateMachine machine;
        const bool loaded = index::SnapshotLoader::Load(damaged, repaired, &machine, &error);
        // Where a document lies is bound by the section's digest alone.
        const bool in_place = at >= part - 16 && at < part;
        EXPECT_TRUE(!loaded || in_place) << "byte " << at - section.offset << " of a section";
      }
    }
  }
}

TEST(SnapshotTest, ManifestsSurviveMutation) {
  const std::string file = SmallFile();
  index::TestRandom random(8);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = file;
    // Header, manifest and trailer, with the trailer's digest made right again.
    const uint64_t trailer = damaged.size() - 56;
    index::Decoder places(std::string_view(damaged).substr(trailer));
    const uint64_t offset = places.U64();
    const uint64_t size = places.U64();
    damaged[offset + random.Below(size)] = static_cast<char>(random.Next());
    const index::Hash digest =
        index::Hasher().Bytes(std::string_view(damaged).substr(offset, size)).Finish();
    damaged.replace(trailer + 16, 32, index::AsBytes(digest));
    if (damaged == file) continue;
    std::string error;
    const auto manifest = index::ParseSnapshot(damaged, &error);
    if (!manifest.has_value()) {
      EXPECT_FALSE(error.empty());
      continue;
    }
    // What parses is the manifest's one encoding; then something in it must disagree with the
    // content, or it is another snapshot's name.
    StateMachine machine;
    index::SnapshotManifest clean = *index::ParseSnapshot(file, &error);
    if (index::SnapshotHash(*manifest) == index::SnapshotHash(clean)) {
      bool intact = true;
      for (const auto& section : manifest->sections) intact &= index::IsIntact(damaged, section);
      EXPECT_FALSE(intact && index::SnapshotLoader::Load(damaged, *manifest, &machine, &error));
    } else {
      index::SnapshotLoader::Load(damaged, *manifest, &machine, &error);
    }
  }
}

}  // namespace
}  // namespace stele::property
