#include "index/record_proof.h"

#include <vector>

#include "index/codec.h"
#include "index/proof_lines.h"
#include "index/value.h"

namespace stele::index {
namespace {

constexpr size_t kSiblingsMax = 256;

std::string EncodePath(std::string_view word, const SparseProof& path) {
  std::string text;
  switch (path.end) {
    case SparseProof::End::kKey:
      text = Join({word, " found\n"});
      break;
    case SparseProof::End::kEmpty:
      text = Join({word, " empty\n"});
      break;
    case SparseProof::End::kOtherKey:
      text = Join({word, " other ", Base64(path.other_key), " ", Base64(path.other_value), "\n"});
      break;
  }
  for (const Hash& sibling : path.siblings) text.append(Join({Base64(sibling), "\n"}));
  return Join({text, "\n"});
}

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t space = text.find(' ');
    parts.push_back(text.substr(0, space));
    if (space == std::string_view::npos) return parts;
    text.remove_prefix(space + 1);
  }
}

bool ParsePath(LineParser& lines, std::string_view word, SparseProof* path) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  const std::vector<std::string_view> parts = Split(*field);
  if (parts.size() == 1 && parts[0] == "found") {
    path->end = SparseProof::End::kKey;
  } else if (parts.size() == 1 && parts[0] == "empty") {
    path->end = SparseProof::End::kEmpty;
  } else if (parts.size() == 3 && parts[0] == "other") {
    const auto key = DecodeBase64Hash(parts[1]);
    const auto value = DecodeBase64Hash(parts[2]);
    if (!key.has_value() || !value.has_value())
      return lines.Fail("it is not a key and a value"), false;
    path->end = SparseProof::End::kOtherKey;
    path->other_key = *key;
    path->other_value = *value;
  } else {
    return lines.Fail("a path ends with found, empty or other"), false;
  }
  auto siblings = lines.Hashes(kSiblingsMax);
  if (!siblings.has_value()) return false;
  path->siblings = *std::move(siblings);
  return true;
}

bool ParseText(LineParser& lines, std::string_view word, std::string* bytes) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  const auto decoded = DecodeBase64(*field);
  if (!decoded.has_value()) return lines.Fail("it is not base64"), false;
  *bytes = *decoded;
  return true;
}

bool ParseConfig(LineParser& lines, std::optional<CollectionConfig>* config) {
  const auto field = lines.Field("config");
  if (!field.has_value()) return false;
  if (*field == "none") return true;
  const std::vector<std::string_view> parts = Split(*field);
  if (parts.size() == 3 || parts.size() == 5) {
    const uint64_t dimension = ParseDecimal(parts[0]).value_or(UINT64_MAX);
    const uint64_t metric = ParseDecimal(parts[1]).value_or(0);
    std::optional<std::string> description = DecodeBase64(parts[2]);
    const bool with_options = parts.size() == 5;
    const uint64_t receipts = with_options ? ParseDecimal(parts[3]).value_or(3) : 0;
    const uint64_t erasable = with_options ? ParseDecimal(parts[4]).value_or(2) : 0;
    if (dimension <= UINT32_MAX && metric >= 1 && metric <= 3 && description.has_value() &&
        receipts <= 2 && erasable <= 1 && with_options == (receipts != 0 || erasable != 0)) {
      *config = CollectionConfig{static_cast<uint32_t>(dimension), static_cast<Metric>(metric),
                                 *std::move(description), static_cast<ReceiptPolicy>(receipts),
                                 erasable == 1};
      return true;
    }
  }
  return lines.Fail("it is not a dimension, a metric and a description"), false;
}

