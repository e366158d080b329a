#include "server/signing.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "storage/atomic_file.h"

namespace stele::server {
namespace {

using KeyPointer = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using DigestPointer = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
using BioPointer = std::unique_ptr<BIO, decltype(&BIO_free)>;

constexpr size_t kSignatureBytes = 64;
constexpr size_t kKeyFileBytesMax = 16 * 1024;

const unsigned char* Data(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

absl::Status FileError(const std::string& path, absl::string_view what) {
  const int error = errno;
  const std::string message =
      absl::StrCat("the signing key ", path, " ", what, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  return absl::PermissionDeniedError(message);
}

absl::StatusOr<std::string> PrivatePem(EVP_PKEY* key) {
  const BioPointer bio(BIO_new(BIO_s_mem()), BIO_free);
  char* data = nullptr;
  if (bio == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError("the signing key could not be encoded");
  }
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::Status WriteKeyFile(const std::string& path, const std::string& pem) {
  auto file = storage::AtomicFileWriter::Create(path, nullptr,
                                                storage::AtomicFileWriter::Access::kOwnerOnly);
  absl::Status status = file.status();
  if (status.ok()) status = (*file)->Append(pem);
  if (status.ok()) status = (*file)->Commit();
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("the signing key ", path,
                                                  " cannot be written: ", status.message()));
}

}  // namespace

struct SigningKey::Key {
  KeyPointer pointer{nullptr, EVP_PKEY_free};
};

SigningKey::SigningKey(std::unique_ptr<Key> key) : key_(std::move(key)) {}
SigningKey::~SigningKey() = default;

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return FileError(path, "cannot be read");
  std::string pem(kKeyFileBytesMax, '\0');
  file.read(pem.data(), static_cast<std::streamsize>(pem.size()));
  pem.resize(static_cast<size_t>(file.gcount()));
  const BioPointer bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  auto key = std::make_unique<Key>();
  const auto no_password = [](char*, int, int, void*) { return 0; };
  if (bio != nullptr) {
    key->pointer.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  }
  ERR_clear_error();
  if (key->pointer == nullptr || EVP_PKEY_id(key->pointer.get()) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the signing key ", path, " is not an Ed25519 private key in PEM, PKCS#8, without a ",
        "password; openssl genpkey -algorithm ed25519 makes one"));
  }
  std::unique_ptr<SigningKey> made(new SigningKey(std::move(key)));
  size_t size = made->public_key_.size();
  if (EVP_PKEY_get_raw_public_key(made->key_->pointer.get(), made->public_key_.data(), &size) !=
          1 ||
      size != made->public_key_.size()) {
    return absl::InternalError(absl::StrCat("the signing key ", path, " gives no public key"));
  }
  return made;
}

absl::StatusOr<std::unique_ptr<SigningKey>> SigningKey::LoadOrCreate(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) == 0) {
    if ((found.st_mode & 077) != 0) {
      return absl::PermissionDeniedError(absl::StrCat(
          "the signing key ", path, " may be read by others than its owner: chmod 600 it, and ",
          "consider whether it is still a secret"));
    }
    return Load(path);
  }
  if (errno != ENOENT) return FileError(path, "cannot be read");
  EVP_PKEY* fresh = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  const KeyPointer owner(fresh, EVP_PKEY_free);
  if (fresh == nullptr) return absl::InternalError("a signing key could not be made");
  const absl::StatusOr<std::string> pem = PrivatePem(fresh);
  if (!pem.ok()) return pem.status();
  const absl::Status status = WriteKeyFile(path, *pem);
  if (!status.ok()) return status;
  // What is used is what was written.
  return Load(path);
}

absl::StatusOr<std::string> SigningKey::Sign(std::string_view message) const {
  const DigestPointer context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_->pointer.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     Data(message), message.size()) != 1 ||
      size != signature.size()) {
    ERR_clear_error();
    return absl::InternalError("the signature could not be made");
  }
  return signature;
}

bool VerifyEd25519(const index::PublicKey& key, std::string_view message,
                   std::string_view signature) {
  if (signature.size() != kSignatureBytes) return false;
  const KeyPointer pointer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()),
      EVP_PKEY_free);
  const DigestPointer context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const bool good =
      pointer != nullptr && context != nullptr &&
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pointer.get()) == 1 &&
      EVP_DigestVerify(context.get(), Data(signature), signature.size(), Data(message),
                       message.size()) == 1;
  ERR_clear_error();
  return good;
}

absl::StatusOr<index::SignedNote> SignNote(const SigningKey& key, std::string_view name,
                                           std::string text) {
  absl::StatusOr<std::string> signature = key.Sign(text);
  if (!signature.ok()) return signature.status();
  index::SignedNote note;
  note.text = std::move(text);
  note.signatures.push_back(
      {std::string(name), index::NoteKeyId(name, key.public_key()), *std::move(signature)});
  return note;
}

