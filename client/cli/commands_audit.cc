// `audit checkpoint|prove-entry|prove-consistency|prove-record|verify|watch`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/audit_verify.h"
#include "client/cli/audit_watch.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

constexpr size_t kProofBytesMax = 64 << 20;

struct AuditOptions {
  uint64_t index = 0;
  uint64_t old_size = 0;
  uint64_t size = 0;  // 0: the newest
  std::string out;    // empty: standard output
  std::string key;
  std::string old_file;
  std::string file;
  std::string state_file;
  std::string collection;
  std::string id;
  bool commitment_only = false;
  std::string document_file;
  double interval_seconds = 60;
  bool once = false;
};
using OptionsPointer = std::shared_ptr<AuditOptions>;

// To the file, or to standard output as it is.
absl::Status Deliver(const std::string& text, const AuditOptions& options) {
  if (options.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return absl::OkStatus();
  }
  auto file = AtomicFile::Create(options.out);
  if (!file.ok()) return file.status();
  const absl::Status written = file->Write(text);
  return written.ok() ? file->Commit() : written;
}

absl::Status RunCheckpoint(Context& context, const AuditOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->GetCheckpoint(options.size);
  if (!response.ok()) return response.status();
  return Deliver(response->checkpoint().note(), options);
}

absl::Status RunProveEntry(Context& context, const AuditOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->ProveEntry(options.index, options.size);
  if (!response.ok()) return response.status();
  return Deliver(response->text(), options);
}

absl::Status RunProveConsistency(Context& context, const AuditOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response = client->ProveConsistency(options.old_size, options.size);
  if (!response.ok()) return response.status();
  return Deliver(response->text(), options);
}

absl::Status RunCertificate(Context& context, const AuditOptions& options) {
  // The client asks again while the content is being destroyed.
  absl::StatusOr<Client> client = context.Connect(absl::Seconds(60));
  if (!client.ok()) return client.status();
  const auto response = client->ErasureCertificate(options.index);
  if (!response.ok()) return response.status();
  return Deliver(response->text(), options);
}

absl::Status RunProveRecord(Context& context, const AuditOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  const auto response =
      client->ProveRecord(options.collection, options.id, options.commitment_only);
  if (!response.ok()) return response.status();
  return Deliver(response->text(), options);
}

// The key itself, or a file that holds it.
absl::StatusOr<index::VerifierKey> ReadKey(const std::string& given) {
  std::string text = given;
  if (given.find('+') == std::string::npos) {
    auto read = ReadFile(given, kProofBytesMax);
    if (!read.ok()) return read.status();
    text = *std::move(read);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  }
  std::string error;
  const auto key = index::ParseVerifierKey(text, &error);
  if (!key.has_value()) return UsageError(absl::StrCat("--key: ", error));
  return *key;
}

absl::Status RunVerify(Context& context, const AuditOptions& options) {
  const auto key = ReadKey(options.key);
  if (!key.ok()) return key.status();
  VerifyInputs inputs;
  inputs.key = *key;
  if (!options.old_file.empty()) {
    auto old_checkpoint = ReadFile(options.old_file, kProofBytesMax);
    if (!old_checkpoint.ok()) return old_checkpoint.status();
    inputs.old_checkpoint = *std::move(old_checkpoint);
  }
  if (!options.document_file.empty()) {
    auto document = ReadFile(options.document_file, kProofBytesMax);
    if (!document.ok()) return document.status();
    inputs.document = *std::move(document);
  }
  const auto bytes = ReadFile(options.file, kProofBytesMax);
  if (!bytes.ok()) return bytes.status();
  const auto verified = VerifyProof(*bytes, inputs);
  if (!verified.ok()) {
    const absl::Status failed(verified.status().code(),
                              absl::StrCat(options.file, ": ", verified.status().message()));
    return absl::IsInvalidArgument(failed) ? AsUsageError(failed) : failed;
  }
  context.Print(verified->json, verified->text);
  return absl::OkStatus();
}

void PrintLook(const Context& context, const AuditState& state) {
  Json json;
  json["origin"] = state.checkpoint.origin;
  json["tree_size"] = state.checkpoint.size;
  json["root"] = Hex(std::string(index::AsBytes(state.checkpoint.root)));
  // One line for each look, also as JSON.
  if (context.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("ok: %llu entries, root %s\n",
                static_cast<unsigned long long>(state.checkpoint.size),
                json["root"].get<std::string>().c_str());
  }
  std::fflush(stdout);
}

// What to begin with: the state file, else the key that was given, else the one that the server
// gives now.
absl::StatusOr<AuditState> FirstState(Client& client, const AuditOptions& options) {
  auto remembered = ReadAuditState(options.state_file);
  if (!remembered.ok()) return remembered.status();
  std::optional<index::VerifierKey> given;
  if (!options.key.empty()) {
    const auto key = ReadKey(options.key);
    if (!key.ok()) return key.status();
    given = *key;
  }
  if (remembered->has_value()) {
    if (given.has_value() &&
        index::EncodeVerifierKey(*given) != index::EncodeVerifierKey((*remembered)->key)) {
      return UsageError(absl::StrCat("--key is not the key of ", options.state_file,
                                     ": use another state file for another log or key"));
    }
    return **std::move(remembered);
  }
  AuditState state;
  if (given.has_value()) {
    state.key = *given;
    return state;
  }
  const auto info = client.ServerInfo();
  if (!info.ok()) return info.status();
  std::string error;
  const auto key = index::ParseVerifierKey(info->checkpoint_key().verifier_key(), &error);
  if (!key.has_value()) return absl::DataLossError(absl::StrCat("the server's key: ", error));
  std::fprintf(stderr, "stele: trusting the key that the server gives now: %s\n",
               index::EncodeVerifierKey(*key).c_str());
  state.key = *key;
  return state;
}

