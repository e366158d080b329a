// If this failed, the server would serve cosignatures that no witness made, or lose good ones.
#include "server/cosignatures.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/signing.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;

class CosignaturesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele cosignatures " + std::to_string(::getpid()));
    fs::create_directories(directory_);
    for (const char* name : {"one", "two"}) {
      signers_.push_back(SigningKey::LoadOrCreate((directory_ / name).string()).value());
      keys_.push_back(index::MakeWitnessKey(name, signers_.back()->public_key()));
    }
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string Path() const { return (directory_ / "cosignatures").string(); }
  static index::Checkpoint Of(uint64_t size) { return {"stele/log", size, index::Hash{1, 2}}; }

  void Cosign(size_t witness, uint64_t time, index::SignedNote* note) {
    const auto signature = signers_[witness]->Sign(index::CosignedMessage(time, note->text));
    note->signatures.push_back(
        {keys_[witness].name, keys_[witness].key_id, index::EncodeCosignature({time, *signature})});
  }
  index::SignedNote Note(uint64_t size, std::vector<std::pair<size_t, uint64_t>> cosigned) {
    index::SignedNote note{index::EncodeCheckpoint(Of(size)), {}};
    for (const auto& [witness, time] : cosigned) Cosign(witness, time, &note);
    return note;
  }
  static std::vector<uint64_t> Times(const Cosignatures& kept, uint64_t size) {
    index::SignedNote note{index::EncodeCheckpoint(Of(size)), {}};
    kept.AppendTo(Of(size), &note);
    std::vector<uint64_t> times;
    for (const auto& line : note.signatures) {
      times.push_back(index::ParseCosignature(line.bytes)->time);
    }
    return times;
  }

  fs::path directory_;
  std::vector<std::unique_ptr<SigningKey>> signers_;
  std::vector<index::WitnessKey> keys_;
};

TEST_F(CosignaturesTest, KeepsTheNewestOfEachWitnessOverARestart) {
  auto kept = Cosignatures::Open(Path(), keys_);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(*kept->Add(Of(5), Note(5, {{0, 100}})), 1u);
  EXPECT_EQ(*kept->Add(Of(5), Note(5, {{0, 90}, {1, 70}})), 1u);
  EXPECT_EQ(*kept->Add(Of(5), Note(5, {{0, 100}})), 0u);
  EXPECT_EQ(*kept->Add(Of(5), Note(5, {{0, 110}, {0, 105}})), 1u);
  EXPECT_EQ(*kept->Add(Of(7), Note(7, {{1, 1}})), 1u);
  for (int open = 0; open < 2; ++open) {
    EXPECT_EQ(Times(*kept, 5), (std::vector<uint64_t>{110, 70}));
    EXPECT_EQ(Times(*kept, 7), (std::vector<uint64_t>{1}));
    EXPECT_TRUE(Times(*kept, 6).empty());
    index::SignedNote other{"", {}};
    kept->AppendTo({"stele/log", 5, index::Hash{9}}, &other);
    EXPECT_TRUE(other.signatures.empty()) << "of another root";
    kept = Cosignatures::Open(Path(), keys_);
    ASSERT_TRUE(kept.ok());
  }
  // A witness that is no longer configured.
  const auto fewer = Cosignatures::Open(Path(), {keys_[1]});
  EXPECT_EQ(Times(*fewer, 5), (std::vector<uint64_t>{70}));
}

TEST_F(CosignaturesTest, KeepsSoManyCheckpoints) {
  auto kept = Cosignatures::Open(Path(), keys_);
  for (uint64_t size = 1; size <= kCosignedKept + 2; ++size) {
    ASSERT_EQ(*kept->Add(Of(size), Note(size, {{0, size}})), 1u);
  }
  kept = Cosignatures::Open(Path(), keys_);
  EXPECT_TRUE(Times(*kept, 2).empty());
  EXPECT_EQ(Times(*kept, 3).size(), 1u);
  EXPECT_EQ(Times(*kept, kCosignedKept + 2).size(), 1u);
}

TEST_F(CosignaturesTest, NothingIsTakenOfWhatIsNotGood) {
  auto kept = Cosignatures::Open(Path(), keys_);
  index::SignedNote note = Note(5, {{0, 100}, {1, 100}});
  note.signatures[1].bytes.back() = static_cast<char>(note.signatures[1].bytes.back() ^ 1);
  EXPECT_TRUE(absl::IsInvalidArgument(kept->Add(Of(5), note).status()));
  EXPECT_TRUE(Times(*kept, 5).empty());
  EXPECT_FALSE(fs::exists(Path()));
  note.signatures.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(kept->Add(Of(5), note).status()));
}

// A byte of the file changed: a cosignature less, never a bad one.
TEST_F(CosignaturesTest, WhatWasDamagedIsLeftOut) {
  auto kept = Cosignatures::Open(Path(), keys_);
  ASSERT_TRUE(kept->Add(Of(5), Note(5, {{0, 100}, {1, 70}})).ok());
  ASSERT_TRUE(kept->Add(Of(6), Note(6, {{0, 101}})).ok());
  std::ifstream in(Path(), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    std::ofstream(Path(), std::ios::binary) << changed;
    const auto damaged = Cosignatures::Open(Path(), keys_);
    ASSERT_TRUE(damaged.ok());
    const size_t count = Times(*damaged, 5).size() + Times(*damaged, 6).size();
    EXPECT_LT(count, 3u) << "byte " << i;
    for (const uint64_t size : {5u, 6u}) {
      index::SignedNote note{index::EncodeCheckpoint(Of(size)), {}};
      damaged->AppendTo(Of(size), &note);
      for (size_t line = 0; line < note.signatures.size(); ++line) {
        const index::WitnessKey& key = keys_[note.signatures[line].name == "one" ? 0 : 1];
        EXPECT_TRUE(FindCosignature(note, key).ok()) << "byte " << i;
      }
    }
  }
}

// c2sp.org/tlog-cosignature: what is signed, and how it is laid out.
TEST_F(CosignaturesTest, TheBytesAreThoseOfTheSpecification) {
  EXPECT_EQ(index::CosignedMessage(1679315147, "example.com/behind-the-sofa\n20852163\nroot\n"),
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nroot\n");
  const std::string bytes = index::EncodeCosignature({0x0102030405060708, std::string(64, 's')});
  EXPECT_EQ(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08" + std::string(64, 's'));
  EXPECT_EQ(index::ParseCosignature(bytes)->time, 0x0102030405060708u);
  EXPECT_FALSE(index::ParseCosignature(std::string(8, '\0') + std::string(64, 's')).has_value());
  EXPECT_FALSE(index::ParseCosignature("\x80" + bytes.substr(1)).has_value());
  EXPECT_FALSE(index::ParseCosignature(bytes.substr(1)).has_value());
  EXPECT_FALSE(index::ParseCosignature(bytes + "x").has_value());
  const std::string text = index::EncodeWitnessKey(keys_[0]);
  std::string error;
  EXPECT_TRUE(index::ParseWitnessKey(text, &error).has_value());
  EXPECT_FALSE(index::ParseVerifierKey(text, &error).has_value());
  EXPECT_FALSE(
      index::ParseWitnessKey(
          index::EncodeVerifierKey(index::MakeVerifierKey("one", keys_[0].public_key)), &error)
          .has_value());
  EXPECT_NE(keys_[0].key_id, index::NoteKeyId("one", keys_[0].public_key));
}

}  // namespace
}  // namespace stele::server
