// `audit witness-key|cosign`: what a witness does.
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/audit_watch.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/key_argument.h"
#include "client/cli/table.h"
#include "index/cosignature.h"
#include "server/signing.h"

namespace stele::client::cli {
namespace {

struct WitnessOptions {
  std::string key_file;
  std::string name;
  bool create = false;
  std::string log_key;
  std::string state_file;
  std::string out;
  bool no_submit = false;
};
using OptionsPointer = std::shared_ptr<WitnessOptions>;

struct Witness {
  std::unique_ptr<server::SigningKey> signer;
  index::WitnessKey key;
};

absl::StatusOr<Witness> OpenWitness(const WitnessOptions& options) {
  if (!index::IsNoteName(options.name)) {
    return UsageError("--name: give a name without spaces and plus signs, e.g. witness.example/1");
  }
  auto signer = options.create ? server::SigningKey::LoadOrCreate(options.key_file)
                               : server::SigningKey::Load(options.key_file);
  if (!signer.ok())
    return absl::IsNotFound(signer.status()) ? AsUsageError(signer.status()) : signer.status();
  index::WitnessKey key = index::MakeWitnessKey(options.name, (*signer)->public_key());
  return Witness{*std::move(signer), std::move(key)};
}

absl::Status RunWitnessKey(Context& context, const WitnessOptions& options) {
  const auto witness = OpenWitness(options);
  if (!witness.ok()) return witness.status();
  const std::string text = index::EncodeWitnessKey(witness->key);
  context.Print(Json{{"witness_key", text}}, absl::StrCat(text, "\n"));
  return absl::OkStatus();
}

// The note with the signature of the witness appended.
absl::StatusOr<std::string> Cosign(const Witness& witness, const std::string& bytes,
                                   uint64_t time) {
  std::string error;
  auto note = index::ParseNote(bytes, &error);
  if (!note.has_value()) return absl::DataLossError(absl::StrCat("the checkpoint, ", error));
  const auto signature = witness.signer->Sign(index::CosignedMessage(time, note->text));
  if (!signature.ok()) return signature.status();
  note->signatures.push_back(
      {witness.key.name, witness.key.key_id, index::EncodeCosignature({time, *signature})});
  return index::EncodeNote(*note);
}

absl::StatusOr<AuditState> StateToBegin(const WitnessOptions& options) {
  auto remembered = ReadAuditState(options.state_file);
  if (!remembered.ok()) return remembered.status();
  const auto key = ReadKeyArgument(options.log_key);
  if (!key.ok()) return key.status();
  if (!remembered->has_value()) {
    AuditState state;
    state.key = *key;
    return state;
  }
  if (index::EncodeVerifierKey(*key) != index::EncodeVerifierKey((*remembered)->key)) {
    return UsageError(absl::StrCat("--log-key is not the key of ", options.state_file,
                                   ": a witness keeps one state file for each log"));
  }
  return **std::move(remembered);
}

absl::Status RunCosign(Context& context, const WitnessOptions& options) {
  const auto witness = OpenWitness(options);
  if (!witness.ok()) return witness.status();
  auto state = StateToBegin(options);
  if (!state.ok()) return state.status();
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  std::string evidence;
  const absl::Status seen = LookOnce(*client, &*state, &evidence);
  if (ExitCodeFor(seen) == kExitFork) {
    const std::string path = absl::StrCat(options.state_file, ".conflict");
    std::fprintf(
        stderr, "stele: both checkpoints are in %s\n",
        WriteFile(path, evidence).ok() ? path.c_str() : "no file: it could not be written");
  }
  if (!seen.ok()) return seen;
  // Before anybody can see the signature: after a crash it signs nothing that contradicts it.
  const absl::Status kept = WriteAuditState(options.state_file, *state);
  if (!kept.ok()) return kept;
  const auto time = static_cast<uint64_t>(absl::ToUnixSeconds(absl::Now()));
  const auto note = Cosign(*witness, state->note, time);
  if (!note.ok()) return note.status();
  Json json;
  json["tree_size"] = state->checkpoint.size;
  json["root"] = Hex(state->checkpoint.root);
  json["time"] = time;
  if (!options.no_submit) {
    const auto added = client->AddCosignatures(*note);
    if (!added.ok()) return added.status();
    json["added"] = added->added_count();
  }
  if (!options.out.empty()) {
    const absl::Status written = WriteFile(options.out, *note);
    if (!written.ok()) return written;
  }
  context.Print(json, absl::StrCat("cosigned ", state->checkpoint.size, " entries as ",
                                   Printable(witness->key.name, 256),
                                   options.no_submit ? "\n" : ", and handed it to the server\n"));
  return absl::OkStatus();
}

void AddWitness(CLI::App* command, const OptionsPointer& options) {
  command
      ->add_option("--key", options->key_file,
                   "The witness's own private key: Ed25519, PEM, PKCS#8")
      ->required();
  command->add_option("--name", options->name, "The witness's name, e.g. witness.example/1")
      ->required();
  command->add_flag("--create", options->create, "Make the key if the file is not there");
}

}  // namespace

void AddWitnessCommands(CLI::App* audit, Context* context) {
  const auto options = std::make_shared<WitnessOptions>();
  CLI::App* key = AddCommand(audit, "witness-key", "The key by which others know a witness");
  AddWitness(key, options);
  SetRun(key, context, [options](Context& c) { return RunWitnessKey(c, *options); });

  CLI::App* cosign = AddCommand(
      audit, "cosign",
      "Sign the newest checkpoint as a witness, if it extends the last one; exit code 8 if not");
  AddWitness(cosign, options);
  cosign->add_option("--log-key", options->log_key, "Verifier key of the log, or a file with it")
      ->envname("STELE_VERIFIER_KEY")
      ->required();
  cosign->add_option("--state", options->state_file, "File that remembers the last one signed")
      ->required();
  cosign->add_option("--out", options->out, "Write the cosigned checkpoint to this file");
  cosign->add_flag("--no-submit", options->no_submit, "Do not hand it to the server");
  SetRun(cosign, context, [options](Context& c) { return RunCosign(c, *options); });
}

}  // namespace stele::client::cli
