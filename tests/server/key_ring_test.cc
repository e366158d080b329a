// If this failed: a stranger could be let in, a caller get another's name or role, or a slip in the
// keys file lock everybody out of a running server.
#include "server/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/roles.h"

namespace stele::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kKey[] = "0123456789abcdef0123456789abcdef";
// printf %s 0123456789abcdef0123456789abcdef | sha256sum
constexpr char kDigest[] = "3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";

class KeyRingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "key_ring_test_" + std::to_string(getpid()) + ".keys";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void Write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_, std::ios::trunc) << text;
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
  }
  std::string Refusal(const std::string& text) {
    Write(text);
    const absl::StatusOr<std::unique_ptr<KeyRing>> ring = KeyRing::Load(path_);
    EXPECT_EQ(ring.status().code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(ring.status().message());
  }

  std::string path_;
};

std::string Line(std::string_view name, std::string_view role, std::string_view key) {
  const absl::StatusOr<std::string> line = KeysFileLine(name, role, key);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? *line + "\n" : "";
}

TEST(KeysFileLine, IsSha256) {
  EXPECT_EQ(Line("alice", "writer", kKey), std::string("alice writer sha256:") + kDigest + "\n");
}

TEST(KeysFileLine, RefusesWeakKeysAndBadNames) {
  const std::string key(kKey);
  EXPECT_FALSE(KeysFileLine("alice", "writer", key.substr(1)).ok());
  EXPECT_FALSE(KeysFileLine("alice", "writer", key + " ").ok());
  EXPECT_FALSE(KeysFileLine("alice", "writer", std::string(513, 'a')).ok());
  EXPECT_FALSE(KeysFileLine("alice", "owner", key).ok());
  EXPECT_FALSE(KeysFileLine("", "writer", key).ok());
  EXPECT_FALSE(KeysFileLine("al ice", "writer", key).ok());
  EXPECT_FALSE(KeysFileLine(std::string(129, 'a'), "writer", key).ok());
  EXPECT_FALSE(KeysFileLine("anonymous", "writer", key).ok());
}

TEST(MakeApiKey, IsLongAndNew) {
  const std::string first = *MakeApiKey();
  EXPECT_THAT(first, MatchesRegex("stele_[0-9a-f]{64}"));
  EXPECT_NE(first, *MakeApiKey());
}

TEST_F(KeyRingTest, FindsWhoStandsInTheFile) {
  const std::string other = *MakeApiKey();
  Write("# callers\n\n  " + Line("alice", "writer", kKey) + "\t\n" + Line("bob", "reader", other) +
        "cn:Carol of Sales   admin\r\n");
  const absl::StatusOr<std::unique_ptr<KeyRing>> ring = KeyRing::Load(path_);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->size(), 3u);
  EXPECT_TRUE((*ring)->warnings().empty());
  const std::optional<Caller> alice = (*ring)->FindKey(kKey);
  ASSERT_TRUE(alice.has_value());
  EXPECT_EQ(alice->name, "alice");
  EXPECT_EQ(alice->role, Role::kWriter);
  EXPECT_EQ((*ring)->FindKey(other)->name, "bob");
  EXPECT_EQ((*ring)->FindKey(other)->role, Role::kReader);
  const std::optional<Caller> carol = (*ring)->FindCommonName("Carol of Sales");
  ASSERT_TRUE(carol.has_value());
  EXPECT_EQ(carol->role, Role::kAdmin);
  EXPECT_FALSE((*ring)->FindCommonName("Carol").has_value());
  // A name is no key, a key is no certificate, and the digest in the file is no key.
  EXPECT_FALSE((*ring)->FindCommonName("alice").has_value());
  EXPECT_FALSE((*ring)->FindKey("Carol of Sales").has_value());
  EXPECT_FALSE((*ring)->FindKey(kDigest).has_value());
  EXPECT_FALSE((*ring)->FindKey("").has_value());
  EXPECT_FALSE((*ring)->FindKey(std::string(kKey) + "0").has_value());
  EXPECT_FALSE((*ring)->FindKey(std::string(kKey).substr(1)).has_value());
}

// A key is replaced by one more line under the same name: entries keep their actor.
TEST_F(KeyRingTest, OneNameMayHaveSeveralKeysOfOneRole) {
  const std::string other = *MakeApiKey();
  Write(Line("alice", "writer", kKey) + Line("alice", "writer", other));
  const absl::StatusOr<std::unique_ptr<KeyRing>> ring = KeyRing::Load(path_);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->FindKey(kKey)->name, "alice");
  EXPECT_EQ((*ring)->FindKey(other)->name, "alice");
  EXPECT_THAT(Refusal(Line("alice", "writer", kKey) + Line("alice", "admin", other)),
              AllOf(HasSubstr("line 2"), HasSubstr("another role")));
}