absl::StatusOr<index::SignedNote> SignReceipt(const SigningKey& key, std::string_view name,
                                              std::string text) {
  absl::StatusOr<index::SignedNote> note = SignNote(key, name, std::move(text));
  if (note.ok()) note->signatures[0].key_id = index::ReceiptKeyId(name, key.public_key());
  return note;
}

absl::Status VerifyNote(const index::SignedNote& note, const index::VerifierKey& key) {
  bool signed_by_key = false;
  for (const index::NoteSignature& signature : note.signatures) {
    if (signature.name != key.name || signature.key_id != key.key_id) continue;
    signed_by_key = true;
    if (!VerifyEd25519(key.public_key, note.text, signature.bytes)) {
      return absl::DataLossError(absl::StrCat("the signature of ", key.name,
                                              " is not of this text: one of them was changed"));
    }
  }
  if (signed_by_key) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("there is no signature of the trusted key ", index::EncodeVerifierKey(key)));
}

absl::StatusOr<index::Checkpoint> ReadCheckpoint(std::string_view note,
                                                 const index::VerifierKey& key) {
  std::string error;
  const std::optional<index::SignedNote> parsed = index::ParseNote(note, &error);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint, ", error));
  }
  const absl::Status status = VerifyNote(*parsed, key);
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("the checkpoint: ", status.message()));
  }
  std::optional<index::Checkpoint> checkpoint = index::ParseCheckpoint(parsed->text, &error);
  if (!checkpoint.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("the checkpoint, ", error));
  }
  if (checkpoint->origin != key.name) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the checkpoint is of the log ", checkpoint->origin, ", the key of ", key.name));
  }
  return *std::move(checkpoint);
}

absl::StatusOr<index::SearchReceipt> ReadReceipt(std::string_view bytes,
                                                 const index::VerifierKey& key) {
  std::string error;
  const auto parsed = index::ParseSignedReceipt(bytes, &error);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("the receipt, ", error));
  }
  index::VerifierKey receipt_key = key;
  receipt_key.key_id = index::ReceiptKeyId(key.name, key.public_key);
  const absl::Status status = VerifyNote(parsed->note, receipt_key);
  if (absl::IsPermissionDenied(status)) {
    return absl::PermissionDeniedError(absl::StrCat("the receipt is not signed by the trusted key ",
                                                    index::EncodeVerifierKey(key)));
  }
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("the receipt: ", status.message()));
  }
  // Nobody but its signer can vouch for what else stands there.
  if (parsed->note.signatures.size() != 1 || index::EncodeSignedReceipt(*parsed) != bytes) {
    return absl::InvalidArgumentError("the receipt is not in its one form");
  }
  auto receipt = index::ParseSearchReceipt(parsed->note.text, &error);
  if (!receipt.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("the receipt, ", error));
  }
  if (index::EncodeSearchReceipt(*receipt) != parsed->note.text) {
    return absl::InvalidArgumentError("the receipt is not in its one form");
  }
  if (receipt->log != key.name) {
    return absl::FailedPreconditionError(
        absl::StrCat("the receipt is of the log ", receipt->log, ", the key of ", key.name));
  }
  if (receipt->checkpoint.has_value() != !parsed->checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "the receipt, line 7: a checkpoint is named exactly if one follows the signatures");
  }
  if (!receipt->checkpoint.has_value()) return *std::move(receipt);
  const absl::StatusOr<index::Checkpoint> checkpoint = ReadCheckpoint(parsed->checkpoint, key);
  if (!checkpoint.ok()) return checkpoint.status();
  if (receipt->checkpoint != std::pair(checkpoint->size, checkpoint->root)) {
    return absl::InvalidArgumentError(
        "the receipt, line 7: the checkpoint that follows is another one");
  }
  return *std::move(receipt);
}

absl::StatusOr<index::Cosignature> FindCosignature(const index::SignedNote& note,
                                                   const index::WitnessKey& witness) {
  absl::StatusOr<index::Cosignature> found =
      absl::NotFoundError(absl::StrCat("there is no cosignature of ", witness.name));
  for (const index::NoteSignature& line : note.signatures) {
    if (line.name != witness.name || line.key_id != witness.key_id) continue;
    std::optional<index::Cosignature> cosignature = index::ParseCosignature(line.bytes);
    if (!cosignature.has_value() ||
        !VerifyEd25519(witness.public_key, index::CosignedMessage(cosignature->time, note.text),
                       cosignature->signature)) {
      return absl::DataLossError(
          absl::StrCat("the cosignature of ", witness.name, " is not of this checkpoint"));
    }
    if (!found.ok() || found->time < cosignature->time) found = *std::move(cosignature);
  }
  return found;
}

}  // namespace stele::server
