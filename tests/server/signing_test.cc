// If this failed, a checkpoint could carry a signature that is not of its text, or the key that
// makes them could be read by others.
#include "server/signing.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/escaping.h"

namespace stele::server {
namespace {

namespace fs = std::filesystem;

class Signing : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("stele signing " + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  fs::path directory_;
};

index::PublicKey KeyOf(const std::string& hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  index::PublicKey key{};
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

// RFC 8032, section 7.1, tests 1 and 2.
TEST_F(Signing, VerifiesWhatTheRfcSigned) {
  EXPECT_TRUE(VerifyEd25519(
      KeyOf("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), "",
      absl::HexStringToBytes(
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
          "1cf9b46bd25bf5f0595bbe24655141438e7a100b")));
  EXPECT_TRUE(VerifyEd25519(
      KeyOf("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"), "\x72",
      absl::HexStringToBytes(
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
          "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")));
}

// The note of the documentation of Go's golang.org/x/mod/sumdb/note.
TEST_F(Signing, VerifiesANoteThatGoSigned) {
  const std::string note =
      "If you think cryptography is the answer to your problem,\n"
      "then you don't know what your problem is.\n"
      "\n"
      "\xe2\x80\x94 PeterNeumann "
      "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
      "\n";
  std::string error;
  const auto parsed = index::ParseNote(note, &error);
  ASSERT_TRUE(parsed.has_value()) << error;
  const auto key = index::ParseVerifierKey(
      "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", &error);
  ASSERT_TRUE(key.has_value()) << error;
  EXPECT_TRUE(VerifyNote(*parsed, *key).ok());
}

TEST_F(Signing, AKeyIsMadeOnceAndForItsOwnerAlone) {
  const auto first = SigningKey::LoadOrCreate(Path("key.pem"));
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat found {};
  ASSERT_EQ(stat(Path("key.pem").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  const auto again = SigningKey::LoadOrCreate(Path("key.pem"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->public_key(), (*first)->public_key());
  EXPECT_EQ(*(*again)->Sign("text"), *(*first)->Sign("text"));
  const auto other = SigningKey::LoadOrCreate(Path("other.pem"));
  ASSERT_TRUE(other.ok());
  EXPECT_NE((*other)->public_key(), (*first)->public_key());
  for (const auto& file : fs::directory_iterator(directory_)) {
    EXPECT_EQ(file.path().extension(), ".pem") << "left behind: " << file.path();
  }
  ASSERT_EQ(chmod(Path("key.pem").c_str(), 0640), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(SigningKey::LoadOrCreate(Path("key.pem")).status()));
}

TEST_F(Signing, OtherFilesAreRefused) {
  EXPECT_TRUE(absl::IsNotFound(SigningKey::Load(Path("none")).status()));
  std::ofstream(Path("text")) << "not a key";
  EXPECT_TRUE(absl::IsInvalidArgument(SigningKey::Load(Path("text")).status()));
  ASSERT_EQ(chmod(Path("text").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(SigningKey::LoadOrCreate(Path("text")).status()));
  std::ifstream file(Path("text"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "not a key");
}

TEST_F(Signing, EveryByteOfASignedCheckpointCounts) {
  const auto key = SigningKey::LoadOrCreate(Path("key.pem"));
  ASSERT_TRUE(key.ok());
  const index::VerifierKey trusted = index::MakeVerifierKey("stele/log", (*key)->public_key());
  const auto note =
      SignNote(**key, "stele/log", index::EncodeCheckpoint({"stele/log", 7, index::Hash{1, 2, 3}}));
  ASSERT_TRUE(note.ok());
  const std::string bytes = index::EncodeNote(*note);
  const auto good = ReadCheckpoint(bytes, trusted);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->size, 7u);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const char bit : {'\x01', '\x10', '\x80'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      EXPECT_FALSE(ReadCheckpoint(changed, trusted).ok()) << "byte " << i;
    }
    EXPECT_FALSE(ReadCheckpoint(bytes.substr(0, i), trusted).ok()) << "size " << i;
  }
  // Another key under the same name; the same key under another name.
  const auto other = SigningKey::LoadOrCreate(Path("other.pem"));
  EXPECT_TRUE(absl::IsPermissionDenied(
      ReadCheckpoint(bytes, index::MakeVerifierKey("stele/log", (*other)->public_key())).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(
      ReadCheckpoint(bytes, index::MakeVerifierKey("stele/gol", (*key)->public_key())).status()));
  // A second signature, by somebody else, does no harm and no good.
  index::SignedNote two = *note;
  two.signatures.insert(two.signatures.begin(), {"witness", {1, 2, 3, 4}, std::string(64, 'w')});
  EXPECT_TRUE(ReadCheckpoint(index::EncodeNote(two), trusted).ok());
  two.signatures.pop_back();
  EXPECT_FALSE(ReadCheckpoint(index::EncodeNote(two), trusted).ok());
  // Signed, and of another log.
  const auto foreign =
      SignNote(**key, "stele/log", index::EncodeCheckpoint({"stele/other", 7, index::Hash{1}}));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ReadCheckpoint(index::EncodeNote(*foreign), trusted).status()));
}

}  // namespace
}  // namespace stele::server
