// Filters over attributes, written as C++ expressions:
//
//   Filter f = Field("year") >= 2020 && (Field("lang") == "de" || Field("tags").Contains("audit"));
//
// Does not evaluate anything: the server does, by the table in docs/protocol.md, "Filters".
// A record without the attribute fails every test but `Missing()`, so `!(Field("a") == 1)` and
// `Field("a") != 1` differ for it: the first holds, the second does not.
// Thread-compatible.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/value.h"
#include "stele/v1/types.pb.h"

namespace stele::client {

class Filter {
 public:
  // Matches every record.
  Filter() { proto_.mutable_all_of(); }
  explicit Filter(v1::Filter proto) : proto_(std::move(proto)) {}

  const v1::Filter& proto() const { return proto_; }
  operator v1::Filter() const { return proto_; }  // NOLINT(google-explicit-constructor)

  // Chains of the same operator become one flat list, so a long chain stays shallow.
  friend Filter operator&&(const Filter& a, const Filter& b);
  friend Filter operator||(const Filter& a, const Filter& b);
  friend Filter operator!(const Filter& a);

 private:
  v1::Filter proto_;
};

// Names an attribute; every method is one test of it.
class Field {
 public:
  explicit Field(std::string attribute) : attribute_(std::move(attribute)) {}

  Filter In(const std::vector<Value>& values) const;
  Filter NotIn(const std::vector<Value>& values) const;
  Filter Contains(const Value& value) const;
  Filter Exists() const;
  Filter Missing() const;

  friend Filter operator==(const Field& field, const Value& value);
  friend Filter operator!=(const Field& field, const Value& value);
  friend Filter operator<(const Field& field, const Value& value);
  friend Filter operator<=(const Field& field, const Value& value);
  friend Filter operator>(const Field& field, const Value& value);
  friend Filter operator>=(const Field& field, const Value& value);

 private:
  v1::Condition Start() const;

  std::string attribute_;
};

}  // namespace stele::client
