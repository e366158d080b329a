#include "client/cli/audit_verify.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/table.h"
#include "index/codec.h"
#include "index/commit_record.h"
#include "index/erasure_text.h"
#include "index/log_proof.h"
#include "index/record_proof.h"
#include "server/signing.h"

namespace stele::client::cli {
namespace {

absl::Status Failed(absl::string_view what) { return absl::DataLossError(what); }

absl::StatusOr<Verified> ReportEntry(const std::string& bytes, const index::VerifierKey& key) {
  const auto entry = VerifyEntry(bytes, key);
  if (!entry.ok()) return entry.status();
  const index::CommitRecord& commit = entry->commit;
  Verified verified;
  verified.json["verified"] = "log inclusion";
  verified.json["index"] = commit.index;
  verified.json["outcome"] = static_cast<int>(commit.outcome);
  verified.json["command"] = Hex(commit.command);
  verified.json["effects_root"] = Hex(commit.effects_root);
  verified.json["state_index"] = commit.state_index;
  verified.json["state_root"] = Hex(commit.state_root);
  verified.json["checkpoint"] = CheckpointToJson(entry->checkpoint);
  verified.text =
      absl::StrCat("VERIFIED: entry ", commit.index, " is in the log; its outcome is ",
                   static_cast<int>(commit.outcome),
                   commit.outcome == index::Outcome::kOk ? " (executed)" : " (rejected)",
                   ", the state root after it ", Hex(commit.state_root), "\n",
                   CheckpointToText(entry->checkpoint));
  return verified;
}

absl::StatusOr<Verified> ReportExtension(const std::string& bytes, const VerifyInputs& inputs) {
  if (!inputs.old_checkpoint.has_value()) {
    return absl::InvalidArgumentError(
        "a consistency proof is checked against the older checkpoint: give it with --old");
  }
  const auto old_checkpoint = VerifyCheckpoint(*inputs.old_checkpoint, inputs.key);
  if (!old_checkpoint.ok()) {
    return Failed(absl::StrCat("of --old: ", old_checkpoint.status().message()));
  }
  const auto checkpoint = VerifyExtension(bytes, *old_checkpoint, inputs.key);
  if (!checkpoint.ok()) return checkpoint.status();
  Verified verified;
  verified.json["verified"] = "log consistency";
  verified.json["old"] = CheckpointToJson(*old_checkpoint);
  verified.json["checkpoint"] = CheckpointToJson(*checkpoint);
  verified.text = absl::StrCat("VERIFIED: the log of ", checkpoint->size,
                               " entries begins with the ", old_checkpoint->size,
                               " of the older checkpoint\n", CheckpointToText(*checkpoint));
  return verified;
}

// The content in hexadecimal, as it is hashed.
Json ContentToJson(const index::RecordContent& content) {
  Json json;
  json["vector_q16"] = Json::array();
  const std::vector<int32_t> vector =
      index::Decoder(content.vector).Components(static_cast<uint32_t>(content.vector.size() / 4));
  for (const int32_t component : vector) json["vector_q16"].push_back(component);
  json["attributes"] = Hex(content.attributes);
  json["document_hash"] =
      content.document.has_value() ? Json(Hex(*content.document)) : Json(nullptr);
  return json;
}

absl::Status CheckDocument(const index::RecordProof& proof, const VerifyInputs& inputs) {
  if (!inputs.document.has_value()) return absl::OkStatus();
  if (!proof.content.has_value()) return Failed("the record proof carries no content to compare");
  const std::optional<index::Hash> given =
      inputs.document->empty() ? std::nullopt
                               : std::optional<index::Hash>(index::DocumentPart(*inputs.document));
  if (given == proof.content->document) return absl::OkStatus();
  return Failed("the document is not the one of the record");
}

absl::StatusOr<Verified> ReportRecord(const std::string& bytes, const VerifyInputs& inputs) {
  const auto record = VerifyRecord(bytes, inputs.key);
  if (!record.ok()) return record.status();
  const index::RecordProof* const proof = &record->proof;
  const ProvedEntry* const entry = &record->entry;
  const absl::Status document = CheckDocument(*proof, inputs);
  if (!document.ok()) return document;
  Verified verified;
  Json& json = verified.json;
  json["verified"] = "record";
  json["index"] = entry->commit.index;
  json["collection"] = proof->collection;
  json["collection_exists"] = proof->config.has_value();
  json["id"] = proof->id;
  json["exists"] = proof->commitment.has_value();
  if (proof->commitment.has_value()) {
    json["commitment"] = Hex(*proof->commitment);
  }
  if (proof->content.has_value()) json["content"] = ContentToJson(*proof->content);
  json["document_checked"] = inputs.document.has_value();
  json["state_root"] = Hex(entry->commit.state_root);
  json["checkpoint"] = CheckpointToJson(entry->checkpoint);
  verified.text = absl::StrCat("VERIFIED: after entry ", entry->commit.index, " the collection ",
                               Printable(proof->collection, 128),
                               !proof->config.has_value()      ? " did not exist"
                               : proof->commitment.has_value() ? " held the record "
                                                               : " did not hold the record ",
                               proof->config.has_value() ? Printable(proof->id, 256) : "", "\n");
  if (proof->content.has_value()) {
    absl::StrAppend(&verified.text, "content ", json["content"].dump(), "\n");
  } else if (proof->commitment.has_value()) {
    absl::StrAppend(&verified.text, "commitment ", json["commitment"].get<std::string>(),
                    "; its content is not shown\n");
  }
  absl::StrAppend(&verified.text, CheckpointToText(entry->checkpoint));
  return verified;
}

absl::StatusOr<Verified> ReportErasure(const std::string& bytes, const index::VerifierKey& key) {
  std::string error;
  const auto note = index::ParseNote(bytes, &error);
  if (!note.has_value()) return Failed(absl::StrCat("the certificate, ", error));
  if (index::EncodeNote(*note) != bytes) return Failed("the certificate is not in its one form");
  const absl::Status is_signed = server::VerifyNote(*note, key);
  if (!is_signed.ok()) return Failed(is_signed.message());
  const auto certificate = index::ParseErasureText(note->text, &error);
  if (!certificate.has_value()) return Failed(absl::StrCat("the certificate, ", error));
  if (certificate->origin != key.name) {
    return Failed("the certificate, line 2: it is of another log than the key");
  }
  Verified verified;
  verified.json["verified"] = "erasure certificate";
  verified.json["entry"] = certificate->entry;
  verified.json["completed"] = certificate->completed;
  verified.json["operations"] = certificate->items_count;
  verified.json["snapshots"] = certificate->snapshots_count;
  verified.json["records"] = Json::array();
  for (const index::Hash& record : certificate->records) {
    verified.json["records"].push_back(Hex(record));
  }
  const index::Checkpoint log{certificate->origin, certificate->size, certificate->root};
  verified.json["checkpoint"] = CheckpointToJson(log);
  verified.text = absl::StrCat(
      "VERIFIED: the key states that what entry ", certificate->entry, " marked of ",
      certificate->records.size(), " records was destroyed in ", certificate->items_count,
      " operations of the log and ", certificate->snapshots_count, " snapshots, and that entry ",
      certificate->completed, " says so\n", CheckpointToText(log));
  return verified;
}

// Of several cosignatures of one witness the newest counts, and it counts once.
absl::Status JudgeWitnesses(const index::SignedNote& note, const VerifyInputs& inputs,
                            Verified* verified) {
  uint32_t good = 0;
  std::string missing;
  verified->json["witnesses"] = Json::array();
  for (const index::WitnessKey& witness : inputs.witnesses) {
    const auto found = server::FindCosignature(note, witness);
    if (absl::IsDataLoss(found.status())) {
      return Failed(absl::StrCat("the checkpoint: ", found.status().message()));
    }
    if (!found.ok()) {
      absl::StrAppend(&missing, missing.empty() ? "" : ", ", Printable(witness.name, 256));
      continue;
    }
    ++good;
    verified->json["witnesses"].push_back({{"name", witness.name}, {"time", found->time}});
    const auto time = absl::FromUnixSeconds(static_cast<int64_t>(found->time));
    absl::StrAppend(&verified->text, "cosigned by ", Printable(witness.name, 256), " at ",
                    absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()), "\n");
  }
  if (good >= inputs.witnesses_needed) return absl::OkStatus();
  return Failed(absl::StrCat("the checkpoint: ", good, " of the witnesses have cosigned it, ",
                             inputs.witnesses_needed, " are needed; there is no cosignature of ",
                             missing));
}

absl::StatusOr<Verified> ReportCheckpoint(const std::string& bytes, const VerifyInputs& inputs) {
  const auto checkpoint = VerifyCheckpoint(bytes, inputs.key);
  if (!checkpoint.ok()) return checkpoint.status();
  Verified verified;
  verified.json["verified"] = "checkpoint";
  verified.json["checkpoint"] = CheckpointToJson(*checkpoint);
  verified.text = absl::StrCat("VERIFIED: the checkpoint is signed by the key\n",
                               CheckpointToText(*checkpoint));
  std::string error;
  const absl::Status judged = JudgeWitnesses(*index::ParseNote(bytes, &error), inputs, &verified);
  if (!judged.ok()) return judged;
  return verified;
}

}  // namespace

