// Cosignatures of witnesses on checkpoints: c2sp.org/tlog-cosignature, Ed25519 ("cosignature/v1").
// A witness signs a checkpoint, with the time, after it has seen that it extends the one that it
// signed before. docs/format.md, "Checkpoints and proofs", states the bytes.
//
// It neither signs nor checks signatures. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "index/proof_text.h"

namespace stele::index {

// The first 4 bytes of SHA-256(name, 0x0a, 0x04, public key).
KeyId WitnessKeyId(std::string_view name, const PublicKey& key);

// As a VerifierKey, but of a witness: NAME+HEX KEY ID+BASE64 of 0x04 and the public key.
struct WitnessKey : NoteKey {};
WitnessKey MakeWitnessKey(std::string_view name, const PublicKey& key);
std::string EncodeWitnessKey(const WitnessKey& key);
std::optional<WitnessKey> ParseWitnessKey(std::string_view text, std::string* error);

// What stands behind the key id in a signature line: u64 seconds since 1970, big-endian, and the
// signature.
struct Cosignature {
  uint64_t time = 0;
  std::string signature;  // 64 bytes
};
std::string EncodeCosignature(const Cosignature& cosignature);
// Nothing unless it is of that length and the time is 1 .. 2^63-1.
std::optional<Cosignature> ParseCosignature(std::string_view bytes);
// What is signed: "cosignature/v1", "time " and the time, then the text of the checkpoint.
std::string CosignedMessage(uint64_t time, std::string_view checkpoint_text);

}  // namespace stele::index
