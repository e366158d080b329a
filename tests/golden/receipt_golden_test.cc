// If this fails, what was signed as a search receipt is not what it was when the text was frozen:
// old receipts would no longer verify, or docs/format.md would be wrong.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "index/search_receipt.h"
#include "server/signing.h"
#include "tests/golden/example_log.h"
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

// The receipt of a search in the example log.
std::string MakeReceipt() {
  StateMachine machine;
  LogTree log_tree;
  ApplyExampleLog(&machine, &log_tree, [](const Command&, const ApplyResult&) {});
  const Filter filter = ExampleCondition();
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
  EXPECT_EQ(receipt->hits[0].record, Prepare(ExampleUpsert()).record);
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