Json CheckpointToJson(const index::Checkpoint& checkpoint) {
  Json json;
  json["origin"] = checkpoint.origin;
  json["tree_size"] = checkpoint.size;
  json["root"] = Hex(checkpoint.root);
  return json;
}

std::string CheckpointToText(const index::Checkpoint& checkpoint) {
  return absl::StrCat("log    ", checkpoint.origin, "\nsize   ", checkpoint.size,
                      " entries\nroot   ", Hex(checkpoint.root), "\n");
}

absl::StatusOr<ProvedEntry> VerifyEntry(const std::string& bytes, const index::VerifierKey& key) {
  std::string error;
  const auto proof = index::ParseInclusionText(bytes, &error);
  if (!proof.has_value()) return Failed(absl::StrCat("the inclusion proof, ", error));
  if (index::EncodeInclusionText(*proof) != bytes) {
    return Failed("the inclusion proof is not in its one form");
  }
  const auto checkpoint = VerifyCheckpoint(proof->checkpoint, key);
  if (!checkpoint.ok()) return checkpoint.status();
  if (!proof->extra.has_value()) {
    return Failed("the inclusion proof, line 2: it carries no commit record");
  }
  if (!index::VerifyInclusion(proof->index, checkpoint->size, index::LogLeaf(*proof->extra),
                              proof->hashes, checkpoint->root)) {
    return Failed(absl::StrCat("the inclusion proof: this commit record is not entry ",
                               proof->index, " of the log of the checkpoint"));
  }
  const auto commit = index::DecodeCommitRecord(*proof->extra);
  if (!commit.has_value() || commit->index != proof->index) {
    return Failed("the inclusion proof, line 2: it is not the commit record of that entry");
  }
  return ProvedEntry{*checkpoint, *commit};
}

