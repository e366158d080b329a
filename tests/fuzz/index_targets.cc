#include <cstdio>
#include <cstdlib>
#include <string>

#include "index/command.h"
#include "index/commit_record.h"
#include "index/proof_text.h"
#include "index/record_proof.h"
#include "index/snapshot.h"
#include "index/state_machine.h"
#include "storage/format_file.h"
#include "storage/probe.h"
#include "storage/rows.h"
#include "tests/fuzz/targets.h"
#include "tests/reference/machine.h"

namespace stele::fuzz {
namespace {

using index::Decoder;
using index::Encoder;

bool Operation(std::string_view bytes) {
  const auto operation = index::DecodeOperation(bytes);
  if (!operation.has_value()) return false;
  Demand(index::EncodeOperation(*operation) == bytes, "operation");
  index::Prepare(*operation);
  return true;
}

bool Header(std::string_view bytes) {
  const auto header = index::DecodeHeader(bytes);
  if (!header.has_value()) return false;
  Demand(index::EncodeHeader(*header) == bytes, "header");
  return true;
}

bool CommitRecord(std::string_view bytes) {
  const auto record = index::DecodeCommitRecord(bytes);
  if (!record.has_value()) return false;
  Demand(index::EncodeCommitRecord(*record) == bytes, "commit record");
  return true;
}

bool Effects(std::string_view bytes) {
  const auto effects = index::DecodeEffects(bytes);
  if (!effects.has_value()) return false;
  Demand(index::EncodeEffects(*effects) == bytes, "effects");
  return true;
}

bool EntryRow(std::string_view bytes) {
  const auto row = index::DecodeEntryRow(bytes);
  if (!row.has_value()) return false;
  Demand(index::EncodeEntryRow(*row) == bytes, "entry row");
  Header(row->header);
  CommitRecord(row->commit);
  Effects(row->effects);
  return true;
}

// A filter, and behind it attributes that it is asked about.
bool Filter(std::string_view bytes) {
  Decoder decoder(bytes);
  const index::Filter filter = index::DecodeFilter(decoder);
  if (!decoder.ok()) return false;
  const size_t size = bytes.size() - decoder.remaining();
  Encoder encoder;
  index::EncodeFilter(filter, encoder);
  Demand(encoder.bytes() == bytes.substr(0, size), "filter");
  index::AttributeMap map;
  const std::string_view attributes = bytes.substr(size);
  if (index::DecodeAttributes(attributes, &map)) filter.Matches(index::AttributesView(attributes));
  return true;
}

bool Attributes(std::string_view bytes) {
  index::AttributeMap attributes;
  if (!index::DecodeAttributes(bytes, &attributes)) return false;
  Demand(index::EncodeAttributes(attributes) == bytes, "attributes");
  const index::AttributesView view(bytes);
  for (const auto& [name, value] : attributes) Demand(view.Find(name).has_value(), "attribute");
  return true;
}

bool Snapshot(std::string_view bytes) {
  std::string error;
  const auto manifest = index::ParseSnapshot(bytes, &error);
  if (!manifest.has_value()) return false;
  for (const auto& section : manifest->sections) index::IsIntact(bytes, section);
  index::StateMachine state(1);
  const bool loaded = index::SnapshotLoader::Load(bytes, *manifest, &state, &error);
  index::ForEachDocument(
      bytes, *manifest,
      [](const index::DocumentRef&, std::string_view, const index::Salt*) { return true; });
  if (!loaded) return false;
  Demand(state.state_root() == manifest->state_root, "snapshot root");
  return true;
}

bool Checkpoint(std::string_view bytes) {
  std::string error;
  const auto checkpoint = index::ParseCheckpoint(bytes, &error);
  if (!checkpoint.has_value()) return false;
  Demand(index::EncodeCheckpoint(*checkpoint) == bytes, "checkpoint");
  return true;
}

bool Note(std::string_view bytes) {
  std::string error;
  const auto note = index::ParseNote(bytes, &error);
  if (!note.has_value()) return false;
  Demand(index::EncodeNote(*note) == bytes, "note");
  Checkpoint(note->text);
  return true;
}

bool VerifierKey(std::string_view bytes) {
  std::string error;
  const auto key = index::ParseVerifierKey(bytes, &error);
  if (!key.has_value()) return false;
  Demand(index::EncodeVerifierKey(*key) == bytes, "verifier key");
  return true;
}

bool Inclusion(std::string_view bytes) {
  std::string error;
  const auto proof = index::ParseInclusionText(bytes, &error);
  if (!proof.has_value()) return false;
  Demand(index::EncodeInclusionText(*proof) == bytes, "inclusion proof");
  Note(proof->checkpoint);
  return true;
}

bool Consistency(std::string_view bytes) {
  std::string error;
  const auto proof = index::ParseConsistencyText(bytes, &error);
  if (!proof.has_value()) return false;
  Demand(index::EncodeConsistencyText(*proof) == bytes, "consistency proof");
  return true;
}

bool RecordProof(std::string_view bytes) {
  std::string error;
  const auto proof = index::ParseRecordProof(bytes, &error);
  if (!proof.has_value()) return false;
  Demand(index::EncodeRecordProof(*proof) == bytes, "record proof");
  index::RecordProofStateRoot(*proof, &error);
  Inclusion(proof->inclusion);
  return true;
}

bool FormatFile(std::string_view bytes) {
  const auto format = storage::DecodeFormat(bytes, "fuzz");
  if (!format.ok()) return false;
  Demand(storage::EncodeFormat(*format) == bytes, "format file");
  return true;
}

bool ProbeResult(std::string_view bytes) {
  const auto result = storage::DecodeProbeResult(bytes);
  if (!result.has_value()) return false;
  const auto again = storage::DecodeProbeResult(storage::EncodeProbeResult(*result));
  Demand(again.has_value() && again->ok() == result->ok(), "probe result");
  if (result->ok()) Demand(**again == **result, "probe report");
  return true;
}

bool Rows(std::string_view bytes) {
  const storage::LogId log_id;
  storage::DecodeEntryKey(bytes);
  storage::DecodeItemKey(bytes);
  storage::DecodeTileKey(bytes);
  const auto entry = storage::DecodeEntryRow(log_id, 7, bytes);
  const auto item = storage::DecodeItemRow(log_id, 7, 3, bytes);
  const auto tile = storage::DecodeTileRow(log_id, 15, 0, bytes);
  return entry.has_value() || item.has_value() || tile.has_value();
}

index::Command CommandOf(Decoder& decoder, uint64_t number) {
  index::Command command;
  const uint8_t shape = decoder.U8();
  // One in four uses an id that was used.
  command.header.request_id = std::to_string(shape % 4 == 3 ? number / 2 : number);
  command.header.actor = shape % 8 < 4 ? "a" : "b";
  for (unsigned left = shape / 64 + 1; left > 0 && decoder.ok(); --left) {
    auto operation = index::DecodeOperation(decoder.Sized(4096));
    if (operation.has_value()) command.operations.push_back(index::Prepare(*std::move(operation)));
  }
  index::Seal(command);
  return command;
}

// Operations in sequence, against the naive reference: commit records and effects are equal.
bool Sequence(std::string_view bytes) {
  index::StateMachine machine(1);
  reference::Machine reference;
  Decoder decoder(bytes);
  index::Command genesis;
  index::Operation first;
  first.kind = index::OperationKind::kGenesis;
  first.rules_version = index::kRulesVersion;
  genesis.operations.push_back(index::Prepare(first));
  index::Seal(genesis);
  bool executed = false;
  for (uint64_t number = 0; number < 64; ++number) {
    const index::Command command = number == 0 ? genesis : CommandOf(decoder, number);
    const index::ApplyResult result = machine.Apply(number, command);
    const reference::Machine::Result expected = reference.Apply(command);
    Demand(index::EncodeCommitRecord(result.commit) == expected.commit, "commit of a sequence");
    Demand(index::EncodeEffects(result.effects) == expected.effects, "effects of a sequence");
    executed = executed || (number > 0 && result.commit.outcome == index::Outcome::kOk);
    if (!decoder.ok() || decoder.remaining() == 0) break;
  }
  return executed;
}

constexpr Target kTargets[] = {
    {"operation", Operation, 1},
    {"header", Header, 1},
    {"commit_record", CommitRecord, 1},
    {"effects", Effects, 1},
    {"entry_row", EntryRow, 1},
    {"filter", Filter, 1},
    {"attributes", Attributes, 1},
    {"snapshot", Snapshot, 8},
    {"checkpoint", Checkpoint, 1},
    {"note", Note, 1},
    {"verifier_key", VerifierKey, 1},
    {"inclusion_proof", Inclusion, 1},
    {"consistency_proof", Consistency, 1},
    {"record_proof", RecordProof, 2},
    {"format_file", FormatFile, 1},
    {"probe_result", ProbeResult, 2},
    {"rows", Rows, 1},
    {"sequence", Sequence, 200},
};

}  // namespace

std::span<const Target> IndexTargets() { return kTargets; }

void Demand(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: a promise is broken: %s\n", what);
  std::abort();
}

}  // namespace stele::fuzz
