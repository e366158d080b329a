// Ed25519 (RFC 8032) and the signed notes made with it (c2sp.org/signed-note), by OpenSSL.
//
// It does not decide what is signed. Thread safety: all functions, from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/cosignature.h"
#include "index/proof_text.h"
#include "index/search_receipt.h"

namespace stele::server {

class SigningKey {
 public:
  // Reads an Ed25519 private key: PEM, PKCS#8, without a password. NOT_FOUND, INVALID_ARGUMENT and
  // others name the file.
  static absl::StatusOr<std::unique_ptr<SigningKey>> Load(const std::string& path);
  // The same, or makes a key and writes it with mode 0600, so that the file is there whole and
  // durable or not at all. PERMISSION_DENIED where others than the owner may read the file.
  static absl::StatusOr<std::unique_ptr<SigningKey>> LoadOrCreate(const std::string& path);

  ~SigningKey();
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  const index::PublicKey& public_key() const { return public_key_; }
  // 64 bytes; the same for the same message, always.
  absl::StatusOr<std::string> Sign(std::string_view message) const;

 private:
  struct Key;
  explicit SigningKey(std::unique_ptr<Key> key);

  std::unique_ptr<Key> key_;
  index::PublicKey public_key_{};
};

bool VerifyEd25519(const index::PublicKey& key, std::string_view message,
                   std::string_view signature);

// A note with one signature, by `key` under the name `name`.
absl::StatusOr<index::SignedNote> SignNote(const SigningKey& key, std::string_view name,
                                           std::string text);

// The same for the text of a search receipt, whose signatures have key ids of their own.
absl::StatusOr<index::SignedNote> SignReceipt(const SigningKey& key, std::string_view name,
                                              std::string text);

// OK if the note carries a good signature of this key; signatures of other keys do not matter.
// PERMISSION_DENIED: it has none of this key. DATA_LOSS: the key's signature is not of this text.
absl::Status VerifyNote(const index::SignedNote& note, const index::VerifierKey& key);

// A checkpoint out of a signed note, its signature checked. INVALID_ARGUMENT names the line;
// errors of VerifyNote; FAILED_PRECONDITION: the checkpoint of another log than the key's.
absl::StatusOr<index::Checkpoint> ReadCheckpoint(std::string_view note,
                                                 const index::VerifierKey& key);

// The text of a receipt out of its signed bytes, its signature checked, and the checkpoint that
// goes with it, which must be the one that it names. Errors as ReadCheckpoint; they say whether the
// receipt or the checkpoint is meant.
absl::StatusOr<index::SearchReceipt> ReadReceipt(std::string_view bytes,
                                                 const index::VerifierKey& key);

// The cosignature of this witness on the note. NOT_FOUND: there is none; DATA_LOSS: it is not good.
absl::StatusOr<index::Cosignature> FindCosignature(const index::SignedNote& note,
                                                   const index::WitnessKey& witness);

}  // namespace stele::server
