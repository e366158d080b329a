#include "server/attributes_wire.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "index/types.h"
#include "server/conversion.h"
#include "server/errors.h"
#include "server/quote.h"

namespace stele::server {
namespace {

using index::ValueType;
using index::ValueView;

absl::StatusOr<std::string> EncodeScalar(const v1::Value& value, std::string_view field) {
  std::optional<std::string> encoded;
  switch (value.kind_case()) {
    case v1::Value::kBoolValue:
      return index::EncodeBool(value.bool_value());
    case v1::Value::kInt64Value:
      return index::EncodeInt64(value.int64_value());
    case v1::Value::kTimestampMicros:
      return index::EncodeTimestamp(value.timestamp_micros());
    case v1::Value::kBytesValue:
      return index::EncodeBytes(value.bytes_value());
    case v1::Value::kDoubleValue:
      encoded = index::EncodeDouble(DoubleBitsOf(value));
      if (encoded.has_value()) return *std::move(encoded);
      return BadField("ATTRIBUTE_NAN", field,
                      "NaN equals nothing and cannot be ordered; leave the attribute out instead");
    case v1::Value::kStringValue:
      encoded = index::EncodeString(value.string_value());
      if (encoded.has_value()) return *std::move(encoded);
      return BadField("ATTRIBUTE_NOT_UTF8", field, "not UTF-8; use bytes_value for other bytes");
    case v1::Value::kListValue:
      return BadField("ATTRIBUTE_TYPE", field, "lists do not nest");
    case v1::Value::KIND_NOT_SET:
      break;
  }
  return BadField("ATTRIBUTE_TYPE", field, "no kind of value is set");
}

void DecodeScalar(ValueView view, v1::Value* value) {
  switch (view.type) {
    case ValueType::kBool:
      return value->set_bool_value(view.payload[0] != 0);
    case ValueType::kInt64:
      return value->set_int64_value(index::Int64Of(view));
    case ValueType::kDouble:
      return SetDoubleBits(index::DoubleBitsOf(view), value);
    case ValueType::kString:
      return value->set_string_value(std::string(index::TextOf(view)));
    case ValueType::kBytes:
      return value->set_bytes_value(std::string(index::TextOf(view)));
    case ValueType::kTimestamp:
      return value->set_timestamp_micros(index::Int64Of(view));
    case ValueType::kList:
      return;
  }
}

void DecodeValue(std::string_view encoded, v1::Value* value) {
  index::Decoder decoder(encoded);
  const ValueView view = index::DecodeValue(decoder);
  if (view.type != ValueType::kList) return DecodeScalar(view, value);
  v1::ValueList* list = value->mutable_list_value();
  for (const ValueView element : index::ElementsOf(view)) DecodeScalar(element, list->add_values());
}

}  // namespace

absl::StatusOr<std::string> EncodeValue(const v1::Value& value, std::string_view field) {
  if (!value.has_list_value()) return EncodeScalar(value, field);
  std::vector<std::string> elements;
  elements.reserve(static_cast<size_t>(value.list_value().values_size()));
  for (const v1::Value& element : value.list_value().values()) {
    absl::StatusOr<std::string> encoded = EncodeScalar(
        element, absl::StrCat(View(field), ".list_value.values[", elements.size(), "]"));
    if (!encoded.ok()) return encoded.status();
    elements.push_back(*std::move(encoded));
  }
  std::optional<std::string> list = index::EncodeList(elements);
  if (list.has_value()) return *std::move(list);
  return BadField("ATTRIBUTE_TYPE", field, "all values of a list must be of one type");
}

absl::Status CheckAttributeName(std::string_view name, std::string_view field) {
  if (name.empty()) {
    return BadField("ATTRIBUTE_NAME", field, "the name of an attribute must not be empty");
  }
  if (name.size() > index::kAttributeNameBytesMax) {
    return BadField("ATTRIBUTE_NAME", field,
                    absl::StrCat("the name has ", name.size(), " bytes, at most ",
                                 index::kAttributeNameBytesMax, " are allowed"),
                    {{"limit", absl::StrCat(index::kAttributeNameBytesMax)}});
  }
  if (!index::IsUtf8(name)) {
    return BadField("ATTRIBUTE_NAME", field, "the name of an attribute must be UTF-8");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> EncodeAttributes(const WireAttributes& attributes,
                                             std::string_view field) {
  if (attributes.size() > index::kAttributesMax) {
    return BadField("ATTRIBUTES_TOO_LARGE", field,
                    absl::StrCat(attributes.size(), " attributes, at most ", index::kAttributesMax,
                                 " are allowed"),
                    {{"limit", absl::StrCat(index::kAttributesMax)}});
  }
  // In order of name, so that of several faults the same one is always reported.
  std::vector<std::pair<std::string_view, const v1::Value*>> sorted;
  sorted.reserve(attributes.size());
  for (const auto& [name, value] : attributes) sorted.emplace_back(name, &value);
  std::sort(sorted.begin(), sorted.end());
  index::AttributeMap map;
  map.reserve(sorted.size());
  for (const auto& [name, value] : sorted) {
    const std::string path = absl::StrCat(View(field), "[", Quote(name), "]");
    if (absl::Status status = CheckAttributeName(name, path); !status.ok()) return status;
    absl::StatusOr<std::string> encoded = EncodeValue(*value, path);
    if (!encoded.ok()) return encoded.status();
    map.emplace_back(name, *std::move(encoded));
  }
  std::string bytes = index::EncodeAttributes(map);
  if (bytes.size() > index::kAttributesBytesMax) {
    return BadField("ATTRIBUTES_TOO_LARGE", field,
                    absl::StrCat("all attributes together take ", bytes.size(), " bytes, at most ",
                                 index::kAttributesBytesMax,
                                 " are allowed; large content belongs into the document"),
                    {{"limit", absl::StrCat(index::kAttributesBytesMax)}});
  }
  return bytes;
}

void DecodeAttributes(std::string_view encoded, WireAttributes* attributes) {
  index::AttributesView(encoded).ForEach(
      [&](std::string_view name, std::string_view value, std::string_view) {
        DecodeValue(value, &(*attributes)[std::string(name)]);
      });
}

}  // namespace stele::server
