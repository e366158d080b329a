#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/json_values.h"

namespace stele::client::cli {
namespace {

constexpr size_t kDepthMax = 64;
// Keys are looked up one by one; far more than a record may have attributes.
constexpr size_t kKeysMax = 4096;

// Builds a document from parser events, refusing what the default builder lets through silently:
// duplicate keys, deep nesting, and integers that would turn into doubles.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<int64_t>::max())) {
      return Fail(absl::StrCat("the integer ", value, " does not fit into 64 bits"));
    }
    return Add(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == string_t::npos) {
      return Fail(absl::StrCat("the integer ", text, " does not fit into 64 bits"));
    }
    return Add(value);
  }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return Fail("binary values are not JSON"); }
  bool start_object(std::size_t /*size*/) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t /*size*/) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (stack_.back()->size() >= kKeysMax) {
      return Fail(absl::StrCat("an object holds more than ", kKeysMax, " keys"));
    }
    if (stack_.back()->contains(value)) return Fail(absl::StrCat("the key '", value, "' repeats"));
    key_ = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    // The library's text begins with its own error number in brackets.
    std::string what = error.what();
    if (const size_t end = what.find("] "); end != std::string::npos) what = what.substr(end + 2);
    return Fail(absl::StrCat(what, " (byte ", position, ")"));
  }

  const std::string& error() const { return error_; }
  Json& root() { return root_; }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  Json* Place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json* parent = stack_.back();
    if (parent->is_array()) {
      parent->push_back(std::move(value));
      return &parent->back();
    }
    Json& slot = (*parent)[key_];
    slot = std::move(value);
    return &slot;
  }

  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(Json value) {
    if (stack_.size() >= kDepthMax) {
      return Fail(absl::StrCat("nested deeper than ", kDepthMax, " levels"));
    }
    // A parent does not grow while a child is open, so these pointers stay valid.
    stack_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    stack_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> stack_;
  std::string key_;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view where) {
  StrictBuilder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": not valid JSON: ", builder.error()));
  }
  return std::move(builder.root());
}

}  // namespace stele::client::cli