TEST_F(KeyRingTest, RefusalsNameTheLine) {
  const std::string good = Line("alice", "writer", kKey);
  const std::string digest(kDigest);
  EXPECT_THAT(Refusal(good + "\nbob owner sha256:" + digest),
              AllOf(HasSubstr(path_), HasSubstr("line 3"), HasSubstr("owner")));
  EXPECT_THAT(Refusal(good + good), AllOf(HasSubstr("line 2"), HasSubstr("alice")));
  EXPECT_THAT(Refusal("bob reader sha256:" + digest.substr(1)), HasSubstr("64 hexadecimal"));
  EXPECT_THAT(Refusal("bob reader sha256:" + digest.substr(1) + "g"), HasSubstr("64 hexadecimal"));
  EXPECT_THAT(Refusal("bob sha256:" + digest), HasSubstr("NAME ROLE sha256:HEX"));
  EXPECT_THAT(Refusal("bob reader sha256:" + digest + " more"), HasSubstr("NAME ROLE sha256:HEX"));
  EXPECT_THAT(Refusal("b/b reader sha256:" + digest), HasSubstr("b/b"));
  EXPECT_THAT(Refusal("cn: reader"), HasSubstr("common name"));
  EXPECT_THAT(Refusal("cn:carol"), HasSubstr("cn:COMMON NAME ROLE"));
  EXPECT_THAT(Refusal("cn:carol reader\ncn:carol writer"), HasSubstr("line 2"));
  EXPECT_THAT(Refusal("# nobody\n"), HasSubstr("--new-key"));
  EXPECT_THAT(Refusal(""), HasSubstr("--new-key"));
}

// Somebody may have put the key itself where its digest belongs.
TEST_F(KeyRingTest, RefusalsDoNotRepeatKeys) {
  EXPECT_THAT(Refusal(std::string("alice writer ") + kKey), Not(HasSubstr(kKey)));
  EXPECT_THAT(Refusal(std::string("alice writer sha256:") + kKey), Not(HasSubstr(kKey)));
  EXPECT_THAT(Refusal(kKey), Not(HasSubstr(kKey)));
}

TEST_F(KeyRingTest, FileModes) {
  const std::string good = Line("alice", "writer", kKey);
  Write(good, 0644);
  ASSERT_TRUE(KeyRing::Load(path_).ok());
  EXPECT_THAT((*KeyRing::Load(path_))->warnings(), ::testing::ElementsAre(HasSubstr("chmod 600")));
  Write(good, 0640);
  EXPECT_TRUE((*KeyRing::Load(path_))->warnings().empty());
  Write(good, 0602);
  EXPECT_EQ(KeyRing::Load(path_).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(KeyRingTest, MissingFile) {
  const absl::Status status = KeyRing::Load(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  EXPECT_FALSE(KeyRing::Load(::testing::TempDir()).ok());
}

TEST_F(KeyRingTest, ReloadTakesTheNewFileOrKeepsTheOld) {
  Write(Line("alice", "writer", kKey));
  const absl::StatusOr<std::unique_ptr<KeyRing>> ring = KeyRing::Load(path_);
  ASSERT_TRUE(ring.ok());
  Write("broken\n");
  EXPECT_FALSE((*ring)->Reload().ok());
  EXPECT_TRUE((*ring)->FindKey(kKey).has_value());
  std::filesystem::remove(path_);
  EXPECT_FALSE((*ring)->Reload().ok());
  EXPECT_TRUE((*ring)->FindKey(kKey).has_value());
  const std::string other = *MakeApiKey();
  Write(Line("bob", "reader", other));
  EXPECT_TRUE((*ring)->Reload().ok());
  EXPECT_FALSE((*ring)->FindKey(kKey).has_value());
  EXPECT_TRUE((*ring)->FindKey(other).has_value());
}

TEST(Roles, NamesAndOrder) {
  EXPECT_LT(Role::kReader, Role::kAuditor);
  EXPECT_LT(Role::kAuditor, Role::kWriter);
  EXPECT_LT(Role::kWriter, Role::kAdmin);
  for (const char* name : {"reader", "auditor", "writer", "admin"}) {
    ASSERT_TRUE(RoleByName(name).has_value());
    EXPECT_EQ(RoleName(*RoleByName(name)), name);
  }
  EXPECT_FALSE(RoleByName("Admin").has_value());
  EXPECT_FALSE(RoleByName("").has_value());
}

}  // namespace
}  // namespace stele::server
