#include "server/key_ring.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "index/types.h"
#include "server/roles.h"

namespace stele::server {
namespace {

constexpr absl::string_view kCertificatePrefix = "cn:";
constexpr absl::string_view kDigestPrefix = "sha256:";
constexpr absl::string_view kKeyPrefix = "stele_";
constexpr off_t kFileBytesMax = 4 << 20;
constexpr absl::string_view kAnonymous = "anonymous";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::array<uint8_t, 32> Sha256(std::string_view text) {
  std::array<uint8_t, 32> digest;
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
  return digest;
}

absl::Status CheckName(std::string_view name) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-' ||
           c == '@';
  });
  if (name.empty() || name.size() > index::kActorBytesMax || !printable) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(View(name)),
                                                   "\" is not a name of 1..", index::kActorBytesMax,
                                                   " letters, digits, '.', '_', '-' or '@'"));
  }
  if (View(name) == kAnonymous) {
    return absl::InvalidArgumentError("the name \"anonymous\" is kept for callers without a key");
  }
  return absl::OkStatus();
}

absl::StatusOr<Role> CheckRole(std::string_view word) {
  const std::optional<Role> role = RoleByName(word);
  if (!role.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", absl::CHexEscape(View(word)),
                                                   "\" is not a role: give reader, auditor, writer "
                                                   "or admin"));
  }
  return *role;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyRing>> KeyRing::Load(std::string path) {
  std::unique_ptr<KeyRing> ring(new KeyRing(std::move(path)));
  if (absl::Status status = ring->Reload(); !status.ok()) return status;
  return ring;
}

absl::Status KeyRing::Reload() {
  absl::StatusOr<Content> read = ReadContent(path_);
  if (!read.ok()) return read.status();
  auto fresh = std::make_shared<const Content>(*std::move(read));
  const std::lock_guard lock(mutex_);
  content_ = std::move(fresh);
  return absl::OkStatus();
}

absl::StatusOr<KeyRing::Content> KeyRing::ReadContent(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const absl::StatusCode code =
        errno == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kPermissionDenied;
    return absl::Status(code, absl::StrCat("keys file ", path, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode) || info.st_size > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("keys file ", path, ": not a file of at most ", kFileBytesMax, " bytes"));
  }
  if ((info.st_mode & S_IWOTH) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "keys file ", path, ": everyone on this machine may write it; run chmod 600 ", path));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    if (!file || info.st_size > 0) {
      return absl::PermissionDeniedError(absl::StrCat("keys file ", path, ": cannot be read"));
    }
  }
  absl::StatusOr<Content> content = Parse(text.str());
  if (!content.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("keys file ", path, ": ", content.status().message()));
  }
  if ((info.st_mode & S_IROTH) != 0) {
    content->warnings.push_back(
        absl::StrCat("everyone on this machine may read ", path, "; run chmod 600 ", path));
  }
  return content;
}

absl::StatusOr<KeyRing::Content> KeyRing::Parse(std::string_view text) {
  Content content;
  size_t number = 0;
  for (const absl::string_view raw : absl::StrSplit(View(text), '\n')) {
    ++number;
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty() || line[0] == '#') continue;
    if (absl::Status status = ParseLine({line.data(), line.size()}, &content); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", status.message()));
    }
  }
  if (content.keys.empty() && content.certificates.empty()) {
    return absl::InvalidArgumentError(
        "names nobody; make a line with stele-server --new-key NAME ROLE");
  }
  return content;
}

