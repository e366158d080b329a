#include "index/search_receipt.h"

#include <algorithm>
#include <utility>

#include "index/codec.h"
#include "index/normalized.h"
#include "index/proof_lines.h"

namespace stele::index {
namespace {

// Of a key for texts of our own: c2sp.org/signed-note, "Signature types".
constexpr std::string_view kOwnSignatureType = "\xff";

// Without leading zeros and plus signs; zero has no minus.
std::optional<int64_t> ParseSigned(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::optional<uint64_t> magnitude = ParseDecimal(text.substr(negative ? 1 : 0));
  const uint64_t limit = (uint64_t{1} << 63) - (negative ? 0 : 1);
  if (!magnitude.has_value() || *magnitude > limit || (negative && *magnitude == 0)) {
    return std::nullopt;
  }
  return static_cast<int64_t>(negative ? ~*magnitude + 1 : *magnitude);
}

bool ParseNumber(LineParser& lines, std::string_view word, uint64_t least, uint64_t most,
                 uint64_t* number) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  const auto parsed = ParseDecimal(*field);
  if (!parsed.has_value() || *parsed < least || *parsed > most) {
    return lines.Fail("it is not such a number"), false;
  }
  *number = *parsed;
  return true;
}

bool ParseBytes(LineParser& lines, std::string_view word, std::string* bytes) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  auto decoded = DecodeBase64(*field);
  if (!decoded.has_value()) return lines.Fail("it is not base64"), false;
  *bytes = *std::move(decoded);
  return true;
}

bool ParseState(LineParser& lines, SearchReceipt* receipt) {
  const auto header = lines.Next("the first line");
  if (!header.has_value()) return false;
  if (*header != kSearchReceiptHeader) return lines.Fail("it is not a search receipt"), false;
  const auto log = lines.Field("log");
  if (!log.has_value()) return false;
  if (!IsNoteName(*log)) return lines.Fail("it is not the name of a log"), false;
  receipt->log = std::string(*log);
  uint64_t rules = 0;
  if (!ParseNumber(lines, "index", 0, kNever - 1, &receipt->log_index)) return false;
  if (!ParseNumber(lines, "state-index", 0, receipt->log_index, &receipt->state_index))
    return false;
  const auto root = lines.Field("state-root");
  if (!root.has_value()) return false;
  const auto hash = DecodeBase64Hash(*root);
  if (!hash.has_value()) return lines.Fail("it is not a hash in base64"), false;
  receipt->state_root = *hash;
  if (!ParseNumber(lines, "rules", kRulesVersion, kRulesVersion, &rules)) return false;
  receipt->rules_version = static_cast<uint32_t>(rules);
  const auto checkpoint = lines.Field("checkpoint");
  if (!checkpoint.has_value()) return false;
  if (*checkpoint == "none") return true;
  const size_t space = checkpoint->find(' ');
  const auto size = ParseDecimal(checkpoint->substr(0, space));
  const auto log_root = DecodeBase64Hash(
      space == std::string_view::npos ? std::string_view() : checkpoint->substr(space + 1));
  if (!size.has_value() || !log_root.has_value()) {
    return lines.Fail("it is not the size and the root of a log"), false;
  }
  receipt->checkpoint = {*size, *log_root};
  return true;
}

bool ParseCollection(LineParser& lines, SearchReceipt* receipt) {
  if (!ParseBytes(lines, "collection", &receipt->collection)) return false;
  if (receipt->collection.empty() || receipt->collection.size() > kCollectionNameBytesMax ||
      !IsUtf8(receipt->collection)) {
    return lines.Fail("it is not the name of a collection"), false;
  }
  uint64_t metric = 0;
  uint64_t dimension = 0;
  if (!ParseNumber(lines, "metric", 1, 3, &metric)) return false;
  if (!ParseNumber(lines, "dimension", 1, kDimensionMax, &dimension)) return false;
  receipt->metric = static_cast<Metric>(metric);
  receipt->dimension = static_cast<uint32_t>(dimension);
  return true;
}

