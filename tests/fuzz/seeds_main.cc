// Writes the corpora: `fuzz_seeds FOLDER`. They are committed; run it again when a format gets new
// forms, and add what a fuzzer has found by hand.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/resume_file.h"
#include "client/cli/vector_file.h"
#include "index/proof_text.h"
#include "index/record_proof.h"
#include "index/snapshot.h"
#include "server/page_token.h"
#include "stele/v1/memory_service.pb.h"
#include "storage/format_file.h"
#include "storage/probe.h"
#include "storage/rows.h"
#include "tests/fuzz/targets.h"
#include "tests/property/commands.h"

namespace stele::fuzz {
namespace {

constexpr size_t kFilesMax = 16;

class Seeds {
 public:
  explicit Seeds(std::filesystem::path folder) : folder_(std::move(folder)), source_(1) {}

  void Add(const std::string& target, const std::string& bytes) {
    const std::filesystem::path folder = folder_ / target;
    std::filesystem::create_directories(folder);
    const size_t number = counts_[target]++;
    if (number >= kFilesMax) return;
    std::ofstream(folder / absl::StrCat(number), std::ios::binary) << bytes;
  }

  void AddLog() {
    std::string sequence;
    reference::Machine reference;
    for (index::LogIndex n = 0; n < 160; ++n) {
      const index::Command command = source_.Next(reference.state());
      reference.Apply(command);
      const index::ApplyResult result = machine_.Apply(n, command);
      const std::string commit = index::EncodeCommitRecord(result.commit);
      tree_.Append(index::LogLeaf(commit));
      commit_ = commit;
      if (n % 9 == 0) {
        Add("header", index::EncodeHeader(command.header));
        Add("commit_record", commit);
        Add("effects", index::EncodeEffects(result.effects));
        Add("entry_row", index::EncodeEntryRow({index::EncodeHeader(command.header), commit,
                                                index::EncodeEffects(result.effects)}));
      }
      for (const index::PreparedOperation& prepared : command.operations) {
        const index::OperationKind kind = prepared.operation.kind;
        if (kind > index::OperationKind::kDeleteByFilter || n % 4 == 0) {
          Add("operation", prepared.bytes);
        }
        if (prepared.operation.attributes.size() > 20) {
          Add("attributes", prepared.operation.attributes);
        }
        if (n > 0 && sequence.size() < 1500) {
          index::Encoder encoder;
          encoder.U8(0).Sized(prepared.bytes);
          sequence += encoder.bytes();
        }
      }
      if (n % 30 == 29) {
        Add("sequence", sequence);
        sequence.clear();
      }
      if (n == 0 || n == 20 || n == 159) AddSnapshot(n);
    }
    Add("attributes", index::EncodeAttributes({}));
    for (int i = 0; i < 16; ++i) {
      index::Encoder encoder;
      index::EncodeFilter(source_.RandomFilter(), encoder);
      Add("filter", encoder.bytes() + source_.RandomAttributes());
    }
  }

  void AddSnapshot(index::LogIndex n) {
    index::SnapshotBasis basis;
    basis.log_index = n;
    basis.state_index = machine_.state_index();
    basis.rules_version = machine_.rules_version();
    basis.timestamp_micros = machine_.last_timestamp_micros();
    basis.state_root = machine_.state_root();
    basis.log_tree = tree_;
    basis.requests = machine_.MakeRequestView();
    std::string file;
    index::SnapshotManifest manifest;
    index::WriteSnapshot(
        machine_, basis,
        [&](std::string_view bytes) {
          file.append(bytes);
          return true;
        },
        [](const index::DocumentRef& document, index::StoredDocument* stored) {
          // Any of the sources' few documents; the one with the right hash is the right one.
          for (int i = 0; i < 5; ++i) {
            stored->bytes = absl::StrCat("document ", i);
            if (index::DocumentPart(stored->bytes) == document.part) return true;
          }
          return false;
        },
        &manifest);
    Add("snapshot", file);
  }

