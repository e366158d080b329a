// If this fails, what was signed as a search receipt is not what it was when the text was frozen:
// old receipts would no longer verify, or docs/format.md would be wrong.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "index/command.h"
#include "index/commit_record.h"
#include "index/log_tree.h"
#include "index/search_receipt.h"
#include "index/state_machine.h"
#include "server/signing.h"
#include "tests/golden/golden_file.h"

namespace stele::golden {
namespace {

using namespace stele::index;  // NOLINT: the test is about much of it

constexpr char kName[] = "stele/a0a1a200000000000000000000000000";

// Ed25519, with the bytes 0 to 31 as its seed.
std::unique_ptr<server::SigningKey> Key() {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("stele golden key " + std::to_string(::getpid()));
  std::ofstream(path) << "-----BEGIN PRIVATE KEY-----\n"
                         "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
                         "-----END PRIVATE KEY-----\n";
  auto key = server::SigningKey::Load(path.string());
  std::filesystem::remove(path);
  return std::move(key).value();
}

Filter SomeFilter() {
  Filter n;
  n.kind = Filter::Kind::kCondition;
  n.test = Filter::Test::kLess;
  n.attribute = "n";
  n.literals = {EncodeInt64(5)};
  return n;
}

// The receipt of a search in the log of three entries that docs/format.md follows.
std::string MakeReceipt() {
  StateMachine machine;
  LogTree log_tree;
  Operation operations[3];
  operations[0].kind = OperationKind::kGenesis;
  operations[0].rules_version = 1;
  operations[1].kind = OperationKind::kCreateCollection;
  operations[1].collection = "notes";
  operations[1].config = {2, Metric::kL2, "About"};
  operations[2].kind = OperationKind::kUpsert;
  operations[2].collection = "notes";
  operations[2].id = "a";
  operations[2].vector = {65536, -1};
  operations[2].attributes =
      EncodeAttributes({{"n", EncodeInt64(1)}, {"tag", *EncodeString("red")}});
  operations[2].document = "hello";
  for (const Operation& operation : operations) {
    const LogIndex index = machine.next_index();
    Command command;
    command.operations.push_back(Prepare(operation));
    command.header.log_id = {0xa0, 0xa1, 0xa2};
    command.header.term = 1;
    command.header.timestamp_micros = static_cast<int64_t>(1'700'000'000'000'000 + index);
    command.header.clock_micros = command.header.timestamp_micros;
    if (index == 2) {
      command.header.actor = "alice";
      command.header.request_id = "r-1";
      command.header.known_index = 1;
      command.header.expected_state_index = 1;
    }
    Seal(command);
    log_tree.Append(LogLeaf(EncodeCommitRecord(machine.Apply(index, command).commit)));
  }
  const Filter filter = SomeFilter();
  const std::vector<int32_t> vector = {0, 65536};
  SearchQuery query;
  query.vector = vector;
  query.k = 10;
  query.filter = &filter;
  query.distance_max = int64_t{1} << 34;
  const Collection& collection = *machine.FindCollection("notes", 2);
  SearchReceipt receipt =
      DescribeSearch(collection, query, SearchAll(collection, 2, query, BestKernels()));
  static_cast<ReceiptState&>(receipt) = {kName, 2, machine.state_index(), machine.state_root(), 1};
  receipt.checkpoint = {log_tree.size(), log_tree.Root()};
  const auto key = Key();
  const auto checkpoint =
      server::SignNote(*key, kName, EncodeCheckpoint({kName, log_tree.size(), log_tree.Root()}));
  const auto note = server::SignReceipt(*key, kName, EncodeSearchReceipt(receipt));
  return EncodeSignedReceipt({*note, EncodeNote(*checkpoint)});
}

TEST(ReceiptGoldenTest, TheTextIsFrozen) {
  const std::string text = MakeReceipt();
  EXPECT_TRUE(Holds(Directory() + "receipt.txt", text)) << text;
  const auto receipt = server::ReadReceipt(text, MakeVerifierKey(kName, Key()->public_key()));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ASSERT_EQ(receipt->hits.size(), 1u);
  // (1 - 0)^2 + (-2^-16 - 1)^2, times 2^32.
  EXPECT_EQ(receipt->hits[0].distance, (int64_t{1} << 32) + int64_t{65537} * 65537);
  EXPECT_EQ(receipt->hits[0].record, Prepare([] {
                                       Operation upsert;
                                       upsert.id = "a";
                                       upsert.vector = {65536, -1};
                                       upsert.attributes = EncodeAttributes(
                                           {{"n", EncodeInt64(1)}, {"tag", *EncodeString("red")}});
                                       upsert.document = "hello";
                                       return upsert;
                                     }())
                                         .record);
}

TEST(ReceiptGoldenTest, TheExampleOfTheFormatDocumentIsTheFrozenText) {
  const std::string document = ReadFile(std::string(STELE_SOURCE_DIR) + "/docs/format.md");
  const std::string begin = "```text receipt\n";
  const size_t at = document.find(begin);
  ASSERT_NE(at, std::string::npos);
  const size_t from = at + begin.size();
  EXPECT_EQ(document.substr(from, document.find("```", from) - from), MakeReceipt());
  const std::string key_line = EncodeVerifierKey(MakeVerifierKey(kName, Key()->public_key()));
  EXPECT_NE(document.find("`" + key_line + "`"), std::string::npos) << key_line;
}

}  // namespace
}  // namespace stele::golden