absl::Status RunWatch(Context& context, const AuditOptions& options) {
  absl::StatusOr<Client> client = context.Connect();
  if (!client.ok()) return client.status();
  auto state = FirstState(*client, options);
  if (!state.ok()) return state.status();
  for (;;) {
    std::string evidence;
    const absl::Status status = LookOnce(*client, &*state, &evidence);
    if (ExitCodeFor(status) == kExitFork) {
      AuditOptions target;
      target.out = absl::StrCat(options.state_file, ".conflict");
      const absl::Status kept = Deliver(evidence, target);
      std::fprintf(stderr, "stele: both checkpoints are in %s\n",
                   kept.ok() ? target.out.c_str() : "no file: it could not be written");
      return status;
    }
    if (status.ok()) {
      const absl::Status kept = WriteAuditState(options.state_file, *state);
      if (!kept.ok()) return kept;
      PrintLook(context, *state);
    } else if (options.once || ExitCodeFor(status) != kExitUnavailable) {
      return status;
    } else {
      PrintError(status, context.json);
    }
    if (options.once) return absl::OkStatus();
    absl::SleepFor(absl::Seconds(options.interval_seconds));
  }
}

void AddSizeAndOut(CLI::App* command, const OptionsPointer& options) {
  command->add_option("--size", options->size,
                      "Entries of the checkpoint to prove it under (default: the newest)");
  command->add_option("--out", options->out, "File to write (default: standard output)");
}

void AddKey(CLI::App* command, const OptionsPointer& options, bool required) {
  command
      ->add_option("--key", options->key,
                   "Verifier key that you trust (NAME+ID+BASE64), or a file that holds it")
      ->envname("STELE_VERIFIER_KEY")
      ->required(required);
}

template <typename Run>
void SetAuditRun(CLI::App* command, Context* context, const OptionsPointer& options, Run run) {
  SetRun(command, context, [options, run](Context& c) { return run(c, *options); });
}

}  // namespace

void AddAuditCommands(CLI::App* app, Context* context) {
  CLI::App* audit = AddCommand(app, "audit", "Checkpoints and proofs, and checking them");
  audit->require_subcommand(1);
  const auto options = std::make_shared<AuditOptions>();

  CLI::App* checkpoint = AddCommand(audit, "checkpoint", "Signed statement of what the log is");
  checkpoint->add_option("--size", options->size, "Of so many entries (default: all)");
  checkpoint->add_option("--out", options->out, "File to write (default: standard output)");
  SetAuditRun(checkpoint, context, options, RunCheckpoint);

  CLI::App* entry = AddCommand(audit, "prove-entry", "Proof that an entry is in the log");
  entry->add_option("INDEX", options->index, "Log index of the entry")->required();
  AddSizeAndOut(entry, options);
  SetAuditRun(entry, context, options, RunProveEntry);

  CLI::App* consistency = AddCommand(audit, "prove-consistency",
                                     "Proof that the log begins with what an older one held");
  consistency->add_option("OLD_SIZE", options->old_size, "Entries of the older checkpoint")
      ->required();
  AddSizeAndOut(consistency, options);
  SetAuditRun(consistency, context, options, RunProveConsistency);

  CLI::App* record =
      AddCommand(audit, "prove-record", "Proof that a record is, or is not, in the memory now");
  record->add_option("COLLECTION", options->collection, "Collection")->required();
  record->add_option("ID", options->id, "Record id")->required();
  record->add_flag("--commitment-only", options->commitment_only, "Leave the content out");
  record->add_option("--out", options->out, "File to write (default: standard output)");
  SetAuditRun(record, context, options, RunProveRecord);

  CLI::App* certificate =
      AddCommand(audit, "certificate", "Signed statement that an erasure is complete");
  certificate->add_option("INDEX", options->index, "Log index of the erasure")->required();
  certificate->add_option("--out", options->out, "File to write (default: standard output)");
  SetAuditRun(certificate, context, options, RunCertificate);

  CLI::App* verify = AddCommand(audit, "verify", "Check a checkpoint or a proof, offline");
  verify->add_option("FILE", options->file, "The checkpoint or proof")->required();
  AddKey(verify, options, true);
  verify->add_option("--old", options->old_file, "Older checkpoint, for a consistency proof");
  verify->add_option("--document", options->document_file,
                     "File to compare with the record's document, for a record proof");
  SetAuditRun(verify, context, options, RunVerify);

  AddDivergeCommand(audit, context);

  CLI::App* watch = AddCommand(
      audit, "watch", "Demand that every checkpoint extends the last one seen; exit code 8 if not");
  watch->add_option("--state", options->state_file, "File that remembers the last one seen")
      ->required();
  AddKey(watch, options, false);
  watch->add_option("--interval", options->interval_seconds, "Seconds between looks")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  watch->add_flag("--once", options->once, "Look once and end");
  SetAuditRun(watch, context, options, RunWatch);
}

}  // namespace stele::client::cli
