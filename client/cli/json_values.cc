#include "client/cli/json_values.h"

#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/vector.h"

namespace stele::client::cli {
namespace {

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// protobuf's JSON form writes 64-bit integers as strings.
absl::StatusOr<int64_t> Int64FromJson(const Json& json, absl::string_view where) {
  if (json.is_number_integer()) return json.get<int64_t>();
  int64_t value = 0;
  if (json.is_string() && absl::SimpleAtoi(json.get_ref<const std::string&>(), &value))
    return value;
  return Invalid(where, "expected a 64-bit integer");
}

absl::StatusOr<double> DoubleFromJson(const Json& json, absl::string_view where) {
  if (json.is_number()) return json.get<double>();
  double value = 0;
  if (json.is_string() && absl::SimpleAtod(json.get_ref<const std::string&>(), &value) &&
      !std::isnan(value)) {
    return value;
  }
  return Invalid(where, "expected a number, \"Infinity\" or \"-Infinity\"");
}

absl::StatusOr<std::string> BytesFromJson(const Json& json, absl::string_view where) {
  std::string bytes;
  if (json.is_string() && absl::Base64Unescape(json.get_ref<const std::string&>(), &bytes)) {
    return bytes;
  }
  return Invalid(where, "expected bytes in base64");
}

absl::StatusOr<int64_t> TimestampFromJson(const Json& json, absl::string_view where) {
  absl::Time time;
  std::string error;
  if (!json.is_string() ||
      !absl::ParseTime(absl::RFC3339_full, json.get_ref<const std::string&>(), &time, &error) ||
      time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
    return Invalid(where, "expected a time like \"2026-01-02T03:04:05Z\"");
  }
  const int64_t micros = absl::ToUnixMicros(time);
  if (absl::FromUnixMicros(micros) != time) {
    return Invalid(where, "timestamps hold whole microseconds; give at most six decimals");
  }
  return micros;
}

absl::Status ListFromJson(const Json& json, absl::string_view where, v1::ValueList* list) {
  const Json& items = json.is_object() && json.contains("values") ? json["values"] : json;
  if (!items.is_array()) return Invalid(where, "expected a list");
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item_where = absl::StrCat(where, "[", i, "]");
    absl::StatusOr<v1::Value> value = ValueFromJson(items[i], item_where);
    if (!value.ok()) return value.status();
    if (value->has_list_value()) return Invalid(item_where, "lists do not nest");
    *list->add_values() = *std::move(value);
  }
  return absl::OkStatus();
}

// {"kind": content}. The plain kinds first, then the field names of stele.v1.Value.
absl::StatusOr<v1::Value> TaggedValueFromJson(const Json& json, absl::string_view where) {
  if (json.size() != 1) return Invalid(where, "a typed value is an object with exactly one key");
  const std::string& kind = json.begin().key();
  const Json& content = json.begin().value();
  v1::Value value;
  const auto set = [&value](auto parsed, auto setter) -> absl::StatusOr<v1::Value> {
    if (!parsed.ok()) return parsed.status();
    (value.*setter)(*std::move(parsed));
    return value;
  };
  if (kind == "timestamp") {
    return set(TimestampFromJson(content, where), &v1::Value::set_timestamp_micros);
  }
  if (kind == "timestamp_micros" || kind == "timestampMicros") {
    return set(Int64FromJson(content, where), &v1::Value::set_timestamp_micros);
  }
  if (kind == "int64_value" || kind == "int64Value") {
    return set(Int64FromJson(content, where), &v1::Value::set_int64_value);
  }
  if (kind == "double" || kind == "double_value" || kind == "doubleValue") {
    return set(DoubleFromJson(content, where), &v1::Value::set_double_value);
  }
  if (kind == "bytes" || kind == "bytes_value" || kind == "bytesValue") {
    absl::StatusOr<std::string> bytes = BytesFromJson(content, where);
    if (!bytes.ok()) return bytes.status();
    value.set_bytes_value(*std::move(bytes));
    return value;
  }
  const bool is_plain = ((kind == "bool_value" || kind == "boolValue") && content.is_boolean()) ||
                        ((kind == "string_value" || kind == "stringValue") && content.is_string());
  if (is_plain) return ValueFromJson(content, where);
  if (kind == "list_value" || kind == "listValue") {
    absl::Status status = ListFromJson(content, where, value.mutable_list_value());
    if (!status.ok()) return status;
    return value;
  }
  return Invalid(where,
                 absl::StrCat("'", kind,
                              "' is no kind of value; use timestamp, timestamp_micros, bytes, "
                              "double, or a plain JSON value"));
}

std::string FormatTimestamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<v1::Value> ValueFromJson(const Json& json, absl::string_view where) {
  v1::Value value;
  switch (json.type()) {
    case Json::value_t::boolean:
      value.set_bool_value(json.get<bool>());
      return value;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      value.set_int64_value(json.get<int64_t>());
      return value;
    case Json::value_t::number_float:
      value.set_double_value(json.get<double>());
      return value;
    case Json::value_t::string:
      value.set_string_value(json.get_ref<const std::string&>());
      return value;
    case Json::value_t::array: {
      absl::Status status = ListFromJson(json, where, value.mutable_list_value());
      if (!status.ok()) return status;
      return value;
    }
    case Json::value_t::object:
      return TaggedValueFromJson(json, where);
    default:
      return Invalid(where, "null is no value; leave the attribute out instead");
  }
}

Json ValueToJson(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kBoolValue:
      return value.bool_value();
    case v1::Value::kInt64Value:
      return value.int64_value();
    case v1::Value::kDoubleValue:
      if (std::isinf(value.double_value())) {
        return {{"double", value.double_value() > 0 ? "Infinity" : "-Infinity"}};
      }
      return value.double_value();
    case v1::Value::kStringValue:
      return value.string_value();
    case v1::Value::kBytesValue:
      return {{"bytes", absl::Base64Escape(value.bytes_value())}};
    case v1::Value::kTimestampMicros: {
      const absl::Time time = absl::FromUnixMicros(value.timestamp_micros());
      const int64_t year = absl::ToCivilYear(time, absl::UTCTimeZone()).year();
      if (year < 1 || year > 9999) return {{"timestamp_micros", value.timestamp_micros()}};
      return {{"timestamp", FormatTimestamp(time)}};
    }
    case v1::Value::kListValue: {
      Json list = Json::array();
      for (const v1::Value& item : value.list_value().values()) list.push_back(ValueToJson(item));
      return list;
    }
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return nullptr;
}

absl::Status AttributesFromJson(const Json& json, absl::string_view where,
                                AttributeMap* attributes) {
  if (!json.is_object()) return Invalid(where, "attributes are an object of name and value");
  for (const auto& [name, item] : json.items()) {
    absl::StatusOr<v1::Value> value = ValueFromJson(item, absl::StrCat(where, ".", name));
    if (!value.ok()) return value.status();
    (*attributes)[name] = *std::move(value);
  }
  return absl::OkStatus();
}

Json AttributesToJson(const AttributeMap& attributes) {
  const std::map<std::string, v1::Value> sorted(attributes.begin(), attributes.end());
  Json json = Json::object();
  for (const auto& [name, value] : sorted) json[name] = ValueToJson(value);
  return json;
}

absl::StatusOr<v1::Vector> VectorFromJson(const Json& json, absl::string_view where) {
  if (json.is_object() && json.size() == 1 && json.contains("q16")) {
    return VectorFromQ16Json(json["q16"], absl::StrCat(where, ".q16"));
  }
  if (!json.is_array() || json.empty()) return Invalid(where, "expected a list of numbers");
  std::vector<double> values;
  values.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    if (!json[i].is_number()) return Invalid(absl::StrCat(where, "[", i, "]"), "is not a number");
    values.push_back(json[i].get<double>());
  }
  return Vector(values).proto();
}

