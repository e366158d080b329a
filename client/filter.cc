#include "client/filter.h"

namespace stele::client {
namespace {

Filter FromCondition(v1::Condition condition) {
  v1::Filter proto;
  *proto.mutable_condition() = std::move(condition);
  return Filter(std::move(proto));
}

// Appends `part` to `list`, or its own parts where it is a list of the same kind.
void Append(const v1::Filter& part, v1::Filter::KindCase kind, v1::FilterList* list) {
  if (part.kind_case() != kind) {
    *list->add_filters() = part;
    return;
  }
  const v1::FilterList& parts = kind == v1::Filter::kAllOf ? part.all_of() : part.any_of();
  for (const v1::Filter& inner : parts.filters()) *list->add_filters() = inner;
}

void AssignList(const std::vector<Value>& values, v1::ValueList* list) {
  for (const Value& value : values) *list->add_values() = value.proto();
}

}  // namespace

Filter operator&&(const Filter& a, const Filter& b) {
  v1::Filter proto;
  Append(a.proto_, v1::Filter::kAllOf, proto.mutable_all_of());
  Append(b.proto_, v1::Filter::kAllOf, proto.mutable_all_of());
  return Filter(std::move(proto));
}

Filter operator||(const Filter& a, const Filter& b) {
  v1::Filter proto;
  Append(a.proto_, v1::Filter::kAnyOf, proto.mutable_any_of());
  Append(b.proto_, v1::Filter::kAnyOf, proto.mutable_any_of());
  return Filter(std::move(proto));
}

Filter operator!(const Filter& a) {
  v1::Filter proto;
  *proto.mutable_none_of()->add_filters() = a.proto_;
  return Filter(std::move(proto));
}

v1::Condition Field::Start() const {
  v1::Condition condition;
  condition.set_attribute(attribute_);
  return condition;
}

Filter Field::In(const std::vector<Value>& values) const {
  v1::Condition condition = Start();
  AssignList(values, condition.mutable_one_of());
  return FromCondition(std::move(condition));
}

Filter Field::NotIn(const std::vector<Value>& values) const {
  v1::Condition condition = Start();
  AssignList(values, condition.mutable_not_one_of());
  return FromCondition(std::move(condition));
}

Filter Field::Contains(const Value& value) const {
  v1::Condition condition = Start();
  *condition.mutable_contains() = value.proto();
  return FromCondition(std::move(condition));
}

Filter Field::Exists() const {
  v1::Condition condition = Start();
  condition.set_exists(true);
  return FromCondition(std::move(condition));
}

Filter Field::Missing() const {
  v1::Condition condition = Start();
  condition.set_exists(false);
  return FromCondition(std::move(condition));
}

Filter operator==(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_equals() = value.proto();
  return FromCondition(std::move(condition));
}

Filter operator!=(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_not_equals() = value.proto();
  return FromCondition(std::move(condition));
}

Filter operator<(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_less_than() = value.proto();
  return FromCondition(std::move(condition));
}

Filter operator<=(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_less_or_equal() = value.proto();
  return FromCondition(std::move(condition));
}

Filter operator>(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_greater_than() = value.proto();
  return FromCondition(std::move(condition));
}

Filter operator>=(const Field& field, const Value& value) {
  v1::Condition condition = field.Start();
  *condition.mutable_greater_or_equal() = value.proto();
  return FromCondition(std::move(condition));
}

}  // namespace stele::client