absl::StatusOr<ProvedRecord> VerifyRecord(const std::string& bytes, const index::VerifierKey& key) {
  std::string error;
  auto proof = index::ParseRecordProof(bytes, &error);
  if (!proof.has_value()) return Failed(absl::StrCat("the record proof, ", error));
  if (index::EncodeRecordProof(*proof) != bytes) {
    return Failed("the record proof is not in its one form");
  }
  auto entry = VerifyEntry(proof->inclusion, key);
  if (!entry.ok()) {
    return Failed(absl::StrCat("the record proof: ", entry.status().message()));
  }
  const std::optional<index::Hash> root = index::RecordProofStateRoot(*proof, &error);
  if (!root.has_value()) return Failed(absl::StrCat("the record proof: ", error));
  if (*root != entry->commit.state_root) {
    return Failed(
        absl::StrCat("the record proof: its paths do not lead to the state root of entry ",
                     entry->commit.index));
  }
  return ProvedRecord{*std::move(proof), *std::move(entry)};
}

absl::StatusOr<index::Checkpoint> VerifyCheckpoint(const std::string& note,
                                                   const index::VerifierKey& key) {
  auto checkpoint = server::ReadCheckpoint(note, key);
  if (checkpoint.ok()) return checkpoint;
  return Failed(checkpoint.status().message());
}

absl::StatusOr<index::Checkpoint> VerifyExtension(const std::string& proof,
                                                  const index::Checkpoint& old_checkpoint,
                                                  const index::VerifierKey& key) {
  std::string error;
  const auto parsed = index::ParseConsistencyText(proof, &error);
  if (!parsed.has_value()) return Failed(absl::StrCat("the consistency proof, ", error));
  if (index::EncodeConsistencyText(*parsed) != proof) {
    return Failed("the consistency proof is not in its one form");
  }
  const auto checkpoint = VerifyCheckpoint(parsed->checkpoint, key);
  if (!checkpoint.ok()) return checkpoint.status();
  if (parsed->old_size != old_checkpoint.size) {
    return Failed(absl::StrCat("the consistency proof, line 2: it is for a log of ",
                               parsed->old_size, " entries, the older checkpoint is of ",
                               old_checkpoint.size));
  }
  if (!index::VerifyConsistency(old_checkpoint.size, checkpoint->size, parsed->hashes,
                                old_checkpoint.root, checkpoint->root)) {
    return Failed(absl::StrCat("the consistency proof: it does not show that the log of ",
                               checkpoint->size, " entries begins with the ", old_checkpoint.size,
                               " of the older checkpoint"));
  }
  return checkpoint;
}

absl::StatusOr<Verified> VerifyProof(const std::string& bytes, const VerifyInputs& inputs) {
  const std::string first = bytes.substr(0, bytes.find('\n'));
  if (first == index::kInclusionHeader) return ReportEntry(bytes, inputs.key);
  if (first == index::kConsistencyHeader) return ReportExtension(bytes, inputs);
  if (first == index::kRecordProofHeader) return ReportRecord(bytes, inputs);
  if (first == index::kErasureHeader) return ReportErasure(bytes, inputs.key);
  return ReportCheckpoint(bytes, inputs);
}

}  // namespace stele::client::cli
