#include "index/proof_text.h"

#include <algorithm>

#include "index/codec.h"
#include "index/proof_lines.h"

namespace stele::index {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
// An em dash and a space begin a signature line.
constexpr std::string_view kDash = "\xe2\x80\x94 ";
constexpr size_t kNameBytesMax = 256;
constexpr size_t kSignaturesMax = 64;
constexpr std::string_view kEd25519 = "\x01";

std::string_view Bytes(const PublicKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

std::string EncodeHashLines(const std::vector<Hash>& hashes) {
  std::string text;
  for (const Hash& hash : hashes) text.append(Base64(hash)).append("\n");
  return text;
}

// The hashes and the checkpoint, with which proofs about the log end.
template <typename Proof>
bool ParseEnd(LineParser& lines, Proof* proof) {
  std::optional<std::vector<Hash>> hashes = lines.Hashes();
  if (!hashes.has_value()) return false;
  proof->hashes = *std::move(hashes);
  proof->checkpoint = std::string(lines.rest());
  return true;
}

}  // namespace

bool IsNoteName(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || !IsUtf8(name)) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && c != '+';
  });
}

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kBase64[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    size_t count = 3;
    for (size_t j = 0; j < 4; ++j) {
      const char c = text[i + j];
      const size_t value = kBase64.find(c);
      if (value == std::string_view::npos) {
        // Padding: one or two at the very end.
        if (c != '=' || j < 2 || i + 4 != text.size()) return std::nullopt;
        count = std::min(count, j - 1);
        group <<= 6;
        continue;
      }
      if (count != 3) return std::nullopt;  // after padding
      group = group << 6 | static_cast<uint32_t>(value);
    }
    for (size_t j = 0; j < 3; ++j) {
      const char byte = static_cast<char>(static_cast<unsigned char>(group >> (16 - 8 * j)));
      if (j < count) {
        bytes += byte;
      } else if (byte != 0) {
        return std::nullopt;
      }
    }
  }
  return bytes;
}

