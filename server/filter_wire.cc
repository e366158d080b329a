#include "server/filter_wire.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/types.h"
#include "server/attributes_wire.h"
#include "server/errors.h"
#include "server/quote.h"

namespace stele::server {
namespace {

using Kind = index::Filter::Kind;
using Test = index::Filter::Test;

// Walks one filter and stops at the first fault, so that a huge one costs no more than an allowed
// one.
class Converter {
 public:
  absl::Status Convert(const v1::Filter& wire, const std::string& field, uint32_t depth,
                       index::Filter* filter);

 private:
  absl::Status Spend(const std::string& field, size_t conditions);
  absl::Status ConvertList(const v1::FilterList& list, Kind kind, const std::string& field,
                           uint32_t depth, index::Filter* filter);
  absl::Status ConvertCondition(const v1::Condition& condition, const std::string& field,
                                index::Filter* filter);
  absl::Status AddLiteral(const v1::Value& value, const std::string& field, index::Filter* filter);
  absl::Status AddLiterals(const v1::ValueList& list, const std::string& field,
                           index::Filter* filter);

  size_t spent_ = 0;
};

absl::Status Converter::Spend(const std::string& field, size_t conditions) {
  spent_ += conditions;
  if (spent_ <= index::kFilterConditionsMax) return absl::OkStatus();
  return BadField("FILTER_TOO_LARGE", field,
                  absl::StrCat("the filter has more than ", index::kFilterConditionsMax,
                               " conditions (each value of one_of and not_one_of counts as one)"),
                  {{"limit", absl::StrCat(index::kFilterConditionsMax)}});
}

absl::Status Converter::AddLiteral(const v1::Value& value, const std::string& field,
                                   index::Filter* filter) {
  if (value.has_list_value()) {
    return BadField("FILTER_LITERAL", field,
                    "a filter compares with scalars, not with lists; see contains and one_of");
  }
  absl::StatusOr<std::string> encoded = EncodeValue(value, field);
  if (!encoded.ok()) {
    const bool unset = value.kind_case() == v1::Value::KIND_NOT_SET;
    return BadField("FILTER_LITERAL", field,
                    unset ? "no kind of value is set" : "the value is NaN or not UTF-8");
  }
  // What no attribute can hold is not worth logging either.
  if (encoded->size() > index::kAttributesBytesMax) {
    return BadField("FILTER_LITERAL", field,
                    absl::StrCat("the value takes ", encoded->size(), " bytes, at most ",
                                 index::kAttributesBytesMax, " are allowed"),
                    {{"limit", absl::StrCat(index::kAttributesBytesMax)}});
  }
  filter->literals.push_back(*std::move(encoded));
  return absl::OkStatus();
}

absl::Status Converter::AddLiterals(const v1::ValueList& list, const std::string& field,
                                    index::Filter* filter) {
  const auto count = static_cast<size_t>(list.values_size());
  // The condition itself has been counted.
  if (absl::Status status = Spend(field, count == 0 ? 0 : count - 1); !status.ok()) return status;
  for (const v1::Value& value : list.values()) {
    const std::string path = absl::StrCat(field, ".values[", filter->literals.size(), "]");
    if (absl::Status status = AddLiteral(value, path, filter); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Converter::ConvertCondition(const v1::Condition& condition, const std::string& field,
                                         index::Filter* filter) {
  if (absl::Status status = Spend(field, 1); !status.ok()) return status;
  if (absl::Status status =
          CheckAttributeName(condition.attribute(), absl::StrCat(field, ".attribute"));
      !status.ok()) {
    return status;
  }
  filter->kind = Kind::kCondition;
  filter->attribute = condition.attribute();
  const auto compare = [&](Test test, const char* name, const v1::Value& value) {
    filter->test = test;
    return AddLiteral(value, absl::StrCat(field, ".", name), filter);
  };
  const auto compare_list = [&](Test test, const char* name, const v1::ValueList& list) {
    filter->test = test;
    return AddLiterals(list, absl::StrCat(field, ".", name), filter);
  };
  switch (condition.test_case()) {
    case v1::Condition::kEquals:
      return compare(Test::kEquals, "equals", condition.equals());
    case v1::Condition::kNotEquals:
      return compare(Test::kNotEquals, "not_equals", condition.not_equals());
    case v1::Condition::kOneOf:
      return compare_list(Test::kOneOf, "one_of", condition.one_of());
    case v1::Condition::kNotOneOf:
      return compare_list(Test::kNotOneOf, "not_one_of", condition.not_one_of());
    case v1::Condition::kLessThan:
      return compare(Test::kLess, "less_than", condition.less_than());
    case v1::Condition::kLessOrEqual:
      return compare(Test::kLessOrEqual, "less_or_equal", condition.less_or_equal());
    case v1::Condition::kGreaterThan:
      return compare(Test::kGreater, "greater_than", condition.greater_than());
    case v1::Condition::kGreaterOrEqual:
      return compare(Test::kGreaterOrEqual, "greater_or_equal", condition.greater_or_equal());
    case v1::Condition::kExists:
      filter->test = condition.exists() ? Test::kExists : Test::kMissing;
      return absl::OkStatus();
    case v1::Condition::kContains:
      return compare(Test::kContains, "contains", condition.contains());
    case v1::Condition::TEST_NOT_SET:
      break;
  }
  return BadField("FILTER_EMPTY", field, "the condition states no test");
}

absl::Status Converter::ConvertList(const v1::FilterList& list, Kind kind, const std::string& field,
                                    uint32_t depth, index::Filter* filter) {
  filter->kind = kind;
  if (list.filters().empty()) return Spend(field, 1);
  for (const v1::Filter& part : list.filters()) {
    const std::string path = absl::StrCat(field, ".filters[", filter->parts.size(), "]");
    if (absl::Status status = Convert(part, path, depth + 1, &filter->parts.emplace_back());
        !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Converter::Convert(const v1::Filter& wire, const std::string& field, uint32_t depth,
                                index::Filter* filter) {
  if (depth > index::kFilterDepthMax) {
    return BadField("FILTER_TOO_DEEP", field,
                    absl::StrCat("filters nest at most ", index::kFilterDepthMax, " deep"),
                    {{"limit", absl::StrCat(index::kFilterDepthMax)}});
  }
  switch (wire.kind_case()) {
    case v1::Filter::kCondition:
      return ConvertCondition(wire.condition(), absl::StrCat(field, ".condition"), filter);
    case v1::Filter::kAllOf:
      return ConvertList(wire.all_of(), Kind::kAllOf, absl::StrCat(field, ".all_of"), depth,
                         filter);
    case v1::Filter::kAnyOf:
      return ConvertList(wire.any_of(), Kind::kAnyOf, absl::StrCat(field, ".any_of"), depth,
                         filter);
    case v1::Filter::kNoneOf:
      return ConvertList(wire.none_of(), Kind::kNoneOf, absl::StrCat(field, ".none_of"), depth,
                         filter);
    case v1::Filter::KIND_NOT_SET:
      break;
  }
  return BadField(
      "FILTER_EMPTY", field,
      "the filter states nothing; leave it out, or use an empty all_of for every record");
}

}  // namespace

absl::StatusOr<index::Filter> ConvertFilter(const v1::Filter& filter, std::string_view field) {
  index::Filter result;
  if (absl::Status status = Converter().Convert(filter, std::string(field), 1, &result);
      !status.ok()) {
    return status;
  }
  return result;
}

}  // namespace stele::server
