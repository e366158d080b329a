#include "index/cosignature.h"

#include "index/proof_lines.h"

namespace stele::index {
namespace {

// FROZEN: c2sp.org/signed-note, signature types.
constexpr std::string_view kWitnessType = "\x04";
constexpr size_t kTimeBytes = 8;
constexpr size_t kSignatureBytes = 64;
constexpr uint64_t kTimeMax = (uint64_t{1} << 63) - 1;

}  // namespace

KeyId WitnessKeyId(std::string_view name, const PublicKey& key) {
  return HashKeyId(name, kWitnessType, key);
}

WitnessKey MakeWitnessKey(std::string_view name, const PublicKey& key) {
  return {{std::string(name), WitnessKeyId(name, key), key}};
}

std::string EncodeWitnessKey(const WitnessKey& key) { return EncodeKey(kWitnessType, key); }

std::optional<WitnessKey> ParseWitnessKey(std::string_view text, std::string* error) {
  auto key = ParseKey(kWitnessType, "witness key", " of 04 and an Ed25519 key", text, error);
  if (!key.has_value()) return std::nullopt;
  return WitnessKey{*std::move(key)};
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
