// What a search was asked and what it answered, on which state, as one canonical text to be signed.
// docs/format.md, "Search receipts", states the bytes.
//
// It neither searches nor signs, and says nothing about whether the answer is right: whoever has
// the state of the receipt's index searches again and compares the texts.
//
// Thread safety: pure functions; DescribeSearch is a reader of the collection.
//
// Invariants:
//   1. One search on one state under one checkpoint has one text.
//   2. What is parsed is written again to the same bytes, and holds what a search could have
//      answered: an admitted query, a canonical filter, hits in strict order within k and
//      threshold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/collection.h"
#include "index/proof_text.h"
#include "index/search.h"

namespace stele::index {

// FROZEN: first line of the text. It is also the domain of the signature: no other text that the
// key signs begins so.
inline constexpr std::string_view kSearchReceiptHeader = "stele/search-receipt@v1";
inline constexpr std::string_view kExactAlgorithm = "exact";
// Of a whole receipt; longer ones are neither made nor parsed.
inline constexpr size_t kReceiptBytesMax = size_t{62} << 20;

struct ReceiptHit {
  std::string id;
  int64_t distance = 0;  // raw
  Hash record{};         // record commitment
  bool operator==(const ReceiptHit&) const = default;
};

// The state that was searched.
struct ReceiptState {
  std::string log;  // name of the log: origin of its checkpoints
  LogIndex log_index = 0;
  LogIndex state_index = 0;
  Hash state_root{};
  uint32_t rules_version = 0;
};

struct SearchReceipt : ReceiptState {
  // The newest checkpoint that was signed by then: (size, root).
  std::optional<std::pair<uint64_t, Hash>> checkpoint;
  std::string collection;
  Metric metric = Metric::kL2;
  uint32_t dimension = 0;
  std::vector<int32_t> vector;        // as it was compared: under COSINE normalised
  std::optional<std::string> filter;  // EncodeFilter
  std::optional<int64_t> distance_max;
  uint32_t k = 0;
  std::vector<ReceiptHit> hits;  // by (distance, id)
};

// Without the state. The commitments of the hits are computed from their versions.
SearchReceipt DescribeSearch(const Collection& collection, const SearchQuery& query,
                             std::span<const SearchHit> hits);
// The commitment to the content of a version.
Hash VersionCommitment(const Collection& collection, const RecordVersion& version);

// The text that is signed.
std::string EncodeSearchReceipt(const SearchReceipt& receipt);
std::optional<SearchReceipt> ParseSearchReceipt(std::string_view text, std::string* error);

// What the log holds of a receipt, where its collection asks for that.
Hash ReceiptDigest(std::string_view text);

// Of the key that signs checkpoints, when it signs receipts: the first 4 bytes of SHA-256(name,
// 0x0a, 0xff, kSearchReceiptHeader, public key). So the signature of one is never one of the other.
KeyId ReceiptKeyId(std::string_view name, const PublicKey& key);

// A signed receipt: the note, and, where the receipt names a checkpoint, an empty line and that
// checkpoint's note.
struct SignedReceipt {
  SignedNote note;
  std::string checkpoint;  // empty where there is none
};
std::string EncodeSignedReceipt(const SignedReceipt& receipt);
std::optional<SignedReceipt> ParseSignedReceipt(std::string_view bytes, std::string* error);

// Whether a query vector could have been asked about: admitted, and normalised under COSINE.
bool IsQueryVector(std::span<const int32_t> vector, Metric metric);

}  // namespace stele::index