bool ParseRecord(LineParser& lines, RecordProof* proof) {
  const auto field = lines.Field("record");
  if (!field.has_value()) return false;
  if (*field != "none") {
    proof->commitment = DecodeBase64Hash(*field);
    if (!proof->commitment.has_value()) return lines.Fail("it is not a record commitment"), false;
    if (!proof->config.has_value()) return lines.Fail("a record without a collection"), false;
  }
  if (!lines.NextIs("vector ")) return true;
  RecordContent content;
  if (!ParseText(lines, "vector", &content.vector)) return false;
  if (!proof->commitment.has_value()) return lines.Fail("content without a record"), false;
  if (!ParseText(lines, "attributes", &content.attributes)) return false;
  const auto document = lines.Field("document");
  if (!document.has_value()) return false;
  if (*document != "none") {
    content.document = DecodeBase64Hash(*document);
    if (!content.document.has_value()) return lines.Fail("it is not the hash of a document"), false;
  }
  if (lines.NextIs("salts ")) {
    std::string bytes;
    if (!ParseText(lines, "salts", &bytes)) return false;
    if (bytes.empty() || bytes.size() % sizeof(Salt) != 0) {
      return lines.Fail("it is not salts of 32 bytes"), false;
    }
    for (Decoder decoder(bytes); decoder.remaining() > 0;)
      content.salts.push_back(decoder.Digest());
  }
  proof->content = std::move(content);
  return true;
}

bool ParsePolicies(LineParser& lines, RecordProof* proof) {
  if (lines.NextIs("history ")) {
    const auto field = lines.Field("history");
    proof->history_entries = field.has_value() ? ParseDecimal(*field) : std::nullopt;
    if (!proof->history_entries.has_value()) return lines.Fail("it is not a number"), false;
  }
  if (!ParseConfig(lines, &proof->config)) return false;
  if (!lines.NextIs("holds ")) return true;
  if (!proof->config.has_value()) return lines.Fail("holds without a collection"), false;
  const auto field = lines.Field("holds");
  proof->holds = field.has_value() ? DecodeBase64Hash(*field) : std::nullopt;
  return proof->holds.has_value() || (lines.Fail("it is not a hash"), false);
}

std::optional<Hash> CommitmentOf(const RecordProof& proof, std::string* error) {
  const RecordContent& content = *proof.content;
  if (content.vector.size() != size_t{proof.config->dimension} * sizeof(int32_t)) {
    *error = "the vector is not of the collection's dimension";
    return std::nullopt;
  }
  AttributeMap attributes;
  if (!DecodeAttributes(content.attributes, &attributes)) {
    *error = "the attributes are malformed";
    return std::nullopt;
  }
  const std::vector<int32_t> vector = Decoder(content.vector).Components(proof.config->dimension);
  const size_t salts_count = proof.config->erasable ? 2 + attributes.size() : 0;
  if (content.salts.size() != salts_count) {
    *error = "it has not a salt for each part";
    return std::nullopt;
  }
  return RecordCommitment(
      {proof.id, vector, content.attributes, content.document, nullptr, content.salts});
}

// What follows the description in the line of a collection with options.
std::string OptionsText(const CollectionConfig& config) {
  if (IsPlain(config)) return "";
  return Join(
      {" ", std::to_string(static_cast<unsigned>(config.receipts)), config.erasable ? " 1" : " 0"});
}

}  // namespace

