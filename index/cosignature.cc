#include "index/cosignature.h"

#include <algorithm>

#include "index/proof_lines.h"

namespace stele::index {
namespace {

// FROZEN: c2sp.org/signed-note, signature types.
constexpr uint8_t kWitnessType = 0x04;
constexpr size_t kTimeBytes = 8;
constexpr size_t kSignatureBytes = 64;
constexpr uint64_t kTimeMax = (uint64_t{1} << 63) - 1;

std::string_view Bytes(const PublicKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

}  // namespace

KeyId WitnessKeyId(std::string_view name, const PublicKey& key) {
  const Hash hash = Hasher().Bytes(name).U8('\n').U8(kWitnessType).Bytes(Bytes(key)).Finish();
  KeyId id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

WitnessKey MakeWitnessKey(std::string_view name, const PublicKey& key) {
  return {std::string(name), WitnessKeyId(name, key), key};
}

std::string EncodeWitnessKey(const WitnessKey& key) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = Join({key.name, "+"});
  for (const uint8_t byte : key.key_id) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  std::string blob(1, static_cast<char>(kWitnessType));
  blob += Bytes(key.public_key);
  return Join({text, "+", EncodeBase64(blob)});
}

std::optional<WitnessKey> ParseWitnessKey(std::string_view text, std::string* error) {
  *error = "a witness key is NAME+KEY ID+BASE64 of 04 and an Ed25519 key";
  const size_t first = text.find('+');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = text.find('+', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::optional<std::string> blob = DecodeBase64(text.substr(second + 1));
  if (!blob.has_value() || blob->size() != 1 + sizeof(PublicKey) || (*blob)[0] != kWitnessType) {
    return std::nullopt;
  }
  PublicKey key;
  std::copy(blob->begin() + 1, blob->end(), key.begin());
  WitnessKey made = MakeWitnessKey(text.substr(0, first), key);
  if (!IsNoteName(made.name)) return std::nullopt;
  if (EncodeWitnessKey(made) != text) {
    *error = "the key id of the witness key does not fit its name and key";
    return std::nullopt;
  }
  return made;
}

std::string EncodeCosignature(const Cosignature& cosignature) {
  std::string bytes;
  for (size_t i = kTimeBytes; i-- > 0;) {
    bytes += static_cast<char>(static_cast<unsigned char>(cosignature.time >> (8 * i)));
  }
  return bytes + cosignature.signature;
}

std::optional<Cosignature> ParseCosignature(std::string_view bytes) {
  if (bytes.size() != kTimeBytes + kSignatureBytes) return std::nullopt;
  Cosignature cosignature;
  for (size_t i = 0; i < kTimeBytes; ++i) {
    cosignature.time = cosignature.time << 8 | static_cast<unsigned char>(bytes[i]);
  }
  if (cosignature.time == 0 || cosignature.time > kTimeMax) return std::nullopt;
  cosignature.signature = std::string(bytes.substr(kTimeBytes));
  return cosignature;
}

std::string CosignedMessage(uint64_t time, std::string_view checkpoint_text) {
  return Join({"cosignature/v1\ntime ", std::to_string(time), "\n", checkpoint_text});
}

}  // namespace stele::index
