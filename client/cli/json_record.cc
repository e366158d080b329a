#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cli/json_values.h"
#include "client/vector.h"

namespace stele::client::cli {
namespace {

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status SetField(const std::string& key, const Json& value, absl::string_view where,
                      v1::RecordInput* record) {
  const std::string field_where = absl::StrCat(where, ": ", key);
  if (key == "id") {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
      return Invalid(field_where, "expected a string that is not empty");
    }
    record->set_id(value.get_ref<const std::string&>());
    return absl::OkStatus();
  }
  if (key == "vector" || key == "vector_q16") {
    if (record->has_vector()) return Invalid(where, "has both 'vector' and 'vector_q16'");
    absl::StatusOr<v1::Vector> vector = key == "vector" ? VectorFromJson(value, field_where)
                                                        : VectorFromQ16Json(value, field_where);
    if (!vector.ok()) return vector.status();
    *record->mutable_vector() = *std::move(vector);
    return absl::OkStatus();
  }
  if (key == "attributes") {
    return AttributesFromJson(value, field_where, record->mutable_attributes());
  }
  if (key == "document" || key == "document_base64") {
    if (!record->document().empty()) {
      return Invalid(where, "has both 'document' and 'document_base64'");
    }
    if (!value.is_string()) return Invalid(field_where, "expected a string");
    const std::string& text = value.get_ref<const std::string&>();
    if (key == "document") {
      record->set_document(text);
    } else if (!absl::Base64Unescape(text, record->mutable_document())) {
      return Invalid(field_where, "is not valid base64");
    }
    return absl::OkStatus();
  }
  if (key == "version") return absl::OkStatus();
  return Invalid(where, absl::StrCat("unknown field '", key,
                                     "'; a record has id, vector or vector_q16, attributes, "
                                     "document or document_base64"));
}

// Whether JSON can hold the bytes as text and give them back unchanged.
bool IsUtf8(const std::string& bytes) {
  try {
    (void)Json(bytes).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

}  // namespace

absl::StatusOr<v1::RecordInput> RecordFromJson(const Json& json, absl::string_view where,
                                               bool vector_required) {
  if (!json.is_object())
    return Invalid(where, "expected a record: {\"id\": ..., \"vector\": [...]}");
  v1::RecordInput record;
  for (const auto& [key, value] : json.items()) {
    if (absl::Status status = SetField(key, value, where, &record); !status.ok()) return status;
  }
  if (record.id().empty()) return Invalid(where, "has no 'id'");
  if (vector_required && !record.has_vector()) {
    return Invalid(where, "has neither 'vector' nor 'vector_q16'");
  }
  return record;
}

Json RecordToJson(const v1::Record& record, bool with_version) {
  Json json;
  json["id"] = record.id();
  if (with_version) json["version"] = record.version();
  if (!record.vector_q16().empty()) {
    if (const auto raw = DecodeQ16(record.vector_q16()); raw.ok()) json["vector_q16"] = *raw;
  }
  if (!record.attributes().empty()) json["attributes"] = AttributesToJson(record.attributes());
  if (record.document().empty()) return json;
  if (IsUtf8(record.document())) {
    json["document"] = record.document();
  } else {
    json["document_base64"] = absl::Base64Escape(record.document());
  }
  return json;
}

}  // namespace stele::client::cli