std::string EncodeRecordProof(const RecordProof& proof) {
  std::string text =
      Join({kRecordProofHeader, "\ncollection ", EncodeBase64(proof.collection), "\nid ",
            EncodeBase64(proof.id), "\nrules ", std::to_string(proof.rules_version)});
  if (proof.history_entries.has_value()) {
    text.append(Join({"\nhistory ", std::to_string(*proof.history_entries)}));
  }
  text.append("\nconfig ");
  if (proof.config.has_value()) {
    text.append(Join({std::to_string(proof.config->dimension), " ",
                      std::to_string(static_cast<unsigned>(proof.config->metric)), " ",
                      EncodeBase64(proof.config->description), OptionsText(*proof.config),
                      proof.holds.has_value() ? Join({"\nholds ", Base64(*proof.holds)}) : "",
                      "\nrecord "}));
  } else {
    text.append("none\nrecord ");
  }
  text.append(
      Join({proof.commitment.has_value() ? Base64(*proof.commitment) : std::string("none"), "\n"}));
  if (proof.content.has_value()) {
    const RecordContent& content = *proof.content;
    text.append(Join({"vector ", EncodeBase64(content.vector), "\nattributes ",
                      EncodeBase64(content.attributes), "\ndocument ",
                      content.document.has_value() ? Base64(*content.document) : "none", "\n"}));
    Encoder salts;
    for (const Salt& salt : content.salts) salts.Digest(salt);
    if (!content.salts.empty()) {
      text.append(Join({"salts ", EncodeBase64(salts.bytes()), "\n"}));
    }
  }
  if (proof.config.has_value()) text.append(EncodePath("record-path", proof.record_path));
  text.append(EncodePath("collection-path", proof.collection_path));
  return Join({text, "sha256 ", Base64(Hasher().Bytes(text).Finish()), "\n", proof.inclusion});
}

std::optional<RecordProof> ParseRecordProof(std::string_view bytes, std::string* error) {
  const auto parse = [&](LineParser& lines, RecordProof& proof) {
    const auto header = lines.Next("the first line");
    if (!header.has_value()) return false;
    if (*header != kRecordProofHeader) return lines.Fail("it is not a record proof"), false;
    if (!ParseText(lines, "collection", &proof.collection)) return false;
    if (!ParseText(lines, "id", &proof.id)) return false;
    const auto field = lines.Field("rules");
    if (!field.has_value()) return false;
    const auto rules = ParseDecimal(*field);
    if (!rules.has_value() || *rules > UINT32_MAX)
      return lines.Fail("it is not a rules version"), false;
    proof.rules_version = static_cast<uint32_t>(*rules);
    if (!ParsePolicies(lines, &proof) || !ParseRecord(lines, &proof)) return false;
    if (proof.config.has_value() && !ParsePath(lines, "record-path", &proof.record_path))
      return false;
    if (!ParsePath(lines, "collection-path", &proof.collection_path)) return false;
    const std::string_view above = bytes.substr(0, bytes.size() - lines.rest().size());
    const auto sum = lines.Field("sha256");
    if (!sum.has_value()) return false;
    if (*sum != Base64(Hasher().Bytes(above).Finish())) {
      return lines.Fail("it is not the hash of the lines above"), false;
    }
    proof.inclusion = std::string(lines.rest());
    return true;
  };
  return ParseLines<RecordProof>(bytes, error, parse);
}

std::optional<Hash> RecordProofStateRoot(const RecordProof& proof, std::string* error) {
  if (!proof.config.has_value() && (proof.commitment.has_value() || proof.content.has_value())) {
    *error = "a record without a collection";
    return std::nullopt;
  }
  if (!proof.commitment.has_value() && proof.content.has_value()) {
    *error = "content without a record";
    return std::nullopt;
  }
  std::optional<Hash> value;
  if (proof.config.has_value()) {
    if (proof.content.has_value()) {
      const std::optional<Hash> commitment = CommitmentOf(proof, error);
      if (!commitment.has_value()) return std::nullopt;
      if (commitment != proof.commitment) {
        *error = "the content is not that of the record's commitment";
        return std::nullopt;
      }
    }
    const std::optional<Hash> records_root =
        SparseProofRoot(RecordKey(proof.collection, proof.id), proof.commitment, proof.record_path);
    if (!records_root.has_value()) {
      *error = "the record's path does not fit the record";
      return std::nullopt;
    }
    value = CollectionValue(*proof.config, *records_root, proof.holds);
  }
  const std::optional<Hash> collections_root =
      SparseProofRoot(CollectionKey(proof.collection), value, proof.collection_path);
  if (!collections_root.has_value()) {
    *error = "the collection's path does not fit the collection";
    return std::nullopt;
  }
  return StateRoot(proof.rules_version, *collections_root, proof.history_entries);
}

}  // namespace stele::index