absl::StatusOr<v1::Vector> VectorFromQ16Json(const Json& json, absl::string_view where) {
  if (!json.is_array() || json.empty()) return Invalid(where, "expected a list of integers");
  std::vector<int32_t> raw;
  raw.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    const int64_t value =
        json[i].is_number_integer() ? json[i].get<int64_t>() : std::numeric_limits<int64_t>::max();
    if (value < std::numeric_limits<int32_t>::min() ||
        value > std::numeric_limits<int32_t>::max()) {
      return Invalid(absl::StrCat(where, "[", i, "]"),
                     "is no raw Q16.16 component (a 32-bit integer)");
    }
    raw.push_back(static_cast<int32_t>(value));
  }
  return Vector(Q16{raw}).proto();
}

size_t DimensionOf(const v1::Vector& vector) {
  switch (vector.form_case()) {
    case v1::Vector::kQ16:
      return vector.q16().size() / 4;
    case v1::Vector::kFloat32:
      return vector.float32().size() / 4;
    case v1::Vector::kFloats:
      return static_cast<size_t>(vector.floats().values_size());
    case v1::Vector::kFloat64:
      return vector.float64().size() / 8;
    case v1::Vector::FORM_NOT_SET:
      break;
  }
  return 0;
}

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

std::string Hex(const index::Hash& hash) { return Hex(std::string(index::AsBytes(hash))); }

}  // namespace stele::client::cli
