// `audit checkpoint|prove-entry|prove-consistency|prove-record|verify|watch`; those of witnesses
// are in commands_witness.cc.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/audit_verify.h"
#include "client/cli/audit_watch.h"
#include "client/cli/context.h"
#include "client/cli/files.h"
#include "client/cli/key_argument.h"
#include "client/cli/receipt_verify.h"
#include "client/cli/table.h"
#include "index/erasure_text.h"
#include "index/search_receipt.h"

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
  std::vector<std::string> file;  // perhaps what it is, then the file
  ReceiptInputs receipt;
  std::vector<std::string> witnesses;
  std::optional<uint32_t> witnesses_needed;
  std::vector<std::string> proof_files;
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
  return WriteFile(options.out, text);
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

struct Kind {
  const char* name;
  std::string_view header;  // first line; empty: whatever is none of the others
};
constexpr Kind kKinds[] = {
    {"receipt", index::kSearchReceiptHeader}, {"record", index::kRecordProofHeader},
    {"entry", index::kInclusionHeader},       {"consistency", index::kConsistencyHeader},
    {"certificate", index::kErasureHeader},   {"checkpoint", ""}};

std::string_view KindOf(const std::string& bytes) {
  const std::string_view first = std::string_view(bytes).substr(0, bytes.find('\n'));
  for (const Kind& kind : kKinds) {
    if (kind.header.empty() || kind.header == first) return kind.name;
  }
  return "";
}

// What the file is must be what was said.
absl::Status CheckKind(const AuditOptions& options, const std::string& bytes) {
  if (options.file.size() == 1) return absl::OkStatus();
  const std::string& said = options.file.front();
  if (std::none_of(std::begin(kKinds), std::end(kKinds),
                   [&](const Kind& kind) { return kind.name == said; })) {
    return UsageError(absl::StrCat(
        said, ": give receipt, record, entry, consistency or checkpoint, or only the file"));
  }
  if (KindOf(bytes) == said) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("it is no ", said));
}

absl::StatusOr<Verified> RunVerifyReceipt(const std::string& bytes, const index::VerifierKey& key,
                                          const AuditOptions& options) {
  ReceiptInputs inputs = options.receipt;
  inputs.key = key;
  for (const std::string& path : options.proof_files) {
    auto proof = ReadFile(path, kProofBytesMax);
    if (!proof.ok()) return proof.status();
    inputs.proofs.emplace_back(path, *std::move(proof));
  }
  return VerifyReceipt(bytes, inputs);
}

absl::Status RunVerify(Context& context, const AuditOptions& options) {
  const auto key = ReadKeyArgument(options.key);
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
  const std::string& file = options.file.back();
  const auto bytes = ReadFile(file, kProofBytesMax);
  if (!bytes.ok()) return bytes.status();
  for (const std::string& witness : options.witnesses) {
    auto witness_key = ReadWitnessArgument(witness);
    if (!witness_key.ok()) return witness_key.status();
    const bool twice = std::any_of(inputs.witnesses.begin(), inputs.witnesses.end(),
                                   [&](const index::WitnessKey& other) {
                                     return other.public_key == witness_key->public_key;
                                   });
    if (twice) return UsageError(absl::StrCat("--witness ", witness, ": the key is given twice"));
    inputs.witnesses.push_back(*std::move(witness_key));
  }
  inputs.witnesses_needed =
      options.witnesses_needed.value_or(static_cast<uint32_t>(inputs.witnesses.size()));
  if (!inputs.witnesses.empty() && KindOf(*bytes) != "checkpoint") {
    return UsageError("--witness is about checkpoints: save that of the proof as a file");
  }
  if (inputs.witnesses_needed > inputs.witnesses.size()) {
    return UsageError("--witnesses asks for more than there are --witness");
  }
  const absl::Status kind = CheckKind(options, *bytes);
  if (absl::IsInvalidArgument(kind)) return kind;
  const auto verified = !kind.ok()                    ? absl::StatusOr<Verified>(kind)
                        : KindOf(*bytes) == "receipt" ? RunVerifyReceipt(*bytes, *key, options)
                                                      : VerifyProof(*bytes, inputs);
  if (!verified.ok()) {
    const absl::Status failed(verified.status().code(),
                              absl::StrCat(file, ": ", verified.status().message()));
    return absl::IsInvalidArgument(failed) ? AsUsageError(failed) : failed;
  }
  context.Print(verified->json, verified->text);
  if (verified->erased == 0) return absl::OkStatus();
  return PartlyError(absl::StrCat(file, ": ", verified->erased,
                                  " records have been erased and could not be checked"));
}

void PrintLook(const Context& context, const AuditState& state) {
  Json json;
  json["origin"] = state.checkpoint.origin;
  json["tree_size"] = state.checkpoint.size;
  json["root"] = Hex(state.checkpoint.root);
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
    const auto key = ReadKeyArgument(options.key);
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

void AddReceiptOptions(CLI::App* command, const OptionsPointer& options) {
  CLI::Option* const log = command
                               ->add_option("--log", options->receipt.log_directory,
                                            "Exported log to search again, for a receipt")
                               ->check(CLI::ExistingDirectory);
  CLI::Option* const snapshot = command
                                    ->add_option("--snapshot", options->receipt.snapshot_file,
                                                 "Snapshot of the receipt's state to search again")
                                    ->check(CLI::ExistingFile)
                                    ->excludes(log);
  command
      ->add_option("--data-dir", options->receipt.data_dir,
                   "Data directory of a stopped server, to search again")
      ->check(CLI::ExistingDirectory)
      ->excludes(log)
      ->excludes(snapshot);
  command
      ->add_option("--base-snapshot", options->receipt.base_snapshot,
                   "Snapshot that the exported log continues")
      ->check(CLI::ExistingFile)
      ->needs(log);
  command
      ->add_option("--proof", options->proof_files,
                   "Record or entry proof to check a receipt against; several may be given")
      ->check(CLI::ExistingFile)
      ->take_all();
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

  CLI::App* verify =
      AddCommand(audit, "verify", "Check a checkpoint, a proof or a search receipt, offline");
  verify
      ->add_option("FILE", options->file,
                   "The file; before it, perhaps what it must be: checkpoint, entry, consistency, "
                   "record or receipt")
      ->required()
      ->expected(1, 2);
  AddKey(verify, options, true);
  verify->add_option("--old", options->old_file, "Older checkpoint, for a consistency proof");
  verify->add_option("--document", options->document_file,
                     "File to compare with the record's document, for a record proof");
  AddReceiptOptions(verify, options);
  verify
      ->add_option("--witness", options->witnesses,
                   "Key of a witness that must have cosigned a checkpoint; several may be given")
      ->take_all();
  verify->add_option("--witnesses", options->witnesses_needed,
                     "How many of them at least (default: all)");
  SetAuditRun(verify, context, options, RunVerify);

  AddWitnessCommands(audit, context);
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
