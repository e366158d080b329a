#include "index/erasure_text.h"

#include "index/proof_lines.h"

namespace stele::index {
namespace {

bool ParseNumber(LineParser& lines, std::string_view word, uint64_t* number) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  const auto parsed = ParseDecimal(*field);
  if (!parsed.has_value()) return lines.Fail("it is not a number"), false;
  *number = *parsed;
  return true;
}

bool ParseHash(LineParser& lines, std::string_view word, Hash* hash) {
  const auto field = lines.Field(word);
  if (!field.has_value()) return false;
  const auto parsed = DecodeBase64Hash(*field);
  if (!parsed.has_value()) return lines.Fail("it is not a hash"), false;
  *hash = *parsed;
  return true;
}

bool Parse(LineParser& lines, ErasureCertificate& certificate) {
  const auto header = lines.Next("the first line");
  if (!header.has_value()) return false;
  if (*header != kErasureHeader) return lines.Fail("it is not an erasure certificate"), false;
  const auto origin = lines.Field("log");
  if (!origin.has_value()) return false;
  certificate.origin = std::string(*origin);
  if (!ParseNumber(lines, "entry", &certificate.entry) ||
      !ParseNumber(lines, "completed", &certificate.completed) ||
      !ParseNumber(lines, "operations", &certificate.items_count) ||
      !ParseNumber(lines, "snapshots", &certificate.snapshots_count)) {
    return false;
  }
  while (lines.NextIs("record ")) {
    Hash key;
    if (!ParseHash(lines, "record", &key)) return false;
    if (!certificate.records.empty() && key <= certificate.records.back()) {
      return lines.Fail("the records are not in order"), false;
    }
    certificate.records.push_back(key);
  }
  if (!ParseNumber(lines, "size", &certificate.size) ||
      !ParseHash(lines, "root", &certificate.root)) {
    return false;
  }
  if (certificate.completed <= certificate.entry || certificate.size <= certificate.completed) {
    return lines.Fail("the entries are not in this order in this log"), false;
  }
  if (!lines.rest().empty()) return lines.Fail("something follows the end"), false;
  return true;
}

}  // namespace

std::string EncodeErasureText(const ErasureCertificate& certificate) {
  std::string text = Join({kErasureHeader, "\nlog ", certificate.origin, "\nentry ",
                           std::to_string(certificate.entry), "\ncompleted ",
                           std::to_string(certificate.completed), "\noperations ",
                           std::to_string(certificate.items_count), "\nsnapshots ",
                           std::to_string(certificate.snapshots_count), "\n"});
  for (const Hash& key : certificate.records) text.append(Join({"record ", Base64(key), "\n"}));
  return Join(
      {text, "size ", std::to_string(certificate.size), "\nroot ", Base64(certificate.root), "\n"});
}

std::optional<ErasureCertificate> ParseErasureText(std::string_view text, std::string* error) {
  return ParseLines<ErasureCertificate>(text, error, Parse);
}

}  // namespace stele::index
