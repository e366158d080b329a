#include "client/cli/filter_json.h"

#include <cctype>

#include "absl/strings/str_cat.h"

namespace stele::client::cli {
namespace {

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// "greaterOrEqual" -> "greater_or_equal".
std::string SnakeCase(const std::string& name) {
  std::string result;
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0) result.push_back('_');
    result.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return result;
}

absl::Status SetList(const Json& json, absl::string_view where, v1::ValueList* list) {
  absl::StatusOr<v1::Value> value =
      ValueFromJson(json.is_object() ? Json{{"list_value", json}} : json, where);
  if (!value.ok()) return value.status();
  if (!value->has_list_value()) return Invalid(where, "expected a list of values");
  *list = value->list_value();
  return absl::OkStatus();
}

// Sets one test by the name of its field in stele.v1.Condition.
absl::Status SetTest(const std::string& test, const Json& json, absl::string_view where,
                     v1::Condition* condition) {
  if (test == "exists") {
    if (!json.is_boolean()) return Invalid(where, "expected true or false");
    condition->set_exists(json.get<bool>());
    return absl::OkStatus();
  }
  if (test == "one_of") return SetList(json, where, condition->mutable_one_of());
  if (test == "not_one_of") return SetList(json, where, condition->mutable_not_one_of());

  using Mutable = v1::Value* (v1::Condition::*)();
  static constexpr std::pair<const char*, Mutable> kTests[] = {
      {"equals", &v1::Condition::mutable_equals},
      {"not_equals", &v1::Condition::mutable_not_equals},
      {"less_than", &v1::Condition::mutable_less_than},
      {"less_or_equal", &v1::Condition::mutable_less_or_equal},
      {"greater_than", &v1::Condition::mutable_greater_than},
      {"greater_or_equal", &v1::Condition::mutable_greater_or_equal},
      {"contains", &v1::Condition::mutable_contains},
  };
  for (const auto& [name, target] : kTests) {
    if (test != name) continue;
    absl::StatusOr<v1::Value> value = ValueFromJson(json, where);
    if (!value.ok()) return value.status();
    *(condition->*target)() = *std::move(value);
    return absl::OkStatus();
  }
  return Invalid(where,
                 "unknown test; use equals, not_equals, one_of, not_one_of, less_than, "
                 "less_or_equal, greater_than, greater_or_equal, exists or contains");
}

absl::StatusOr<v1::Condition> ConditionFromJson(const Json& json, absl::string_view where) {
  v1::Condition condition;
  for (const auto& [key, value] : json.items()) {
    const std::string name = SnakeCase(key);
    if (name == "attribute") {
      if (!value.is_string()) return Invalid(where, "'attribute' must be a string");
      condition.set_attribute(value.get_ref<const std::string&>());
      continue;
    }
    if (condition.test_case() != v1::Condition::TEST_NOT_SET) {
      return Invalid(where, "a condition has one test; put several into all_of");
    }
    absl::Status status = SetTest(name, value, absl::StrCat(where, ".", key), &condition);
    if (!status.ok()) return status;
  }
  if (condition.attribute().empty()) return Invalid(where, "a condition needs an 'attribute'");
  if (condition.test_case() == v1::Condition::TEST_NOT_SET) {
    return Invalid(where, "a condition needs a test, such as \"equals\"");
  }
  return condition;
}

absl::Status SetFilters(const Json& json, absl::string_view where, v1::FilterList* list) {
  const Json& items = json.is_object() && json.contains("filters") ? json["filters"] : json;
  if (!items.is_array()) return Invalid(where, "expected a list of filters");
  for (size_t i = 0; i < items.size(); ++i) {
    absl::StatusOr<Filter> part = FilterFromJson(items[i], absl::StrCat(where, "[", i, "]"));
    if (!part.ok()) return part.status();
    *list->add_filters() = part->proto();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Filter> FilterFromJson(const Json& json, absl::string_view where) {
  if (!json.is_object() || json.empty()) {
    return Invalid(where, "expected a filter, such as {\"attribute\": \"year\", \"equals\": 2020}");
  }
  v1::Filter filter;
  absl::Status status;
  const std::string first = SnakeCase(json.begin().key());
  const std::string part_where = absl::StrCat(where, ".", json.begin().key());
  const Json& content = json.begin().value();
  if (json.size() == 1 && first == "all_of") {
    status = SetFilters(content, part_where, filter.mutable_all_of());
  } else if (json.size() == 1 && first == "any_of") {
    status = SetFilters(content, part_where, filter.mutable_any_of());
  } else if (json.size() == 1 && first == "none_of") {
    status = SetFilters(content, part_where, filter.mutable_none_of());
  } else {
    const bool wrapped = json.size() == 1 && first == "condition" && content.is_object();
    absl::StatusOr<v1::Condition> condition = ConditionFromJson(wrapped ? content : json, where);
    if (!condition.ok()) return condition.status();
    *filter.mutable_condition() = *std::move(condition);
  }
  if (!status.ok()) return status;
  return Filter(std::move(filter));
}

absl::StatusOr<Filter> ParseFilter(absl::string_view text, absl::string_view where) {
  absl::StatusOr<Json> json = ParseJson(text, where);
  if (!json.ok()) return json.status();
  return FilterFromJson(*json, where);
}

}  // namespace stele::client::cli
