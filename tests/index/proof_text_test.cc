// If this failed, a proof could be read in two ways, or a changed one could pass for the one that
// was made.
#include "index/proof_text.h"

#include <gtest/gtest.h>

#include "index/log_proof.h"

namespace stele::index {
namespace {

Hash TestHash(uint8_t first) {
  Hash hash;
  for (size_t i = 0; i < hash.size(); ++i) hash[i] = static_cast<uint8_t>(first + i);
  return hash;
}

TEST(Base64, IsThatOfRfc4648AndNothingElse) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(EncodeBase64(bytes), text);
    EXPECT_EQ(DecodeBase64(text), bytes);
  }
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=Zg=", "Zg==Zg==", "Z===",
                          "Zm9v\n", "Zm 9v", "Zm9-", "Zm9_", "Zg=a"}) {
    EXPECT_FALSE(DecodeBase64(bad).has_value()) << bad;
  }
  for (unsigned i = 0; i < 256; ++i) {
    std::string bytes(1 + i % 5, static_cast<char>(i));
    EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes);
  }
}

TEST(Decimal, HasOneForm) {
  EXPECT_EQ(ParseDecimal("0"), 0u);
  EXPECT_EQ(ParseDecimal("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "18446744073709551616",
                          "99999999999999999999", "100000000000000000000"}) {
    EXPECT_FALSE(ParseDecimal(bad).has_value()) << bad;
  }
}

// The key of the documentation of Go's golang.org/x/mod/sumdb/note.
TEST(VerifierKey, KeyIdsAreThoseOfC2sp) {
  const std::string text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  std::string error;
  const auto key = ParseVerifierKey(text, &error);
  ASSERT_TRUE(key.has_value()) << error;
  EXPECT_EQ(key->name, "PeterNeumann");
  EXPECT_EQ(EncodeVerifierKey(*key), text);
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char bit : {'\x01', '\x02', '\x20', '\x80'}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      EXPECT_FALSE(ParseVerifierKey(changed, &error).has_value()) << changed;
    }
  }
}

SignedNote TestNote() {
  SignedNote note;
  note.text = EncodeCheckpoint({"stele/test", 20852163, TestHash(1)});
  note.signatures.push_back({"stele/test", {1, 2, 3, 4}, std::string(64, 'x')});
  note.signatures.push_back({"witness.example", {5, 6, 7, 8}, std::string(72, 'y')});
  return note;
}

TEST(Note, IsWhatC2spSays) {
  const std::string bytes = EncodeNote(TestNote());
  EXPECT_TRUE(
      bytes.starts_with("stele/test\n20852163\n"
                        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                        "\n"
                        "\xe2\x80\x94 stele/test AQIDBHh4"))
      << bytes;
  std::string error;
  const auto note = ParseNote(bytes, &error);
  ASSERT_TRUE(note.has_value()) << error;
  EXPECT_EQ(note->text, TestNote().text);
  ASSERT_EQ(note->signatures.size(), 2u);
  EXPECT_EQ(note->signatures[1].name, "witness.example");
  EXPECT_EQ(note->signatures[1].bytes, std::string(72, 'y'));
  const auto checkpoint = ParseCheckpoint(note->text, &error);
  ASSERT_TRUE(checkpoint.has_value()) << error;
  EXPECT_EQ(*checkpoint, (Checkpoint{"stele/test", 20852163, TestHash(1)}));
}

// Whatever is parsed is written again to the same bytes, however it was changed.
template <typename Parse, typename Encode>
void ExpectOneForm(const std::string& bytes, Parse parse, Encode encode) {
  std::string error;
  ASSERT_TRUE(parse(bytes, &error).has_value()) << error;
  const auto look = [&](const std::string& changed) {
    error.clear();
    const auto parsed = parse(changed, &error);
    if (parsed.has_value()) {
      EXPECT_EQ(encode(*parsed), changed);
    } else {
      EXPECT_TRUE(error.starts_with("line ")) << error;
    }
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (unsigned value = 0; value < 256; ++value) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(value);
      look(changed);
    }
    look(bytes.substr(0, i));
    look(bytes.substr(0, i) + bytes.substr(i + 1));
    look(bytes.substr(0, i) + "\n" + bytes.substr(i));
    look(bytes.substr(0, i) + " " + bytes.substr(i));
    look(bytes.substr(0, i) + bytes.substr(i, 10) + bytes.substr(i));
  }
  look(bytes + bytes);
  look("");
}

TEST(Texts, HaveOneForm) {
  const std::string note = EncodeNote(TestNote());
  ExpectOneForm(
      note, [](std::string_view bytes, std::string* error) { return ParseNote(bytes, error); },
      EncodeNote);
  ExpectOneForm(TestNote().text, ParseCheckpoint, EncodeCheckpoint);
  ExpectOneForm(EncodeInclusionText({"commit record", 73894, {TestHash(3), TestHash(4)}, note}),
                ParseInclusionText, EncodeInclusionText);
  ExpectOneForm(EncodeConsistencyText({5, {TestHash(3), TestHash(4)}, note}), ParseConsistencyText,
                EncodeConsistencyText);
}

TEST(Texts, AreTheseLines) {
  EXPECT_EQ(EncodeInclusionText({"ab", 7, {TestHash(1)}, "NOTE"}),
            "c2sp.org/tlog-proof@v1\nextra YWI=\nindex 7\n"
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n\nNOTE");
  EXPECT_EQ(EncodeInclusionText({std::nullopt, 0, {}, "NOTE"}),
            "c2sp.org/tlog-proof@v1\nindex 0\n\nNOTE");
  EXPECT_EQ(EncodeConsistencyText({3, {TestHash(1)}, "NOTE"}),
            "stele/log-consistency@v1\nold 3\n"
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n\nNOTE");
}

// A proof that was cut in its second line.
TEST(InclusionText, ThatEndsWithinTheExtraLineIsRefused) {
  std::string error;
  EXPECT_FALSE(ParseInclusionText("c2sp.org/tlog-proof@v1\nextra Zm9v", &error).has_value());
  EXPECT_EQ(error.substr(0, 6), "line 2") << error;
}

}  // namespace
}  // namespace stele::index