bool ParseQuery(LineParser& lines, SearchReceipt* receipt) {
  std::string bytes;
  if (!ParseBytes(lines, "vector", &bytes)) return false;
  if (bytes.size() != size_t{receipt->dimension} * sizeof(int32_t)) {
    return lines.Fail("the vector is not of the collection's dimension"), false;
  }
  receipt->vector = Decoder(bytes).Components(receipt->dimension);
  if (!IsQueryVector(receipt->vector, receipt->metric)) {
    return lines.Fail("it is not a vector that can be asked about"), false;
  }
  const auto filter = lines.Field("filter");
  if (!filter.has_value()) return false;
  if (*filter != "none") {
    receipt->filter = DecodeBase64(*filter);
    if (!receipt->filter.has_value()) return lines.Fail("it is not base64"), false;
    Decoder decoder(*receipt->filter);
    (void)DecodeFilter(decoder);
    if (!decoder.Done()) return lines.Fail("it is not a filter"), false;
  }
  const auto threshold = lines.Field("threshold");
  if (!threshold.has_value()) return false;
  if (*threshold != "none") {
    receipt->distance_max = ParseSigned(*threshold);
    if (!receipt->distance_max.has_value()) return lines.Fail("it is not a raw distance"), false;
  }
  uint64_t k = 0;
  if (!ParseNumber(lines, "k", 1, kSearchKMax, &k)) return false;
  receipt->k = static_cast<uint32_t>(k);
  const auto algorithm = lines.Field("algorithm");
  if (!algorithm.has_value()) return false;
  if (*algorithm != kExactAlgorithm) return lines.Fail("the algorithm is not known here"), false;
  return true;
}

bool ParseHit(LineParser& lines, SearchReceipt* receipt) {
  const auto field = lines.Field("hit");
  if (!field.has_value()) return false;
  const size_t first = field->find(' ');
  const size_t second = first == std::string_view::npos ? first : field->find(' ', first + 1);
  if (second == std::string_view::npos) {
    return lines.Fail("it is not an id, a distance and a record commitment"), false;
  }
  auto id = DecodeBase64(field->substr(0, first));
  const auto distance = ParseSigned(field->substr(first + 1, second - first - 1));
  const auto record = DecodeBase64Hash(field->substr(second + 1));
  if (!id.has_value() || id->empty() || id->size() > kIdBytesMax || !IsUtf8(*id)) {
    return lines.Fail("it is not a record id in base64"), false;
  }
  if (!distance.has_value()) return lines.Fail("it is not a raw distance"), false;
  if (!record.has_value()) return lines.Fail("it is not a record commitment"), false;
  if (*distance > receipt->distance_max.value_or(*distance)) {
    return lines.Fail("the hit is farther than the threshold"), false;
  }
  if (!receipt->hits.empty()) {
    const ReceiptHit& last = receipt->hits.back();
    if (std::tie(last.distance, last.id) >= std::tie(*distance, *id)) {
      return lines.Fail("the hits are not in order of distance and id"), false;
    }
  }
  receipt->hits.push_back({*std::move(id), *distance, *record});
  return true;
}

bool ParseHits(LineParser& lines, SearchReceipt* receipt) {
  uint64_t count = 0;
  if (!ParseNumber(lines, "hits", 0, receipt->k, &count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (!ParseHit(lines, receipt)) return false;
  }
  std::vector<std::string_view> ids;
  for (const ReceiptHit& hit : receipt->hits) ids.push_back(hit.id);
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) {
    return lines.Fail("a record is among the hits twice"), false;
  }
  if (!lines.rest().empty()) return lines.Fail("more lines follow than there are hits"), false;
  return true;
}

}  // namespace

bool IsQueryVector(std::span<const int32_t> vector, Metric metric) {
  if (!CheckAdmitted(vector).ok()) return false;
  return metric != Metric::kCosine || IsNormalized(vector);
}

Hash VersionCommitment(const Collection& collection, const RecordVersion& version) {
  if (version.erased()) return version.commitment();
  const std::vector<int32_t> vector = collection.vectors().Row(version.slot());
  return RecordCommitment(
      {version.id(), vector, version.attributes(), PartOf(version.document()), version.salt()});
}

