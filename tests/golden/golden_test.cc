// If these fail, bytes that are stored or hashed are not what they were when they were frozen: old
// logs, snapshots and proofs would no longer be read, or docs/format.md would be wrong.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "index/command.h"
#include "index/commit_record.h"
#include "index/holds.h"
#include "index/snapshot.h"
#include "tests/golden/example_log.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/script.h"

namespace stele::golden {
namespace {

using namespace stele::index;  // NOLINT: the test is about all of it

std::string Bytes(const Hash& hash) { return std::string(AsBytes(hash)); }

Operation MakeOperation(OperationKind kind) {
  Operation operation;
  operation.kind = kind;
  if (kind <= OperationKind::kDropCollection || Erases(kind)) operation.collection = "notes";
  if (IsRecordKind(kind)) operation.id = "a";
  return operation;
}

Filter SomeFilter() {
  Filter tag;
  tag.kind = Filter::Kind::kCondition;
  tag.test = Filter::Test::kExists;
  tag.attribute = "tag";
  Filter none;
  none.kind = Filter::Kind::kNoneOf;
  none.parts = {tag};
  Filter all;
  all.parts = {ExampleCondition(), none};
  return all;
}

using Samples = std::map<std::string, std::string>;

void AddValues(Samples* samples) {
  (*samples)["value.bool"] = EncodeBool(true);
  (*samples)["value.int64"] = EncodeInt64(-2);
  (*samples)["value.double"] = *EncodeDouble(0x3ff8000000000000u);
  (*samples)["value.string"] = *EncodeString("\xc3\xa9");
  (*samples)["value.bytes"] = EncodeBytes("\xff");
  (*samples)["value.timestamp"] = EncodeTimestamp(1);
  (*samples)["value.list"] = *EncodeList(std::vector{EncodeBool(true), EncodeBool(false)});
  (*samples)["value.list.empty"] = *EncodeList({});
  (*samples)["attributes"] = ExampleAttributes();
  Encoder filter;
  EncodeFilter(SomeFilter(), filter);
  (*samples)["filter"] = filter.bytes();
}

void AddOperations(Samples* samples) {
  const auto add = [&](const std::string& name, const Operation& operation) {
    (*samples)["operation." + name] = EncodeOperation(operation);
    (*samples)["item." + name] = Bytes(Prepare(operation).item);
  };
  add("upsert", ExampleUpsert());
  Operation insert = ExampleUpsert();
  insert.kind = OperationKind::kInsert;
  insert.precondition.kind = Precondition::Kind::kMustNotExist;
  add("insert", insert);
  Operation update = MakeOperation(OperationKind::kUpdateAttributes);
  update.precondition = {Precondition::Kind::kExpectedVersion, 2};
  update.attributes = ExampleAttributes();
  update.removed = {"old", "older"};
  add("update", update);
  add("delete", MakeOperation(OperationKind::kDelete));
  Operation by_filter = MakeOperation(OperationKind::kDeleteByFilter);
  by_filter.limit = 100;
  by_filter.filter = SomeFilter();
  add("delete_by_filter", by_filter);
  Operation create = MakeOperation(OperationKind::kCreateCollection);
  create.config = {2, Metric::kL2, "About"};
  add("create", create);
  create.config.receipts = ReceiptPolicy::kSigned;
  create.config.erasable = true;
  add("create_with_options", create);
  add("drop", MakeOperation(OperationKind::kDropCollection));
  const auto add_salted = [&](const std::string& name, Operation operation) {
    operation.salted = true;
    operation.salt.fill(0x53);
    add("salted_" + name, operation);
    add("salted_" + name + ".erased", WithoutContent(operation));
  };
  add_salted("upsert", ExampleUpsert());
  (*samples)["salted_record_commitment"] =
      (*samples)["operation.salted_upsert.erased"].substr(1 + 9 + 9 + 5);
  add_salted("insert", insert);
  add_salted("update", update);
  add_salted("delete_by_filter", by_filter);
  add("erase", MakeOperation(OperationKind::kErase));
  Operation erase_by_filter = MakeOperation(OperationKind::kEraseByFilter);
  erase_by_filter.limit = 100;
  erase_by_filter.filter = SomeFilter();
  erase_by_filter.salted = true;
  erase_by_filter.salt.fill(0x53);
  add("erase_by_filter", erase_by_filter);
  add("erase_by_filter.erased", WithoutContent(erase_by_filter));
  Operation completed = MakeOperation(OperationKind::kErasureCompleted);
  completed.index = 7;
  completed.items_count = 3;
  completed.snapshots_count = 1;
  add("erasure_completed", completed);
  Operation hold = MakeOperation(OperationKind::kSetHold);
  hold.collection = "notes";
  hold.hold = "case";
  hold.reason = "why";
  hold.ids = {"a", "b"};
  add("set_hold", hold);
  hold.kind = OperationKind::kReleaseHold;
  add("release_hold", hold);
  Operation history = MakeOperation(OperationKind::kSetHistory);
  history.history_entries = 500;
  add("set_history", history);
  (*samples)["holds_hash"] = Bytes(HoldsHash({{"case", {7, "why", {"a", "b"}}}}));
  Operation genesis = MakeOperation(OperationKind::kGenesis);
  genesis.rules_version = 1;
  add("genesis", genesis);
  Operation restore = MakeOperation(OperationKind::kRestore);
  restore.rules_version = 1;
  restore.parent_log = {1, 2, 3};
  restore.index = 7;
  restore.log_root = {4};
  restore.snapshot_hash = {5};
  add("restore", restore);
  Operation upgrade = MakeOperation(OperationKind::kUpgrade);
  upgrade.rules_version = 1;
  add("upgrade", upgrade);
  Operation sealed = MakeOperation(OperationKind::kSnapshotSealed);
  sealed.index = 7;
  sealed.snapshot_hash = {5};
  add("sealed", sealed);
  Operation receipts = MakeOperation(OperationKind::kReceipts);
  receipts.receipts = {Hash{1}, Hash{2}};
  add("receipts", receipts);
}

void AddLog(Samples* samples) {
  StateMachine machine;
  LogTree log_tree;
  ApplyExampleLog(&machine, &log_tree, [&](const Command& command, const ApplyResult& result) {
    const LogIndex index = result.commit.index;
    const EntryRow row = {EncodeHeader(command.header), EncodeCommitRecord(result.commit),
                          EncodeEffects(result.effects)};
    const std::string name = "log." + std::to_string(index) + ".";
    (*samples)[name + "header"] = row.header;
    (*samples)[name + "command"] = Bytes(result.commit.command);
    (*samples)[name + "commit"] = row.commit;
    (*samples)[name + "effects"] = row.effects;
    (*samples)[name + "row"] = EncodeEntryRow(row);
    (*samples)[name + "leaf"] = Bytes(LogLeaf(row.commit));
    (*samples)[name + "root"] = Bytes(log_tree.Root());
    (*samples)[name + "state_root"] = Bytes(result.commit.state_root);
    (*samples)[name + "request_body"] = Bytes(RequestBody(command.header));
  });
  const RequestKey key = MakeRequestKey("alice", "r-1");
  (*samples)["request_key"] = std::string(key.begin(), key.end());
  (*samples)["record_key"] = Bytes(RecordKey("notes", "a"));
  (*samples)["collection_key"] = Bytes(CollectionKey("notes"));
  (*samples)["document_part"] = Bytes(DocumentPart("hello"));
  (*samples)["record_commitment"] = Bytes(Prepare(ExampleUpsert()).record);
  (*samples)["records_root"] = Bytes(machine.FindCollection("notes", 2)->StatsAt(2).records_root);

  SnapshotBasis basis;
  basis.log_id = {0xa0, 0xa1, 0xa2};
  basis.log_index = 2;
  basis.state_index = machine.state_index();
  basis.rules_version = machine.rules_version();
  basis.timestamp_micros = machine.last_timestamp_micros();
  basis.state_root = machine.state_root();
  basis.log_tree = log_tree;
  basis.requests = machine.MakeRequestView();
  SnapshotManifest manifest;
  std::string file;
  WriteSnapshot(
      machine, basis,
      [&](std::string_view bytes) {
        file.append(bytes);
        return true;
      },
      [](const DocumentRef&, StoredDocument* document) {
        document->bytes = "hello";
        return true;
      },
      &manifest);
  (*samples)["snapshot"] = file;
  (*samples)["snapshot.hash"] = Bytes(SnapshotHash(manifest));
  (*samples)["snapshot.versions_hash"] = Bytes(manifest.versions_hash);
}

Samples AllSamples() {
  Samples samples;
  AddValues(&samples);
  AddOperations(&samples);
  AddLog(&samples);
  return samples;
}

TEST(GoldenTest, BytesAreFrozen) {
  std::string content = "# name, bytes in hexadecimal: see golden_test.cc and docs/format.md\n";
  for (const auto& [name, bytes] : AllSamples()) content += name + " " + Hex(bytes) + "\n";
  EXPECT_TRUE(Holds(Directory() + "bytes.txt", content)) << content;
}

TEST(GoldenTest, ScriptsGiveTheRecordedAnswers) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Directory() + "scripts")) {
    const std::string path = entry.path().string();
    const std::string answered = RunScript(ReadFile(path));
    EXPECT_TRUE(Holds(path, answered)) << path << " now gives:\n" << answered;
    ++count;
  }
  EXPECT_GE(count, 3u);
}

// The examples of docs/format.md: blocks that begin with ```hex NAME and hold hexadecimal up to a
// semicolon on each line. Put together they are the frozen bytes of that name.
TEST(GoldenTest, ExamplesOfTheFormatDocumentAreTheFrozenBytes) {
  const Samples samples = AllSamples();
  std::istringstream document(ReadFile(std::string(STELE_SOURCE_DIR) + "/docs/format.md"));
  std::string name;
  std::string hex;
  size_t count = 0;
  for (std::string line; std::getline(document, line);) {
    if (name.empty()) {
      if (line.rfind("```hex ", 0) == 0) name = line.substr(7);
      hex.clear();
    } else if (line == "```") {
      ASSERT_TRUE(samples.contains(name)) << name;
      EXPECT_EQ(hex, Hex(samples.at(name))) << name;
      name.clear();
      ++count;
    } else {
      for (const char c : line.substr(0, line.find(';'))) {
        if (c != ' ') hex += c;
      }
    }
  }
  EXPECT_GE(count, 10u);
}

}  // namespace
}  // namespace stele::golden