std::optional<Hash> DecodeBase64Hash(std::string_view text) {
  const std::optional<std::string> bytes = DecodeBase64(text);
  if (!bytes.has_value() || bytes->size() != sizeof(Hash)) return std::nullopt;
  Hash hash;
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return hash;
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  if (text.empty() || text.size() > 20 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

void LineParser::Fail(std::string_view what) {
  if (error_.empty()) error_ = Join({"line ", std::to_string(line_), ": ", what});
}

std::optional<std::string_view> LineParser::Next(std::string_view what) {
  ++line_;
  const size_t end = rest_.find('\n');
  if (end == std::string_view::npos) {
    Fail(Join({what, " is missing"}));
    return std::nullopt;
  }
  const std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return line;
}

std::optional<std::string_view> LineParser::Field(std::string_view word) {
  std::optional<std::string_view> line = Next(Join({"\"", word, " ...\""}));
  if (!line.has_value()) return std::nullopt;
  if (!line->starts_with(word) || line->size() <= word.size() || (*line)[word.size()] != ' ') {
    Fail(Join({"it does not begin with \"", word, " \""}));
    return std::nullopt;
  }
  return line->substr(word.size() + 1);
}

std::optional<std::vector<Hash>> LineParser::Hashes(size_t count_max) {
  std::vector<Hash> hashes;
  for (;;) {
    const std::optional<std::string_view> line = Next("the empty line after the hashes");
    if (!line.has_value()) return std::nullopt;
    if (line->empty()) return hashes;
    const std::optional<Hash> hash = DecodeBase64Hash(*line);
    if (!hash.has_value() || hashes.size() == count_max) {
      Fail(hash.has_value() ? "more hashes than a proof has" : "it is not a hash in base64");
      return std::nullopt;
    }
    hashes.push_back(*hash);
  }
}

std::string EncodeCheckpoint(const Checkpoint& checkpoint) {
  return Join({checkpoint.origin, "\n", std::to_string(checkpoint.size), "\n",
               Base64(checkpoint.root), "\n"});
}

std::optional<Checkpoint> ParseCheckpoint(std::string_view text, std::string* error) {
  const auto parse = [&](LineParser& lines, Checkpoint& checkpoint) {
    const std::optional<std::string_view> origin = lines.Next("the origin");
    if (!origin.has_value()) return false;
    if (!IsNoteName(*origin)) return lines.Fail("it is not an origin"), false;
    checkpoint.origin = std::string(*origin);
    const std::optional<std::string_view> size = lines.Next("the size of the log");
    if (!size.has_value()) return false;
    const std::optional<uint64_t> number = ParseDecimal(*size);
    if (!number.has_value()) return lines.Fail("it is not the size of a log"), false;
    checkpoint.size = *number;
    const std::optional<std::string_view> root = lines.Next("the root hash");
    if (!root.has_value()) return false;
    const std::optional<Hash> hash = DecodeBase64Hash(*root);
    if (!hash.has_value()) return lines.Fail("it is not a hash in base64"), false;
    checkpoint.root = *hash;
    if (!lines.rest().empty())
      return lines.Fail("more lines follow it than a checkpoint has"), false;
    return true;
  };
  return ParseLines<Checkpoint>(text, error, parse);
}

std::string EncodeNote(const SignedNote& note) {
  std::string bytes = Join({note.text, "\n"});
  for (const NoteSignature& signature : note.signatures) {
    std::string blob(signature.key_id.begin(), signature.key_id.end());
    blob += signature.bytes;
    bytes.append(Join({kDash, signature.name, " ", EncodeBase64(blob), "\n"}));
  }
  return bytes;
}

std::optional<SignedNote> ParseNote(std::string_view bytes, std::string* error, size_t bytes_max) {
  const auto parse = [&](LineParser& lines, SignedNote& note) {
    if (bytes.size() > bytes_max) return lines.Fail("it is longer than a signed note"), false;
    // The text is what stands before the empty line; our texts have none of their own.
    for (;;) {
      const std::optional<std::string_view> line = lines.Next("the empty line before signatures");
      if (!line.has_value()) return false;
      if (line->empty()) break;
      note.text.append(*line).append("\n");
    }
    if (note.text.empty()) return lines.Fail("there is no text"), false;
    while (!lines.rest().empty()) {
      const std::optional<std::string_view> line = lines.Next("a signature");
      if (!line.has_value()) return false;
      const size_t space = line->rfind(' ');
      if (!line->starts_with(kDash) || space <= kDash.size()) {
        return lines.Fail("it is not a signature line"), false;
      }
      NoteSignature signature;
      signature.name = std::string(line->substr(kDash.size(), space - kDash.size()));
      const std::optional<std::string> blob = DecodeBase64(line->substr(space + 1));
      if (!IsNoteName(signature.name) || !blob.has_value() || blob->size() <= sizeof(KeyId)) {
        return lines.Fail("it is not a signature line"), false;
      }
      std::copy_n(blob->begin(), sizeof(KeyId), signature.key_id.begin());
      signature.bytes = blob->substr(sizeof(KeyId));
      note.signatures.push_back(std::move(signature));
      if (note.signatures.size() > kSignaturesMax) {
        return lines.Fail("there are more signatures than allowed"), false;
      }
    }
    if (note.signatures.empty()) return lines.Fail("there is no signature"), false;
    return true;
  };
  return ParseLines<SignedNote>(bytes, error, parse);
}

KeyId HashKeyId(std::string_view name, std::string_view type, const PublicKey& key) {
  const Hash hash = Hasher().Bytes(name).U8('\n').Bytes(type).Bytes(Bytes(key)).Finish();
  KeyId id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

std::string EncodeKey(std::string_view type, const NoteKey& key) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (const uint8_t byte : key.key_id) {
    id += kDigits[byte >> 4];
    id += kDigits[byte & 15];
  }
  return Join({key.name, "+", id, "+", EncodeBase64(Join({type, Bytes(key.public_key)}))});
}

std::optional<NoteKey> ParseKey(std::string_view type, std::string_view noun, std::string_view form,
                                std::string_view text, std::string* error) {
  *error = Join({"a ", noun, " is NAME+KEY ID+BASE64", form});
  const size_t first = text.find('+');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = text.find('+', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::optional<std::string> blob = DecodeBase64(text.substr(second + 1));
  if (!blob.has_value() || blob->size() != type.size() + sizeof(PublicKey) ||
      !blob->starts_with(type)) {
    return std::nullopt;
  }
  NoteKey key;
  key.name = std::string(text.substr(0, first));
  std::copy(blob->end() - sizeof(PublicKey), blob->end(), key.public_key.begin());
  key.key_id = HashKeyId(key.name, type, key.public_key);
  if (!IsNoteName(key.name)) return std::nullopt;
  if (EncodeKey(type, key) != text) {
    *error = Join({"the key id of the ", noun, " does not fit its name and key"});
    return std::nullopt;
  }
  return key;
}

KeyId NoteKeyId(std::string_view name, const PublicKey& key) {
  return HashKeyId(name, kEd25519, key);
}

VerifierKey MakeVerifierKey(std::string_view name, const PublicKey& key) {
  return {{std::string(name), NoteKeyId(name, key), key}};
}

std::string EncodeVerifierKey(const VerifierKey& key) { return EncodeKey(kEd25519, key); }

std::optional<VerifierKey> ParseVerifierKey(std::string_view text, std::string* error) {
  auto key = ParseKey(kEd25519, "verifier key", ", as GetServerInfo gives it", text, error);
  if (!key.has_value()) return std::nullopt;
  return VerifierKey{*std::move(key)};
}

std::string EncodeInclusionText(const InclusionText& proof) {
  std::string text = Join({kInclusionHeader, "\n"});
  if (proof.extra.has_value()) text.append(Join({"extra ", EncodeBase64(*proof.extra), "\n"}));
  return Join({text, "index ", std::to_string(proof.index), "\n", EncodeHashLines(proof.hashes),
               "\n", proof.checkpoint});
}

std::optional<InclusionText> ParseInclusionText(std::string_view bytes, std::string* error) {
  const auto parse = [&](LineParser& lines, InclusionText& proof) {
    const auto header = lines.Next("the first line");
    if (!header.has_value()) return false;
    if (*header != kInclusionHeader) return lines.Fail("it is not a tlog-proof"), false;
    if (lines.NextIs("extra ")) {
      const auto extra = lines.Field("extra");
      if (!extra.has_value()) return false;
      proof.extra = DecodeBase64(*extra);
      if (!proof.extra.has_value()) return lines.Fail("the extra data is not base64"), false;
    }
    const auto field = lines.Field("index");
    if (!field.has_value()) return false;
    const std::optional<uint64_t> index = ParseDecimal(*field);
    if (!index.has_value()) return lines.Fail("it is not the index of an entry"), false;
    proof.index = *index;
    return ParseEnd(lines, &proof);
  };
  return ParseLines<InclusionText>(bytes, error, parse);
}

std::string EncodeConsistencyText(const ConsistencyText& proof) {
  return Join({kConsistencyHeader, "\nold ", std::to_string(proof.old_size), "\n",
               EncodeHashLines(proof.hashes), "\n", proof.checkpoint});
}

std::optional<ConsistencyText> ParseConsistencyText(std::string_view bytes, std::string* error) {
  const auto parse = [&](LineParser& lines, ConsistencyText& proof) {
    const auto header = lines.Next("the first line");
    if (!header.has_value()) return false;
    if (*header != kConsistencyHeader) return lines.Fail("it is not a consistency proof"), false;
    const auto field = lines.Field("old");
    if (!field.has_value()) return false;
    const std::optional<uint64_t> size = ParseDecimal(*field);
    if (!size.has_value()) return lines.Fail("it is not the size of a log"), false;
    proof.old_size = *size;
    return ParseEnd(lines, &proof);
  };
  return ParseLines<ConsistencyText>(bytes, error, parse);
}

}  // namespace stele::index