  void AddTexts() {
    const index::PublicKey key{1, 2, 3};
    const index::VerifierKey verifier = index::MakeVerifierKey("stele/log", key);
    Add("verifier_key", index::EncodeVerifierKey(verifier));
    const std::string checkpoint =
        index::EncodeCheckpoint({"stele/log", tree_.size(), tree_.Root()});
    Add("checkpoint", checkpoint);
    index::SignedNote note;
    note.text = checkpoint;
    note.signatures.push_back({"stele/log", verifier.key_id, std::string(64, 's')});
    Add("note", index::EncodeNote(note));
    note.signatures.push_back({"a witness", {1, 2, 3, 4}, std::string(72, 'w')});
    Add("note", index::EncodeNote(note));
    index::InclusionText inclusion;
    inclusion.extra = commit_;
    inclusion.index = tree_.size() - 1;
    inclusion.hashes = {tree_.frontier().begin(), tree_.frontier().end() - 1};
    inclusion.checkpoint = index::EncodeNote(note);
    Add("inclusion_proof", index::EncodeInclusionText(inclusion));
    index::ConsistencyText consistency{8, tree_.frontier(), index::EncodeNote(note)};
    Add("consistency_proof", index::EncodeConsistencyText(consistency));
    for (const char* const collection : {"a", "b", "no such collection"}) {
      for (const char* const id : {"id1", "id2", "no such id"}) {
        index::RecordProof proof = machine_.ProveRecord(collection, id);
        proof.inclusion = index::EncodeInclusionText(inclusion);
        Add("record_proof", index::EncodeRecordProof(proof));
      }
    }
  }

  void AddFiles() {
    const storage::LogId log_id;
    Add("format_file", storage::EncodeFormat({log_id, 7}));
    storage::ProbeReport report;
    report.next_index = 9;
    Add("probe_result", storage::EncodeProbeResult(report));
    Add("probe_result", storage::EncodeProbeResult(absl::DataLossError("gone\n\x01")));
    const auto entry = storage::EncodeEntryHeader(log_id, 7, 2, "entry");
    Add("rows", std::string(entry.data(), entry.size()) + "entry");
    const auto item = storage::EncodeItemHeader(log_id, 7, 3, "item");
    Add("rows", std::string(item.data(), item.size()) + "item");
    Add("page_token", server::EncodePageToken({log_id, 5, 6, "last"}));
    for (const char* const text : {"127.0.0.1:7420", "[::1]:0", "localhost:1"})
      Add("address", text);
    Add("keys",
        "# comment\nalice admin sha256:" + std::string(64, 'a') + "\ncn:bob writer reader\n");
    Add("keys", "alice admin sha256:" + std::string(64, '0') + "\n");
    Add("config",
        "listen = \"127.0.0.1:1\"\nhistory-entries = 5\n# comment\nlog-format = \"json\"\n");
    Add("config", "queue-bytes-max = 1000000\nsearch-threads = 2\n");
    Add("json_filter", R"({"attribute": "year", "greater_or_equal": 2020})");
    Add("json_filter", R"({"all_of": [{"attribute": "a", "one_of": [1, 2.5, "x", true]},
      {"none_of": [{"attribute": "b", "exists": true}]}]})");
    Add("jsonl",
        "{\"id\": \"a\", \"vector\": [1, 2.5, -3e-2], \"attributes\": {\"n\": 1, \"t\": "
        "[\"x\"]}, \"document\": \"text\"}\n{\"id\": \"b\", \"vector\": [0, 1, 2]}\n");
    std::string npy =
        client::cli::NpyPreamble(client::cli::ComponentType::kFloat32, 2, 3) + std::string(24, 'x');
    Add("npy", npy);
    Add("npy_header", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
    std::string fvecs("\x02\0\0\0", 4);
    Add("fvecs", fvecs + "abcdefgh" + fvecs + "ijklmnop");
    client::cli::ResumeState state{"00ff", 100, 1000, "", 200, 300, 12};
    const std::string path = TemporaryFile("", "resume");
    if (client::cli::SaveResumeFile(path, state).ok()) {
      std::ifstream file(path);
      Add("resume_file", {std::istreambuf_iterator<char>(file), {}});
    }
    std::filesystem::remove(path);
  }

  void AddRequests() {
    v1::WriteRequest request;
    request.set_request_id("r");
    for (int i = 0; i < 3; ++i) {
      v1::Operation* const operation = request.add_operations();
      operation->set_collection("abcd");  // of dimension 1 at the target's door
      v1::RecordInput* const record = operation->mutable_upsert();
      record->set_id(absl::StrCat("id", i));
      record->mutable_vector()->mutable_floats()->add_values(1.5f);
      (*record->mutable_attributes())["n"].set_int64_value(i);
      record->set_document("text");
    }
    Add("write_request", request.SerializeAsString());
  }

 private:
  const std::filesystem::path folder_;
  property::CommandSource source_;
  index::StateMachine machine_{1};
  index::LogTree tree_;
  std::string commit_;
  std::map<std::string, size_t> counts_;
};

}  // namespace
}  // namespace stele::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_seeds FOLDER\n";
    return 2;
  }
  stele::fuzz::Seeds seeds(argv[1]);
  seeds.AddLog();
  seeds.AddTexts();
  seeds.AddFiles();
  seeds.AddRequests();
}
