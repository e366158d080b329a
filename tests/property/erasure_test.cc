// If these fail, a log or snapshot from which content was erased no longer gives the roots that it
// gave with it, or a commitment that was made before no longer holds.
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "index/snapshot.h"
#include "index/state_machine.h"
#include "tests/property/commands.h"
#include "tests/property/comparison.h"

namespace stele::property {
namespace {

using index::LogIndex;
using index::Operation;

struct Entry {
  index::Command command;
  index::ApplyResult result;
};

// A log, as it was written.
std::vector<Entry> MakeLog(uint64_t seed, int entries) {
  CommandSource source(seed);
  reference::Machine reference;
  index::StateMachine machine;
  std::vector<Entry> log;
  for (int i = 0; i < entries; ++i) {
    index::Command command = source.Next(reference.state());
    reference.Apply(command);
    index::ApplyResult result = machine.Apply(machine.next_index(), command);
    log.push_back({std::move(command), std::move(result)});
  }
  return log;
}

// The command as it is read back: through bytes, some of them without their content.
template <typename Erases>
index::Command ReadBack(const index::Command& command, const Erases& erases) {
  index::Command read;
  read.header = command.header;
  for (const index::PreparedOperation& prepared : command.operations) {
    Operation operation = prepared.operation;
    if (operation.kind == index::OperationKind::kContinuation) {  // has no encoding
      read.operations.push_back(prepared);
      continue;
    }
    if (operation.salted && erases(operation)) operation = index::WithoutContent(operation);
    std::optional<Operation> decoded = index::DecodeOperation(index::EncodeOperation(operation));
    EXPECT_TRUE(decoded.has_value());
    read.operations.push_back(index::Prepare(*std::move(decoded)));
    EXPECT_EQ(read.operations.back().item, prepared.item) << "another commitment";
  }
  return read;
}

// Replays a log; erases(index, operation) says whose content is gone. Gives how many effects were
// taken from the log.
template <typename Erases>
uint64_t ExpectSameReplay(const std::vector<Entry>& log, const Erases& erases) {
  index::StateMachine machine;
  uint64_t given = 0;
  for (const Entry& entry : log) {
    const LogIndex index = machine.next_index();
    const index::Command command =
        ReadBack(entry.command, [&](const Operation& o) { return erases(index, o); });
    const index::LoggedResult logged = {entry.result.commit, entry.result.effects};
    const index::ApplyResult result = machine.MeetsErased(command)
                                          ? machine.Replay(index, command, logged)
                                          : machine.Apply(index, command);
    given += result.given_count;
    EXPECT_EQ(index::EncodeCommitRecord(result.commit),
              index::EncodeCommitRecord(entry.result.commit))
        << "entry " << index << " outcome " << int(entry.result.commit.outcome);
    EXPECT_EQ(result.effects, entry.result.effects) << "entry " << index;
    if (::testing::Test::HasFailure()) break;
  }
  return given;
}

TEST(ErasureTest, AReplayWithoutContentGivesTheSameRoots) {
  uint64_t given = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const std::vector<Entry> log = MakeLog(seed, 400);
    EXPECT_EQ(ExpectSameReplay(log, [](LogIndex, const Operation&) { return false; }), 0u);
    given += ExpectSameReplay(log, [](LogIndex, const Operation&) { return true; });
    // Of some records, as erasures go; and of some operations, as a crash leaves it.
    std::set<std::string> ids;
    for (const Entry& entry : log) {
      for (const auto& prepared : entry.command.operations) {
        if (prepared.key[0] % 3 == 0) ids.insert(prepared.operation.id);
      }
    }
    given += ExpectSameReplay(
        log, [&](LogIndex, const Operation& o) { return o.id.empty() || ids.contains(o.id); });
    index::TestRandom random(seed);
    given +=
        ExpectSameReplay(log, [&](LogIndex, const Operation&) { return random.Below(2) == 0; });
    if (HasFailure()) return;
  }
  EXPECT_GT(given, 1000u);
}

// Whoever changes an effect that is taken as given is found out by the root over it.
TEST(ErasureTest, ALogThatLiesAboutWhatIsGoneGivesAnotherCommitRecord) {
  const std::vector<Entry> log = MakeLog(3, 400);
  index::StateMachine machine;
  bool lied = false;
  for (const Entry& entry : log) {
    const LogIndex index = machine.next_index();
    const index::Command command = ReadBack(entry.command, [](const Operation&) { return true; });
    index::LoggedResult logged = {entry.result.commit, entry.result.effects};
    const bool updates =
        entry.result.commit.outcome == index::Outcome::kOk && command.operations.size() == 1 &&
        command.operations[0].operation.erased &&
        command.operations[0].operation.kind == index::OperationKind::kUpdateAttributes;
    if (updates) logged.effects[0].value[0] ^= 1;
    const index::ApplyResult result = machine.Replay(index, command, logged);
    if (updates) {
      EXPECT_NE(result.commit.state_root, entry.result.commit.state_root);
      lied = true;
      break;
    }
  }
  EXPECT_TRUE(lied);
}

TEST(ErasureTest, OneEncodingOfWhatIsLeft) {
  for (const Entry& entry : MakeLog(5, 300)) {
    for (const auto& prepared : entry.command.operations) {
      if (!prepared.operation.salted) continue;
      const Operation stub = index::WithoutContent(prepared.operation);
      const std::string bytes = index::EncodeOperation(stub);
      EXPECT_EQ(index::EncodeOperation(*index::DecodeOperation(bytes)), bytes);
      EXPECT_EQ(index::EncodeOperation(index::WithoutContent(stub)), bytes);
      EXPECT_FALSE(index::DecodeOperation(bytes + "x").has_value());
      EXPECT_FALSE(index::DecodeOperation(bytes.substr(0, bytes.size() - 1)).has_value());
    }
  }
  Operation plain;
  plain.kind = index::OperationKind::kDelete;
  plain.collection = "c";
  plain.id = "i";
  std::string bytes = index::EncodeOperation(plain);
  bytes[0] = static_cast<char>(bytes[0] | index::kErasedBit);
  EXPECT_FALSE(index::DecodeOperation(bytes + std::string(32, 'x')).has_value())
      << "an operation without content cannot lose it";
}

// Nobody can order an effect by leaving the content out: only a log may be without it.
TEST(ErasureTest, ACommandWithoutContentIsRefused) {
  for (const Entry& entry : MakeLog(6, 300)) {
    if (entry.command.operations.empty() || !entry.command.operations[0].operation.salted) continue;
    index::StateMachine machine;
    index::Command command = ReadBack(entry.command, [](const Operation&) { return true; });
    command.header.expected_state_index.reset();
    EXPECT_EQ(machine.Apply(0, command).commit.outcome, index::Outcome::kMalformed);
  }
}

// A snapshot keeps its hash when content is taken out of it, and loads into the same state.
TEST(ErasureTest, AScrubbedSnapshotHasTheSameHashAndRoots) {
  uint64_t scrubbed = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    index::StateMachine machine;
    index::LogTree tree;
    std::map<std::pair<LogIndex, uint32_t>, index::StoredDocument> documents;
    index::ErasedKeys keys;
    std::vector<std::string> gone;
    for (const Entry& entry : MakeLog(seed, 300)) {
      const LogIndex index = machine.next_index();
      const index::ApplyResult result = machine.Apply(index, entry.command);
      tree.Append(index::LogLeaf(index::EncodeCommitRecord(result.commit)));
      for (uint32_t i = 0; i < entry.command.operations.size(); ++i) {
        const Operation& o = entry.command.operations[i].operation;
        documents[{index, i}] = {o.document, index::PartSalt(o.salt, index::PartKind::kDocument)};
        if (entry.command.operations[i].key[0] % 2 == 0) {
          keys[entry.command.operations[i].key] = index::kNever;
          if (o.salted) gone.push_back(std::string(index::AsBytes(o.salt)));
        }
      }
    }
    index::SnapshotBasis basis;
    basis.log_index = machine.next_index() - 1;
    basis.state_index = machine.state_index();
    basis.rules_version = machine.rules_version();
    basis.timestamp_micros = machine.last_timestamp_micros();
    basis.state_root = machine.state_root();
    basis.log_tree = tree;
    basis.requests = machine.MakeRequestView();
    basis.pending_erasures = machine.pending_erasures();
    basis.history_entries = machine.history_entries();
    index::SnapshotManifest manifest;
    std::string file, clean, error;
    ASSERT_TRUE(index::WriteSnapshot(
        machine, basis, [&](std::string_view b) { return file.append(b), true; },
        [&](const index::DocumentRef& r, index::StoredDocument* d) {
          return *d = documents.at({r.index, r.ordinal}), true;
        },
        &manifest));
    index::ScrubResult result;
    ASSERT_TRUE(index::ScrubSnapshot(
        file, *index::ParseSnapshot(file, &error), keys,
        [&](std::string_view b) { return clean.append(b), true; }, &result));
    scrubbed += result.records;
    const auto read = index::ParseSnapshot(clean, &error);
    ASSERT_TRUE(read.has_value()) << error;
    for (const auto& section : read->sections) EXPECT_TRUE(index::IsIntact(clean, section));
    EXPECT_EQ(index::SnapshotHash(*read), index::SnapshotHash(manifest));
    for (const std::string& salt : gone) {
      EXPECT_EQ(clean.find(salt), std::string::npos) << "a salt is still there";
    }
    index::StateMachine loaded;
    ASSERT_TRUE(index::SnapshotLoader::Load(clean, *read, &loaded, &error)) << error;
    EXPECT_EQ(loaded.state_root(), machine.state_root());
    EXPECT_EQ(loaded.erased_records(), result.records);
    EXPECT_EQ(loaded.pending_erasures(), machine.pending_erasures());
  }
  EXPECT_GT(scrubbed, 10u);
}

}  // namespace
}  // namespace stele::property
