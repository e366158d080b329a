// Checkpoints and log proofs as text that travels by mail: what C2SP specifies where it does.
// docs/format.md, "Checkpoints and proofs", states the bytes.
//
// A text has one form only: whatever is parsed here is written again to the same bytes. It holds no
// keys and checks no signature; hashes are checked by log_proof.h.
//
// Thread safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

// Standard base64 with padding (RFC 4648 section 4), as few bits as there are: nothing else is
// decoded.
std::string EncodeBase64(std::string_view bytes);
std::optional<std::string> DecodeBase64(std::string_view text);
std::optional<Hash> DecodeBase64Hash(std::string_view text);
// Without leading zeros.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// c2sp.org/tlog-checkpoint, without extension lines.
struct Checkpoint {
  std::string origin;
  uint64_t size = 0;
  Hash root{};
  bool operator==(const Checkpoint&) const = default;
};
std::string EncodeCheckpoint(const Checkpoint& checkpoint);

// c2sp.org/signed-note. `bytes` are those of the signature without the key id.
using KeyId = std::array<uint8_t, 4>;
struct NoteSignature {
  std::string name;
  KeyId key_id{};
  std::string bytes;
};
struct SignedNote {
  std::string text;  // ends with a newline
  std::vector<NoteSignature> signatures;
};
std::string EncodeNote(const SignedNote& note);
inline constexpr size_t kNoteBytesMax = size_t{64} * 1024;
// 1..256 bytes of UTF-8 without control characters, spaces of ASCII and plus signs.
bool IsNoteName(std::string_view name);

using PublicKey = std::array<uint8_t, 32>;
// The first 4 bytes of SHA-256(name, 0x0a, 0x01, public key): Ed25519, for logs.
KeyId NoteKeyId(std::string_view name, const PublicKey& key);

// A key that somebody trusts.
struct NoteKey {
  std::string name;
  KeyId key_id{};
  PublicKey public_key{};
};
// Of a log: NAME+HEX KEY ID+BASE64 of 0x01 and the public key.
struct VerifierKey : NoteKey {};
VerifierKey MakeVerifierKey(std::string_view name, const PublicKey& key);
std::string EncodeVerifierKey(const VerifierKey& key);

// c2sp.org/tlog-proof: an entry is in the tree of the checkpoint. `extra` is its commit record.
struct InclusionText {
  std::optional<std::string> extra;
  uint64_t index = 0;
  std::vector<Hash> hashes;
  std::string checkpoint;  // a signed note
};
std::string EncodeInclusionText(const InclusionText& proof);

// The tree of the checkpoint begins with the first `old_size` entries. The lines are those of a
// request of c2sp.org/tlog-witness.
struct ConsistencyText {
  uint64_t old_size = 0;
  std::vector<Hash> hashes;
  std::string checkpoint;  // a signed note
};
std::string EncodeConsistencyText(const ConsistencyText& proof);

// FROZEN: first lines of the texts.
inline constexpr std::string_view kInclusionHeader = "c2sp.org/tlog-proof@v1";
inline constexpr std::string_view kConsistencyHeader = "stele/log-consistency@v1";

// Nothing, and why ("line 2: ..."), where the text is not of the form.
std::optional<Checkpoint> ParseCheckpoint(std::string_view text, std::string* error);
std::optional<SignedNote> ParseNote(std::string_view bytes, std::string* error,
                                    size_t bytes_max = kNoteBytesMax);
std::optional<VerifierKey> ParseVerifierKey(std::string_view text, std::string* error);
std::optional<InclusionText> ParseInclusionText(std::string_view bytes, std::string* error);
std::optional<ConsistencyText> ParseConsistencyText(std::string_view bytes, std::string* error);

// Takes a text apart line by line, and says which line is wrong.
class LineParser {
 public:
  explicit LineParser(std::string_view bytes) : rest_(bytes) {}
  // The next line without its newline; nothing, and an error, where none ends.
  std::optional<std::string_view> Next(std::string_view what);
  // What follows the word and a space on the next line.
  std::optional<std::string_view> Field(std::string_view word);
  // At most so many lines of one hash each up to an empty line, which is taken as well.
  std::optional<std::vector<Hash>> Hashes(size_t count_max = 64);
  bool NextIs(std::string_view prefix) const { return rest_.starts_with(prefix); }
  std::string_view rest() const { return rest_; }
  // Sets the error, of the line that was read last.
  void Fail(std::string_view what);
  const std::string& error() const { return error_; }

 private:
  std::string_view rest_;
  unsigned line_ = 0;
  std::string error_;
};

}  // namespace stele::index