SearchReceipt DescribeSearch(const Collection& collection, const SearchQuery& query,
                             std::span<const SearchHit> hits) {
  SearchReceipt receipt;
  receipt.collection = collection.name();
  receipt.metric = collection.config().metric;
  receipt.dimension = collection.config().dimension;
  receipt.vector.assign(query.vector.begin(), query.vector.end());
  if (query.filter != nullptr) {
    Encoder encoder;
    EncodeFilter(*query.filter, encoder);
    receipt.filter = encoder.Take();
  }
  receipt.distance_max = query.distance_max;
  receipt.k = query.k;
  receipt.hits.reserve(hits.size());
  for (const SearchHit& hit : hits) {
    receipt.hits.push_back({std::string(hit.version->id()), hit.distance,
                            VersionCommitment(collection, *hit.version)});
  }
  return receipt;
}

std::string EncodeSearchReceipt(const SearchReceipt& receipt) {
  std::string text =
      Join({kSearchReceiptHeader,
            "\nlog ",
            receipt.log,
            "\nindex ",
            std::to_string(receipt.log_index),
            "\nstate-index ",
            std::to_string(receipt.state_index),
            "\nstate-root ",
            Base64(receipt.state_root),
            "\nrules ",
            std::to_string(receipt.rules_version),
            "\ncheckpoint ",
            receipt.checkpoint.has_value() ? Join({std::to_string(receipt.checkpoint->first), " ",
                                                   Base64(receipt.checkpoint->second)})
                                           : "none",
            "\ncollection ",
            EncodeBase64(receipt.collection),
            "\nmetric ",
            std::to_string(static_cast<unsigned>(receipt.metric)),
            "\ndimension ",
            std::to_string(receipt.dimension),
            "\nvector ",
            EncodeBase64(Encoder().Components(receipt.vector).bytes()),
            "\nfilter ",
            receipt.filter.has_value() ? EncodeBase64(*receipt.filter) : "none",
            "\nthreshold ",
            receipt.distance_max.has_value() ? std::to_string(*receipt.distance_max) : "none",
            "\nk ",
            std::to_string(receipt.k),
            "\nalgorithm ",
            kExactAlgorithm,
            "\nhits ",
            std::to_string(receipt.hits.size()),
            "\n"});
  for (const ReceiptHit& hit : receipt.hits) {
    text.append(Join({"hit ", EncodeBase64(hit.id), " ", std::to_string(hit.distance), " ",
                      Base64(hit.record), "\n"}));
  }
  return text;
}

std::optional<SearchReceipt> ParseSearchReceipt(std::string_view text, std::string* error) {
  return ParseLines<SearchReceipt>(text, error, [](LineParser& lines, SearchReceipt& receipt) {
    return ParseState(lines, &receipt) && ParseCollection(lines, &receipt) &&
           ParseQuery(lines, &receipt) && ParseHits(lines, &receipt);
  });
}

Hash ReceiptDigest(std::string_view text) { return Hasher(Label::kReceipt).Bytes(text).Finish(); }

KeyId ReceiptKeyId(std::string_view name, const PublicKey& key) {
  return HashKeyId(name, Join({kOwnSignatureType, kSearchReceiptHeader}), key);
}

std::string EncodeSignedReceipt(const SignedReceipt& receipt) {
  std::string bytes = EncodeNote(receipt.note);
  if (!receipt.checkpoint.empty()) bytes.append("\n").append(receipt.checkpoint);
  return bytes;
}

std::optional<SignedReceipt> ParseSignedReceipt(std::string_view bytes, std::string* error) {
  if (bytes.size() > kReceiptBytesMax) {
    *error = "it is longer than a search receipt";
    return std::nullopt;
  }
  // The first empty line ends the text, the second the signatures.
  const size_t text_end = bytes.find("\n\n");
  const size_t note_end =
      text_end == std::string_view::npos ? text_end : bytes.find("\n\n", text_end + 2);
  SignedReceipt receipt;
  std::string_view note = bytes;
  if (note_end != std::string_view::npos) {
    note = bytes.substr(0, note_end + 1);
    receipt.checkpoint = std::string(bytes.substr(note_end + 2));
    if (receipt.checkpoint.empty()) {
      *error = "nothing follows the empty line after the signatures";
      return std::nullopt;
    }
  }
  std::optional<SignedNote> parsed = ParseNote(note, error, kReceiptBytesMax);
  if (!parsed.has_value()) return std::nullopt;
  receipt.note = *std::move(parsed);
  return receipt;
}

}  // namespace stele::index
