// Who may call: the keys file, which names callers by API key or by client certificate.
//
//   # comment
//   NAME ROLE sha256:HEX      a caller with an API key; HEX is the SHA-256 of the key
//   cn:COMMON NAME ROLE       a caller with a client certificate of this common name
//
// Keys are random and of 256 bits (`stele-server --new-key`), so their plain SHA-256 cannot be
// searched through and needs neither salt nor stretching. A key never appears in a message or in
// the log.
//
// It does not decide what a role may do (roles.h) and does not read certificates (gate.cc).
//
// Thread safety: all functions, from any thread; a lookup sees the old content or the new, whole.
//
// Invariants:
//   1. How long a lookup takes depends on the number of keys, not on what was presented.
//   2. A Reload that fails leaves the ring as it was.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/gate.h"

namespace stele::server {

inline constexpr size_t kApiKeyBytesMin = 32;
inline constexpr size_t kApiKeyBytesMax = 512;

class KeyRing {
 public:
  // Reads the file at `path`. Errors: INVALID_ARGUMENT (which line, and why), NOT_FOUND,
  // PERMISSION_DENIED (unreadable for us, or writable by everyone).
  static absl::StatusOr<std::unique_ptr<KeyRing>> Load(std::string path);

  // Reads the file again. Errors as Load.
  absl::Status Reload();

  // The caller of an API key; null for an unknown one.
  std::optional<Caller> FindKey(std::string_view key) const;
  // The caller of a certificate's common name; null for an unknown one.
  std::optional<Caller> FindCommonName(std::string_view common_name) const;

  // How many callers are named.
  size_t size() const;
  // What the operator should know about the file, e.g. that everyone may read it.
  std::vector<std::string> warnings() const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Key {
    Digest digest;
    Caller caller;
  };
  struct Content {
    std::vector<Key> keys;
    std::vector<Caller> certificates;
    std::vector<std::string> warnings;
  };

  explicit KeyRing(std::string path) : path_(std::move(path)) {}
  static absl::StatusOr<Content> ReadContent(const std::string& path);
  static absl::StatusOr<Content> Parse(std::string_view text);
  static absl::Status ParseLine(std::string_view line, Content* content);
  static absl::Status ParseKey(const std::vector<std::string_view>& words, Content* content);
  static absl::Status ParseCertificate(std::string_view line, Content* content);
  std::shared_ptr<const Content> content() const;

  const std::string path_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Content> content_;
};

// A new key: 256 random bits in printable form. Error: INTERNAL (no randomness).
absl::StatusOr<std::string> MakeApiKey();

// The line of the keys file for a key. INVALID_ARGUMENT: a bad name or role, a key that is too
// short.
absl::StatusOr<std::string> KeysFileLine(std::string_view name, std::string_view role,
                                         std::string_view key);

}  // namespace stele::server
