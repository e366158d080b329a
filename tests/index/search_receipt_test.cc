// If this failed, one answer could have two receipts, or a text that no search could have answered
// would be taken for a receipt.
#include "index/search_receipt.h"

#include <gtest/gtest.h>

#include <functional>

#include "index/codec.h"

namespace stele::index {
namespace {

std::string FilterBytes() {
  Filter filter;
  filter.kind = Filter::Kind::kCondition;
  filter.test = Filter::Test::kExists;
  filter.attribute = "tag";
  Encoder encoder;
  EncodeFilter(filter, encoder);
  return encoder.Take();
}

SearchReceipt Example() {
  SearchReceipt receipt;
  receipt.log = "stele/a0a1a200000000000000000000000000";
  receipt.log_index = 7;
  receipt.state_index = 5;
  receipt.state_root = Hash{1, 2, 3};
  receipt.rules_version = 1;
  receipt.checkpoint = {6, Hash{4, 5}};
  receipt.collection = "notes";
  receipt.metric = Metric::kDot;
  receipt.dimension = 2;
  receipt.vector = {65536, -1};
  receipt.filter = FilterBytes();
  receipt.distance_max = 3;
  receipt.k = 4;
  receipt.hits = {
      {"b", INT64_MIN, Hash{9}}, {"a", -5, Hash{7}}, {"c", -5, Hash{8}}, {"\xc3\xa9", 3, Hash{}}};
  return receipt;
}

SignedReceipt Signed(const SearchReceipt& receipt, std::string checkpoint) {
  return {{EncodeSearchReceipt(receipt), {{receipt.log, {1, 2, 3, 4}, std::string(64, 's')}}},
          std::move(checkpoint)};
}

TEST(SearchReceipt, ReadsWhatItWrites) {
  for (int variant = 0; variant < 16; ++variant) {
    SearchReceipt receipt = Example();
    if ((variant & 1) != 0) receipt.filter.reset();
    if ((variant & 2) != 0) receipt.distance_max.reset();
    if ((variant & 4) != 0) receipt.hits.clear();
    if ((variant & 8) != 0) receipt.checkpoint.reset();
    const std::string text = EncodeSearchReceipt(receipt);
    std::string error;
    const auto parsed = ParseSearchReceipt(text, &error);
    ASSERT_TRUE(parsed.has_value()) << error;
    EXPECT_EQ(EncodeSearchReceipt(*parsed), text);
    EXPECT_EQ(parsed->hits, receipt.hits);
    EXPECT_EQ(parsed->vector, receipt.vector);
    EXPECT_EQ(parsed->filter, receipt.filter);
    EXPECT_EQ(parsed->distance_max, receipt.distance_max);
    EXPECT_EQ(parsed->checkpoint, receipt.checkpoint);
    for (const char* checkpoint : {"", "origin\n1\nroot\n\n\xe2\x80\x94 a b\n"}) {
      const std::string bytes = EncodeSignedReceipt(Signed(receipt, checkpoint));
      const auto whole = ParseSignedReceipt(bytes, &error);
      ASSERT_TRUE(whole.has_value()) << error;
      EXPECT_EQ(whole->note.text, text);
      EXPECT_EQ(whole->checkpoint, checkpoint);
      EXPECT_EQ(EncodeSignedReceipt(*whole), bytes);
    }
  }
}

// Whatever is done to a byte: it is refused, or means something else and is written back so.
TEST(SearchReceipt, ATextHasOneMeaningAndAMeaningOneText) {
  const std::string text = EncodeSearchReceipt(Example());
  std::string error;
  for (size_t i = 0; i < text.size(); ++i) {
    for (const int change : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const auto parsed = ParseSearchReceipt(changed, &error);
      if (parsed.has_value()) {
        ASSERT_EQ(EncodeSearchReceipt(*parsed), changed) << "byte " << i;
      } else {
        ASSERT_TRUE(error.starts_with("line ")) << error;
      }
    }
    ASSERT_FALSE(ParseSearchReceipt(text.substr(0, i), &error).has_value()) << i;
  }
  EXPECT_FALSE(ParseSearchReceipt(text + "\n", &error).has_value());
  EXPECT_FALSE(ParseSearchReceipt(text + text, &error).has_value());
}

TEST(SearchReceipt, WhatNoSearchAnswersIsRefused) {
  const auto refused = [](const std::function<void(SearchReceipt*)>& spoil,
                          const std::string& why) {
    SearchReceipt receipt = Example();
    spoil(&receipt);
    std::string error;
    EXPECT_FALSE(ParseSearchReceipt(EncodeSearchReceipt(receipt), &error).has_value()) << why;
    EXPECT_NE(error.find(why), std::string::npos) << error;
  };
  refused([](auto* r) { std::swap(r->hits[1], r->hits[2]); }, "not in order");
  refused([](auto* r) { r->hits[2] = r->hits[1]; }, "not in order");
  refused([](auto* r) { r->hits[2].id = "b"; }, "twice");
  refused([](auto* r) { r->hits[3].distance = 4; }, "threshold");
  refused([](auto* r) { r->k = 3; }, "line 16");
  refused([](auto* r) { r->k = 0; }, "number");
  refused([](auto* r) { r->k = kSearchKMax + 1; }, "number");
  refused([](auto* r) { r->hits[0].id = ""; }, "record id");
  refused([](auto* r) { r->hits[0].id = std::string(257, 'x'); }, "record id");
  refused([](auto* r) { r->hits[0].id = "\xff"; }, "record id");
  refused([](auto* r) { r->vector.push_back(0); }, "dimension");
  refused([](auto* r) { r->vector[0] = 1 << 30; }, "asked about");
  refused(
      [](auto* r) {
        r->metric = Metric::kCosine;
        r->vector = {5, 5};
      },
      "asked about");
  refused([](auto* r) { r->metric = static_cast<Metric>(4); }, "number");
  refused([](auto* r) { r->dimension = 0; }, "number");
  refused([](auto* r) { r->filter->push_back('x'); }, "filter");
  refused([](auto* r) { r->filter = ""; }, "filter");
  refused([](auto* r) { r->collection = ""; }, "collection");
  refused([](auto* r) { r->state_index = 8; }, "number");
  refused([](auto* r) { r->rules_version = 2; }, "number");
  refused([](auto* r) { r->log = "a b"; }, "name of a log");
}

TEST(SearchReceipt, ASignatureIsNeverThatOfACheckpoint) {
  const PublicKey key{1, 2, 3};
  EXPECT_NE(ReceiptKeyId("stele/x", key), NoteKeyId("stele/x", key));
  EXPECT_NE(ReceiptKeyId("stele/x", key), ReceiptKeyId("stele/y", key));
  EXPECT_NE(ReceiptKeyId("stele/x", key), ReceiptKeyId("stele/x", PublicKey{1, 2, 4}));
  std::string error;
  EXPECT_FALSE(ParseCheckpoint(EncodeSearchReceipt(Example()), &error).has_value());
}

TEST(SearchReceipt, WhatStandsAroundTheTextIsChecked) {
  const std::string bytes = EncodeSignedReceipt(Signed(Example(), ""));
  std::string error;
  EXPECT_FALSE(ParseSignedReceipt(bytes + "\n", &error).has_value());
  EXPECT_FALSE(ParseSignedReceipt(bytes + "x\n", &error).has_value());
  EXPECT_FALSE(ParseSignedReceipt("", &error).has_value());
  EXPECT_FALSE(ParseSignedReceipt(EncodeSearchReceipt(Example()), &error).has_value());
  EXPECT_FALSE(ParseSignedReceipt(std::string(kReceiptBytesMax + 1, 'x'), &error).has_value());
  EXPECT_NE(error.find("longer"), std::string::npos);
}

}  // namespace
}  // namespace stele::index
