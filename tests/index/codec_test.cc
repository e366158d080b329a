// If these fail, one meaning has two encodings (and so two hashes), or bytes from outside can be
// misread.
#include "index/codec.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "index/command.h"
#include "index/commit_record.h"
#include "tests/index/arithmetic_data.h"

namespace stele::index {
namespace {

// Decodes and encodes again; no value where the decoder refuses.
using Round = std::function<std::optional<std::string>(std::string_view)>;

struct Format {
  const char* name;
  Round round;
  std::vector<std::string> samples;
};

std::optional<std::string> RoundOperation(std::string_view bytes) {
  const auto decoded = DecodeOperation(bytes);
  return decoded.has_value() ? std::optional(EncodeOperation(*decoded)) : std::nullopt;
}
std::optional<std::string> RoundHeader(std::string_view bytes) {
  const auto decoded = DecodeHeader(bytes);
  return decoded.has_value() ? std::optional(EncodeHeader(*decoded)) : std::nullopt;
}
std::optional<std::string> RoundCommit(std::string_view bytes) {
  const auto decoded = DecodeCommitRecord(bytes);
  return decoded.has_value() ? std::optional(EncodeCommitRecord(*decoded)) : std::nullopt;
}
std::optional<std::string> RoundEffects(std::string_view bytes) {
  const auto decoded = DecodeEffects(bytes);
  return decoded.has_value() ? std::optional(EncodeEffects(*decoded)) : std::nullopt;
}
std::optional<std::string> RoundRow(std::string_view bytes) {
  const auto decoded = DecodeEntryRow(bytes);
  return decoded.has_value() ? std::optional(EncodeEntryRow(*decoded)) : std::nullopt;
}
std::optional<std::string> RoundFilter(std::string_view bytes) {
  Decoder decoder(bytes);
  const Filter filter = DecodeFilter(decoder);
  if (!decoder.Done()) return std::nullopt;
  Encoder encoder;
  EncodeFilter(filter, encoder);
  return encoder.Take();
}
std::optional<std::string> RoundAttributes(std::string_view bytes) {
  AttributeMap attributes;
  if (!DecodeAttributes(bytes, &attributes)) return std::nullopt;
  return EncodeAttributes(attributes);
}

std::string SomeAttributes() {
  return EncodeAttributes({{"b", EncodeBool(true)},
                           {"d", *EncodeDouble(0x3ff8000000000000u)},
                           {"i", EncodeInt64(-2)},
                           {"l", *EncodeList(std::vector{EncodeInt64(1), EncodeInt64(2)})},
                           {"s", *EncodeString("\xc3\xa9")},
                           {"t", EncodeTimestamp(3)},
                           {"y", EncodeBytes("\xff")}});
}

Filter SomeFilter() {
  Filter condition;
  condition.kind = Filter::Kind::kCondition;
  condition.test = Filter::Test::kOneOf;
  condition.attribute = "i";
  condition.literals = {EncodeInt64(1), *EncodeString("x")};
  Filter none;
  none.kind = Filter::Kind::kNoneOf;
  none.parts = {condition};
  Filter all;
  all.parts = {none, condition, Filter{}};
  return all;
}

std::vector<std::string> OperationSamples() {
  std::vector<std::string> samples;
  for (int kind = 1; kind <= static_cast<int>(OperationKind::kSnapshotSealed); ++kind) {
    Operation operation;
    operation.kind = static_cast<OperationKind>(kind);
    if (kind <= static_cast<int>(OperationKind::kDropCollection)) operation.collection = "c";
    if (kind <= static_cast<int>(OperationKind::kDelete)) {
      operation.id = "id";
      operation.precondition = {Precondition::Kind::kExpectedVersion, 5};
    }
    operation.vector = {1, -2};
    if (kind <= static_cast<int>(OperationKind::kUpdateAttributes)) {
      operation.attributes = SomeAttributes();
    }
    operation.document = "doc";
    operation.removed = {"p", "q"};
    operation.limit = 10;
    operation.filter = SomeFilter();
    operation.config = {3, Metric::kCosine, "text"};
    operation.rules_version = 1;
    operation.index = 77;
    samples.push_back(EncodeOperation(operation));
  }
  Operation receipts;
  receipts.kind = OperationKind::kReceipts;
  receipts.receipts = {Hash{1}, Hash{1, 2}, Hash{2}};
  samples.push_back(EncodeOperation(receipts));
  return samples;
}

std::vector<Format> Formats() {
  CommandHeader header;
  header.request_id = "request";
  header.actor = "actor";
  header.timestamp_micros = -1;
  header.expected_state_index = 9;
  header.item_count = 2;
  CommandHeader bare;
  bare.item_count = 1;
  CommitRecord commit;
  commit.index = 12;
  commit.outcome = Outcome::kMalformed;
  commit.more = true;
  const std::vector<Effect> effects = {{Effect::Kind::kRecord, Hash{1}, Hash{2}},
                                       {Effect::Kind::kCollection, Hash{3}, kZeroHash}};
  Encoder filter;
  EncodeFilter(SomeFilter(), filter);
  const std::string row =
      EncodeEntryRow({EncodeHeader(header), EncodeCommitRecord(commit), EncodeEffects(effects)});
  return {
      {"operation", RoundOperation, OperationSamples()},
      {"header", RoundHeader, {EncodeHeader(header), EncodeHeader(bare)}},
      {"commit record", RoundCommit, {EncodeCommitRecord(commit)}},
      {"effects", RoundEffects, {EncodeEffects(effects), EncodeEffects({})}},
      {"entry row", RoundRow, {row}},
      {"filter", RoundFilter, {filter.bytes()}},
      {"attributes", RoundAttributes, {SomeAttributes()}},
  };
}

TEST(CodecTest, SamplesComeBackUnchanged) {
  for (const Format& format : Formats()) {
    for (const std::string& sample : format.samples) {
      EXPECT_EQ(format.round(sample), sample) << format.name;
    }
  }
}

TEST(CodecTest, EveryTruncationAndEveryExtensionIsRefused) {
  for (const Format& format : Formats()) {
    for (const std::string& sample : format.samples) {
      // Attributes of no bytes are no attributes.
      const size_t shortest = format.round("").has_value() ? 1 : 0;
      for (size_t size = shortest; size < sample.size(); ++size) {
        EXPECT_FALSE(format.round(sample.substr(0, size)).has_value()) << format.name << size;
      }
      for (const char extra : {'\0', '\1', '\xff'}) {
        EXPECT_FALSE(format.round(sample + extra).has_value()) << format.name;
      }
    }
  }
}

TEST(CodecTest, WhateverIsAcceptedIsCanonical) {
  TestRandom random(11);
  for (const Format& format : Formats()) {
    size_t accepted = 0;
    for (int i = 0; i < 60'000; ++i) {
      std::string bytes = format.samples[random.Below(format.samples.size())];
      for (uint64_t edits = 1 + random.Below(3); edits > 0 && !bytes.empty(); --edits) {
        const size_t at = random.Below(bytes.size());
        switch (random.Below(5)) {
          case 0:
            bytes[at] = static_cast<char>(random.Next());
            break;
          case 1:
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
            break;
          case 2:
            bytes.erase(at, 1 + random.Below(4));
            break;
          case 3:
            bytes.insert(at, 1, static_cast<char>(random.Below(4)));
            break;
          default:
            bytes[at] = static_cast<char>(random.Below(12));
            break;
        }
      }
      const std::optional<std::string> again = format.round(bytes);
      if (!again.has_value()) continue;
      ++accepted;
      ASSERT_EQ(*again, bytes) << format.name;
    }
    EXPECT_GT(accepted, 100u) << format.name << ": nothing was put to the test";
  }
}

TEST(CodecTest, RandomBytesAreSurvived) {
  TestRandom random(12);
  for (const Format& format : Formats()) {
    for (int i = 0; i < 20'000; ++i) {
      std::string bytes(random.Below(80), '\0');
      for (char& byte : bytes) byte = static_cast<char>(random.Below(i % 2 == 0 ? 256 : 13));
      const std::optional<std::string> again = format.round(bytes);
      ASSERT_EQ(again.value_or(bytes), bytes) << format.name;
    }
  }
}

// A collection without options has one encoding, and so one hash: that of kind 6.
TEST(CodecTest, OptionsOfACollectionAreWrittenOnlyWhereOneIsSet) {
  Operation create;
  create.kind = OperationKind::kCreateCollection;
  create.collection = "c";
  create.config = {2, Metric::kL2, "about"};
  EXPECT_EQ(EncodeOperation(create)[0], 6);
  for (const ReceiptPolicy receipts :
       {ReceiptPolicy::kOff, ReceiptPolicy::kSigned, ReceiptPolicy::kLogged}) {
    for (const bool erasable : {false, true}) {
      create.config.receipts = receipts;
      create.config.erasable = erasable;
      const std::string bytes = EncodeOperation(create);
      EXPECT_EQ(bytes[0], IsPlain(create.config) ? 6 : 13);
      const std::optional<Operation> decoded = DecodeOperation(bytes);
      ASSERT_TRUE(decoded.has_value());
      EXPECT_EQ(decoded->kind, OperationKind::kCreateCollection);
      EXPECT_EQ(decoded->config.receipts, receipts);
      EXPECT_EQ(decoded->config.erasable, erasable);
    }
  }
  std::string bytes = EncodeOperation(create);
  const size_t last = bytes.size() - 1;
  bytes[last - 1] = 3;
  EXPECT_FALSE(DecodeOperation(bytes).has_value()) << "an unknown policy";
  bytes[last - 1] = bytes[last] = 0;
  EXPECT_FALSE(DecodeOperation(bytes).has_value()) << "all default, which kind 6 says";
  bytes[last - 1] = 1;
  EXPECT_TRUE(DecodeOperation(bytes).has_value());
  bytes[last] = 2;
  EXPECT_FALSE(DecodeOperation(bytes).has_value()) << "not 0 or 1";
}

TEST(CodecTest, EachFieldOfAnOperationIsBounded) {
  Operation operation;
  operation.collection = "c";
  operation.id = "id";
  operation.vector = {1};
  const auto decodes = [&] { return DecodeOperation(EncodeOperation(operation)).has_value(); };
  EXPECT_TRUE(decodes());
  const auto refuses = [&](auto&& change) {
    const Operation good = operation;
    change(operation);
    EXPECT_FALSE(decodes());
    operation = good;
  };
  refuses([](Operation& o) { o.collection.clear(); });
  refuses([](Operation& o) { o.collection = std::string(kCollectionNameBytesMax + 1, 'c'); });
  refuses([](Operation& o) { o.collection = "\xff"; });
  refuses([](Operation& o) { o.id.clear(); });
  refuses([](Operation& o) { o.id = std::string(kIdBytesMax + 1, 'i'); });
  refuses([](Operation& o) { o.id = "\xc0\x80"; });
  refuses([](Operation& o) { o.vector.clear(); });
  refuses([](Operation& o) { o.vector = {kComponentLimit}; });
  refuses([](Operation& o) { o.vector = {-kComponentLimit}; });
  refuses([](Operation& o) { o.vector.assign(2, 800'000'000); });  // the norm alone
  refuses([](Operation& o) { o.vector.assign(kDimensionMax + 1, 0); });
  refuses([](Operation& o) { o.document = std::string(kDocumentBytesMax + 1, 'd'); });
  refuses([](Operation& o) { o.precondition.version = 1; });
  refuses([](Operation& o) { o.precondition.kind = static_cast<Precondition::Kind>(3); });
  refuses([](Operation& o) { o.kind = OperationKind::kContinuation; });
  refuses([](Operation& o) { o.kind = static_cast<OperationKind>(25); });
  operation.collection = std::string(kCollectionNameBytesMax, 'c');
  operation.id = std::string(kIdBytesMax, 'i');
  operation.vector.assign(kDimensionMax, 5);
  operation.document = std::string(kDocumentBytesMax, 'd');
  EXPECT_TRUE(decodes());
}

}  // namespace
}  // namespace stele::index
