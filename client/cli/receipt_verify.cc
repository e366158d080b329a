#include "client/cli/receipt_verify.h"

#include <algorithm>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "client/cli/log_replay.h"
#include "client/cli/table.h"
#include "index/codec.h"
#include "index/kernels.h"
#include "index/search_receipt.h"
#include "server/recovery.h"
#include "server/signing.h"

namespace stele::client::cli {
namespace {

using index::ReceiptHit;
using index::SearchReceipt;

absl::Status Failed(absl::string_view what) { return absl::DataLossError(what); }

std::string HitText(const ReceiptHit* hit) {
  if (hit == nullptr) return "nothing";
  return absl::StrCat(Printable(hit->id, 256), " at raw distance ", hit->distance);
}

// The first place where two lists of hits differ, and how.
absl::Status CompareHits(const std::vector<ReceiptHit>& said, const std::vector<ReceiptHit>& found,
                         index::LogIndex index) {
  for (size_t i = 0; i < std::max(said.size(), found.size()); ++i) {
    const ReceiptHit* const a = i < said.size() ? &said[i] : nullptr;
    const ReceiptHit* const b = i < found.size() ? &found[i] : nullptr;
    if (a != nullptr && b != nullptr && *a == *b) continue;
    if (a != nullptr && b != nullptr && a->id == b->id && a->distance == b->distance) {
      return Failed(absl::StrCat("the receipt, hit ", i + 1, ": the record ", Printable(a->id, 256),
                                 " after entry ", index, " is not the one that was committed to"));
    }
    return Failed(absl::StrCat("the receipt, hit ", i + 1, ": it says ", HitText(a),
                               ", the search on the state after entry ", index, " gives ",
                               HitText(b)));
  }
  return absl::OkStatus();
}

absl::Status CheckState(const SearchReceipt& receipt, const server::OfflineState& state) {
  const std::string log = server::LogOrigin(state.log_id);
  if (log != receipt.log) {
    return Failed(absl::StrCat("the receipt is of the log ", receipt.log, ", the data of ", log));
  }
  if (state.position.state_root != receipt.state_root) {
    return Failed(absl::StrCat("the receipt, line 5: it says the state root ",
                               Hex(receipt.state_root), ", the one of the data after entry ",
                               state.position.log_index, " is ", Hex(state.position.state_root)));
  }
  if (state.position.state_index != receipt.state_index) {
    return Failed(absl::StrCat("the receipt, line 4: it says the state index ", receipt.state_index,
                               ", the one of the data after entry ", state.position.log_index,
                               " is ", state.position.state_index));
  }
  return absl::OkStatus();
}

// Records of the collection whose content has been erased.
struct Erased {
  uint64_t records = 0;  // all that the state held
  uint64_t hits = 0;     // of these, hits of the receipt
};

// What is left of the receipt's hits without those that have been erased, whose commitments must be
// the ones that the state holds.
absl::StatusOr<std::vector<ReceiptHit>> WithoutErased(const SearchReceipt& receipt,
                                                      const index::Collection& collection,
                                                      index::LogIndex n, Erased* erased) {
  std::vector<ReceiptHit> left;
  for (size_t i = 0; i < receipt.hits.size(); ++i) {
    const ReceiptHit& hit = receipt.hits[i];
    const index::RecordVersion* const version = collection.Find(hit.id, n);
    if (version == nullptr || !version->erased()) {
      left.push_back(hit);
      continue;
    }
    ++erased->hits;
    if (version->commitment() != hit.record) {
      return Failed(absl::StrCat("the receipt, hit ", i + 1, ": the record ",
                                 Printable(hit.id, 256), " after entry ", n,
                                 " is not the one that was committed to"));
    }
  }
  return left;
}

uint64_t CountErased(const index::Collection& collection, index::LogIndex n) {
  uint64_t count = 0;
  for (const auto* node = collection.records().First(); node != nullptr; node = node->Next()) {
    const index::RecordVersion* const version = index::FindVisible(node->payload.newest.Get(), n);
    if (version != nullptr && version->erased()) ++count;
  }
  return count;
}

// Searches again, as the server did.
absl::StatusOr<Erased> SearchAgain(const SearchReceipt& receipt,
                                   const server::OfflineState& state) {
  absl::Status status = CheckState(receipt, state);
  if (!status.ok()) return status;
  const index::LogIndex n = state.position.log_index;
  const index::Collection* const collection =
      state.recovered.state->FindCollection(receipt.collection, n);
  if (collection == nullptr) {
    return Failed(absl::StrCat("the receipt, line 8: after entry ", n, " there is no collection ",
                               Printable(receipt.collection, 128)));
  }
  if (collection->config().metric != receipt.metric ||
      collection->config().dimension != receipt.dimension) {
    return Failed(absl::StrCat("the receipt, lines 9 and 10: the collection ",
                               Printable(receipt.collection, 128),
                               " has another metric or dimension"));
  }
  index::SearchQuery query;
  query.vector = receipt.vector;
  query.k = receipt.k;
  query.distance_max = receipt.distance_max;
  index::Filter filter;
  if (receipt.filter.has_value()) {
    index::Decoder decoder(*receipt.filter);
    filter = index::DecodeFilter(decoder);
    query.filter = &filter;
  }
  Erased erased;
  erased.records = CountErased(*collection, n);
  const auto left = WithoutErased(receipt, *collection, n, &erased);
  if (!left.ok()) return left.status();
  const auto hits = index::SearchAll(*collection, n, query, index::BestKernels());
  SearchReceipt again = index::DescribeSearch(*collection, query, hits);
  // Each erased hit made room for one less of the others.
  if (receipt.hits.size() == receipt.k && again.hits.size() > left->size()) {
    again.hits.resize(left->size());
  }
  status = CompareHits(*left, again.hits, n);
  if (!status.ok()) return status;
  again.hits = receipt.hits;
  static_cast<index::ReceiptState&>(again) = receipt;
  again.checkpoint = receipt.checkpoint;
  if (index::EncodeSearchReceipt(again) == index::EncodeSearchReceipt(receipt)) return erased;
  return Failed("the receipt: the same search gives another text");
}

absl::Status CheckLogRoot(const SearchReceipt& receipt, const std::optional<index::Hash>& root) {
  if (!receipt.checkpoint.has_value() || !root.has_value()) return absl::OkStatus();
  if (receipt.checkpoint->second == *root) return absl::OkStatus();
  return Failed(absl::StrCat("the receipt, line 7: the log does not begin with the ",
                             receipt.checkpoint->first, " entries of its checkpoint"));
}

// What the data were, for the report.
struct Source {
  std::string name;
  server::OfflineState state;
  bool checkpoint_checked = false;
  bool log_searched = false;  // for the digest of the receipt
  std::optional<uint64_t> logged_in;
};

absl::StatusOr<Source> FromExport(const SearchReceipt& receipt, const ReceiptInputs& inputs) {
  LogReplayOptions options;
  options.key = inputs.key;
  options.at_index = receipt.log_index;
  options.base_snapshot = inputs.base_snapshot;
  options.receipt = index::ReceiptDigest(index::EncodeSearchReceipt(receipt));
  if (receipt.checkpoint.has_value()) options.root_of = receipt.checkpoint->first;
  auto replay = ReplayExport(inputs.log_directory, options);
  if (!replay.ok()) return replay.status();
  const absl::Status status = CheckLogRoot(receipt, replay->root);
  if (!status.ok()) return status;
  return Source{"the exported log", std::move(replay->state), replay->root.has_value(), true,
                replay->receipt_entry};
}

absl::StatusOr<Source> FromDataDir(const SearchReceipt& receipt, const ReceiptInputs& inputs) {
  server::EngineOptions options;
  options.data_directory = inputs.data_dir;
  options.probe_path = server::FindProbe();
  auto state = server::ReplayToState(options, nullptr, receipt.log_index);
  if (!state.ok()) return state.status();
  Source source{"the data directory", *std::move(state), false, false, {}};
  if (receipt.checkpoint.has_value()) {
    const auto root = server::StoredLogRoot(options, receipt.checkpoint->first);
    if (!root.ok() && !absl::IsOutOfRange(root.status())) return root.status();
    if (root.ok()) {
      const absl::Status status = CheckLogRoot(receipt, *root);
      if (!status.ok()) return status;
    }
    source.checkpoint_checked = root.ok();
  }
  return source;
}

// A snapshot of a later entry has the same state if nothing changed it in between.
absl::StatusOr<Source> FromSnapshot(const SearchReceipt& receipt, const ReceiptInputs& inputs) {
  auto state = server::LoadSnapshotState(inputs.snapshot_file);
  if (!state.ok()) return state.status();
  if (state->position.log_index < receipt.state_index) {
    return Failed(absl::StrCat("the snapshot is of entry ", state->position.log_index,
                               ", before the state of the receipt"));
  }
  return Source{"the snapshot", *std::move(state), false, false, {}};
}

Json ReceiptToJson(const SearchReceipt& receipt) {
  Json json;
  json["log"] = receipt.log;
  json["log_index"] = receipt.log_index;
  json["state_index"] = receipt.state_index;
  json["state_root"] = Hex(receipt.state_root);
  json["collection"] = receipt.collection;
  json["k"] = receipt.k;
  json["hits"] = Json::array();
  for (const ReceiptHit& hit : receipt.hits) {
    json["hits"].push_back(
        {{"id", hit.id}, {"distance_raw", hit.distance}, {"record", Hex(hit.record)}});
  }
  if (receipt.checkpoint.has_value()) {
    json["checkpoint"] =
        CheckpointToJson({receipt.log, receipt.checkpoint->first, receipt.checkpoint->second});
  }
  return json;
}

std::string ReceiptToText(const SearchReceipt& receipt) {
  std::string text =
      absl::StrCat("log        ", receipt.log, "\nstate      after entry ", receipt.log_index,
                   ", root ", Hex(receipt.state_root), "\ncollection ",
                   Printable(receipt.collection, 128), "\nhits       ", receipt.hits.size(),
                   " of at most ", receipt.k, receipt.filter.has_value() ? ", with a filter" : "",
                   receipt.distance_max.has_value() ? ", with a threshold" : "", "\n");
  if (receipt.checkpoint.has_value()) {
    absl::StrAppend(&text, "checkpoint ", receipt.checkpoint->first, " entries, root ",
                    Hex(receipt.checkpoint->second), "\n");
  }
  return text;
}

// What single proofs show of a receipt.
struct Shown {
  bool entry = false;         // the state root is that of the entry in the log
  std::vector<bool> content;  // hits whose content has the commitment and the distance
  std::vector<bool> there;    // hits that are shown to be in that state
  static size_t Count(const std::vector<bool>& which) {
    return static_cast<size_t>(std::count(which.begin(), which.end(), true));
  }
};

absl::Status CheckContent(const SearchReceipt& receipt, const ReceiptHit& hit,
                          const index::RecordProof& proof) {
  if (proof.config->metric != receipt.metric || proof.config->dimension != receipt.dimension) {
    return Failed("the collection has another metric or dimension than the receipt says");
  }
  const std::vector<int32_t> vector =
      index::Decoder(proof.content->vector).Components(receipt.dimension);
  const int64_t distance = index::RawDistance(receipt.metric, receipt.vector, vector);
  if (distance != hit.distance) {
    return Failed(absl::StrCat("the distance of the record is ", distance, ", the receipt says ",
                               hit.distance));
  }
  if (!receipt.filter.has_value()) return absl::OkStatus();
  index::Decoder decoder(*receipt.filter);
  const index::Filter filter = index::DecodeFilter(decoder);
  if (filter.Matches(index::AttributesView(proof.content->attributes))) return absl::OkStatus();
  return Failed("the record does not match the receipt's filter");
}

absl::Status CheckRecord(const SearchReceipt& receipt, const ProvedRecord& record, Shown* shown) {
  if (record.proof.collection != receipt.collection) {
    return Failed("it is about another collection");
  }
  const auto hit =
      std::find_if(receipt.hits.begin(), receipt.hits.end(),
                   [&](const ReceiptHit& other) { return other.id == record.proof.id; });
  if (hit == receipt.hits.end()) return Failed("the receipt has no such hit");
  const bool same_state = record.entry.commit.state_root == receipt.state_root;
  if (!record.proof.commitment.has_value()) return Failed("it shows no record");
  if (*record.proof.commitment != hit->record) {
    return Failed(same_state ? "the record is not the one that the receipt commits to"
                             : "the record has changed since: it proves nothing about the receipt");
  }
  const auto place = static_cast<size_t>(hit - receipt.hits.begin());
  if (same_state) shown->there[place] = true;
  if (!record.proof.content.has_value()) return absl::OkStatus();
  shown->content[place] = true;
  return CheckContent(receipt, *hit, record.proof);
}

absl::Status CheckEntry(const SearchReceipt& receipt, const ProvedEntry& entry, Shown* shown) {
  if (entry.commit.index != receipt.log_index) {
    return Failed(absl::StrCat("it is of entry ", entry.commit.index, ", the receipt of ",
                               receipt.log_index));
  }
  if (entry.commit.state_root != receipt.state_root ||
      entry.commit.state_index != receipt.state_index) {
    return Failed("the log has another state root for the receipt's entry");
  }
  shown->entry = true;
  return absl::OkStatus();
}

absl::StatusOr<Shown> CheckProofs(const SearchReceipt& receipt, const ReceiptInputs& inputs) {
  Shown shown;
  shown.content.resize(receipt.hits.size());
  shown.there.resize(receipt.hits.size());
  for (const auto& [name, bytes] : inputs.proofs) {
    absl::Status status;
    if (bytes.starts_with(index::kRecordProofHeader)) {
      const auto record = VerifyRecord(bytes, inputs.key);
      status = record.ok() ? CheckRecord(receipt, *record, &shown) : record.status();
      if (status.ok() && record->entry.commit.index == receipt.log_index) shown.entry = true;
    } else {
      const auto entry = VerifyEntry(bytes, inputs.key);
      status = entry.ok() ? CheckEntry(receipt, *entry, &shown) : entry.status();
    }
    if (!status.ok()) return Failed(absl::StrCat(name, ": ", status.message()));
  }
  return shown;
}

Verified ReportLight(const SearchReceipt& receipt, const Shown& shown) {
  Verified verified;
  const size_t count = receipt.hits.size();
  const size_t content = Shown::Count(shown.content);
  const size_t there = Shown::Count(shown.there);
  verified.json["verified"] = "search receipt, signature only";
  verified.json["searched_again"] = false;
  verified.json["entry_proved"] = shown.entry;
  verified.json["records_checked"] = content;
  verified.json["records_proved"] = there;
  verified.json["receipt"] = ReceiptToJson(receipt);
  verified.text = absl::StrCat(
      "SIGNED: the holder of the key said that this is the answer; it is well formed, its hits are "
      "in order\n",
      shown.entry ? "shown: the state root is that of the entry in the log\n" : "");
  if (content > 0) {
    absl::StrAppend(&verified.text, "shown: ", content, " of ", count,
                    " records have the commitment, the distance and the match that it says\n");
  }
  if (there > 0) {
    absl::StrAppend(&verified.text, "shown: ", there, " of ", count,
                    " records were in that state\n");
  }
  absl::StrAppend(
      &verified.text, "NOT SHOWN: that no nearer record was left out",
      content < count ? absl::StrCat("; that the distances of ", count - content, " hits are right")
                      : "",
      there < count ? absl::StrCat("; that ", count - there, " hits were in that state") : "",
      shown.entry ? "" : "; that the log had this state",
      ". Give --log, --snapshot or --data-dir to search again\n", ReceiptToText(receipt));
  return verified;
}

}  // namespace

absl::StatusOr<Verified> VerifyReceipt(const std::string& bytes, const ReceiptInputs& inputs) {
  const auto receipt = server::ReadReceipt(bytes, inputs.key);
  if (!receipt.ok()) return Failed(receipt.status().message());
  const auto shown = CheckProofs(*receipt, inputs);
  if (!shown.ok()) return shown.status();
  const bool light =
      inputs.log_directory.empty() && inputs.snapshot_file.empty() && inputs.data_dir.empty();
  if (light) return ReportLight(*receipt, *shown);
  const auto source = !inputs.log_directory.empty()   ? FromExport(*receipt, inputs)
                      : !inputs.snapshot_file.empty() ? FromSnapshot(*receipt, inputs)
                                                      : FromDataDir(*receipt, inputs);
  if (absl::IsOutOfRange(source.status())) {
    return Failed(absl::StrCat("the receipt, line 3: ", source.status().message()));
  }
  if (!source.ok()) return source.status();
  const auto erased = SearchAgain(*receipt, source->state);
  if (!erased.ok()) return erased.status();
  Verified verified;
  verified.erased = erased->records;
  verified.json["verified"] =
      erased->records == 0 ? "search receipt" : "search receipt, but for erased records";
  verified.json["erased_records"] = erased->records;
  verified.json["erased_hits"] = erased->hits;
  verified.json["searched_again"] = true;
  verified.json["source"] = source->name;
  verified.json["checkpoint_checked"] = source->checkpoint_checked;
  if (source->log_searched) {
    verified.json["logged_in"] =
        source->logged_in.has_value() ? Json(*source->logged_in) : Json(nullptr);
  }
  verified.json["receipt"] = ReceiptToJson(*receipt);
  verified.text =
      erased->records == 0
          ? absl::StrCat("VERIFIED: the same search on the state of ", source->name,
                         " gives the same ", receipt->hits.size(), " hits, to the byte\n")
          : absl::StrCat("PARTLY VERIFIED: ", erased->records,
                         " records of the collection have been erased, ", erased->hits, " of the ",
                         receipt->hits.size(),
                         " hits among them; the same search on what is left in ", source->name,
                         " gives the other hits\nNOT SHOWN: distances of erased ",
                         "records, and whether others of them should have been hits\n");
  absl::StrAppend(&verified.text, ReceiptToText(*receipt));
  if (source->logged_in.has_value()) {
    absl::StrAppend(&verified.text, "logged     in entry ", *source->logged_in, "\n");
  } else if (source->log_searched) {
    absl::StrAppend(&verified.text, "logged     not in these entries\n");
  }
  return verified;
}

}  // namespace stele::client::cli