absl::Status KeyRing::ParseLine(std::string_view line, Content* content) {
  if (absl::StartsWith(View(line), kCertificatePrefix)) return ParseCertificate(line, content);
  std::vector<std::string_view> words;
  for (const absl::string_view word :
       absl::StrSplit(View(line), absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
    words.emplace_back(word.data(), word.size());
  }
  return ParseKey(words, content);
}

absl::Status KeyRing::ParseKey(const std::vector<std::string_view>& words, Content* content) {
  // The words are not repeated in this message: one of them may be a key in plain text.
  if (words.size() != 3 || !absl::StartsWith(View(words[2]), kDigestPrefix)) {
    return absl::InvalidArgumentError(
        "must read NAME ROLE sha256:HEX or cn:COMMON NAME ROLE; make it with stele-server "
        "--new-key NAME ROLE");
  }
  if (absl::Status status = CheckName(words[0]); !status.ok()) return status;
  absl::StatusOr<Role> role = CheckRole(words[1]);
  if (!role.ok()) return role.status();
  const std::string_view hex = words[2].substr(kDigestPrefix.size());
  const bool is_hex = std::all_of(hex.begin(), hex.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  if (hex.size() != 64 || !is_hex) {
    return absl::InvalidArgumentError("what follows sha256: must be 64 hexadecimal digits");
  }
  Key key;
  const std::string digest = absl::HexStringToBytes(View(hex));
  std::copy(digest.begin(), digest.end(), key.digest.begin());
  key.caller = Caller{std::string(words[0]), *role};
  for (const Key& other : content->keys) {
    if (other.digest == key.digest) {
      return absl::InvalidArgumentError(
          absl::StrCat("the key of ", key.caller.name, " is that of ", other.caller.name));
    }
    if (other.caller.name == key.caller.name && other.caller.role != key.caller.role) {
      return absl::InvalidArgumentError(
          absl::StrCat(key.caller.name, " has another role in a line before"));
    }
  }
  content->keys.push_back(std::move(key));
  return absl::OkStatus();
}

absl::Status KeyRing::ParseCertificate(std::string_view line, Content* content) {
  const size_t gap = line.find_last_of(" \t");
  if (gap == std::string_view::npos) {
    return absl::InvalidArgumentError("must read cn:COMMON NAME ROLE");
  }
  absl::StatusOr<Role> role = CheckRole(line.substr(gap + 1));
  if (!role.ok()) return role.status();
  const absl::string_view name =
      absl::StripAsciiWhitespace(View(line.substr(0, gap)).substr(kCertificatePrefix.size()));
  if (name.empty() || name.size() > index::kActorBytesMax || name == kAnonymous) {
    return absl::InvalidArgumentError(absl::StrCat("a common name has 1..", index::kActorBytesMax,
                                                   " bytes and is not anonymous"));
  }
  for (const Caller& other : content->certificates) {
    if (name == other.name) {
      return absl::InvalidArgumentError(absl::StrCat("cn:", name, " stands in a line before"));
    }
  }
  content->certificates.push_back(Caller{std::string(name), *role});
  return absl::OkStatus();
}

std::shared_ptr<const KeyRing::Content> KeyRing::content() const {
  const std::lock_guard lock(mutex_);
  return content_;
}

std::optional<Caller> KeyRing::FindKey(std::string_view key) const {
  const std::shared_ptr<const Content> held = content();
  const Digest digest = Sha256(key.substr(0, kApiKeyBytesMax + 1));
  const Caller* found = nullptr;
  for (const Key& candidate : held->keys) {
    const bool equal = CRYPTO_memcmp(candidate.digest.data(), digest.data(), digest.size()) == 0;
    found = equal ? &candidate.caller : found;
  }
  if (found == nullptr || key.size() > kApiKeyBytesMax) return std::nullopt;
  return *found;
}

std::optional<Caller> KeyRing::FindCommonName(std::string_view common_name) const {
  const std::shared_ptr<const Content> held = content();
  for (const Caller& candidate : held->certificates) {
    if (candidate.name == common_name) return candidate;
  }
  return std::nullopt;
}

size_t KeyRing::size() const {
  const std::shared_ptr<const Content> held = content();
  return held->keys.size() + held->certificates.size();
}

std::vector<std::string> KeyRing::warnings() const { return content()->warnings; }

absl::StatusOr<std::string> MakeApiKey() {
  std::array<uint8_t, 32> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return absl::InternalError("the system's random generator gave nothing");
  }
  const absl::string_view bytes(reinterpret_cast<const char*>(random.data()), random.size());
  return absl::StrCat(kKeyPrefix, absl::BytesToHexString(bytes));
}

absl::StatusOr<std::string> KeysFileLine(std::string_view name, std::string_view role,
                                         std::string_view key) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  if (absl::StatusOr<Role> known = CheckRole(role); !known.ok()) return known.status();
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (key.size() < kApiKeyBytesMin || key.size() > kApiKeyBytesMax || !printable) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a key has ", kApiKeyBytesMin, "..", kApiKeyBytesMax,
        " printable characters without spaces; stele-server --new-key makes a good one"));
  }
  const std::array<uint8_t, 32> digest = Sha256(key);
  const absl::string_view bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  return absl::StrCat(View(name), " ", View(role), " ", kDigestPrefix,
                      absl::BytesToHexString(bytes));
}

}  // namespace stele::server
