#include "client/cli/golden.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/filter_json.h"
#include "client/cli/table.h"
#include "index/codec.h"

namespace stele::client::cli {
namespace {

constexpr char kFormat[] = "stele/golden@v1";

std::vector<int32_t> RawOf(const std::string& q16) {
  return index::Decoder(q16).Components(static_cast<uint32_t>(q16.size() / sizeof(int32_t)));
}

std::string Quoted(const std::string& text) { return Json(text).dump(); }

std::string QueryToText(const GoldenQuery& query) {
  std::string text = absl::StrCat("    {\n      \"name\": ", Quoted(query.name),
                                  ",\n      \"collection\": ", Quoted(query.collection),
                                  ",\n      \"vector_q16\": [",
                                  absl::StrJoin(RawOf(query.query.vector().q16()), ","),
                                  "],\n      \"k\": ", query.query.k(), ",\n");
  if (!query.filter.is_null()) {
    absl::StrAppend(&text, "      \"filter\": ", query.filter.dump(), ",\n");
  }
  if (query.query.has_threshold()) {
    absl::StrAppend(
        &text, "      \"distance_raw_max\": ", query.query.threshold().distance_raw_max(), ",\n");
  }
  absl::StrAppend(&text, "      \"hits\": [");
  for (size_t i = 0; i < query.hits.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", "\n        {\"id\": ", Quoted(query.hits[i].id),
                    ", \"distance_raw\": ", query.hits[i].distance_raw, "}");
  }
  return absl::StrCat(text, query.hits.empty() ? "" : "\n      ", "]\n    }");
}

// Reads the members of one object, and says what is left over.
class Members {
 public:
  Members(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) Fail("it is not an object");
  }

  void Fail(absl::string_view what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": ", what));
  }
  // Null where it is not there.
  const Json* Find(const char* name) {
    if (!status_.ok()) return nullptr;
    seen_.insert(name);
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  const Json& Need(const char* name) {
    static const Json null;
    const Json* const found = Find(name);
    if (found != nullptr) return *found;
    Fail(absl::StrCat(name, " is missing"));
    return null;
  }
  std::string Text(const char* name) {
    const Json& json = Need(name);
    if (json.is_string()) return json.get<std::string>();
    Fail(absl::StrCat(name, " is not a string"));
    return "";
  }
  uint64_t Count(const char* name, uint64_t most = INT64_MAX) {
    const int64_t value = Integer(name);
    if (value >= 0 && static_cast<uint64_t>(value) <= most) return static_cast<uint64_t>(value);
    Fail(absl::StrCat(name, " is not such a number"));
    return 0;
  }
  int64_t Integer(const char* name) {
    const Json& json = Need(name);
    if (json.is_number_integer() &&
        (!json.is_number_unsigned() || json.get<uint64_t>() <= uint64_t{INT64_MAX})) {
      return json.get<int64_t>();
    }
    Fail(absl::StrCat(name, " is not an integer of 64 bits"));
    return 0;
  }
  std::string HexHash(const char* name) {
    std::string text = Text(name);
    if (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
      Fail(absl::StrCat(name, " is not a hash in hexadecimal"));
    }
    return text;
  }
  // Nothing may be left over.
  absl::Status End() {
    for (const auto& [name, value] : json_.items()) {
      if (status_.ok() && !seen_.contains(name)) {
        Fail(absl::StrCat("unknown member ", Printable(name, 100)));
      }
    }
    return status_;
  }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  const std::string where_;
  std::set<std::string> seen_;
  absl::Status status_;
};

absl::StatusOr<GoldenHit> HitFromJson(const Json& json, const std::string& where) {
  Members members(json, where);
  GoldenHit hit;
  hit.id = members.Text("id");
  hit.distance_raw = members.Integer("distance_raw");
  const absl::Status status = members.End();
  if (!status.ok()) return status;
  return hit;
}

absl::StatusOr<GoldenQuery> QueryFromJson(const Json& json, const std::string& where) {
  Members members(json, where);
  GoldenQuery query;
  query.name = members.Text("name");
  query.collection = members.Text("collection");
  const Json& vector = members.Need("vector_q16");
  query.query.set_k(static_cast<uint32_t>(members.Count("k", index::kSearchKMax)));
  if (const Json* filter = members.Find("filter"); filter != nullptr) query.filter = *filter;
  if (members.Find("distance_raw_max") != nullptr) {
    query.query.mutable_threshold()->set_distance_raw_max(members.Integer("distance_raw_max"));
  }
  const Json& hits = members.Need("hits");
  if (!hits.is_array()) members.Fail("hits is not a list");
  const absl::Status status = members.End();
  if (!status.ok()) return status;
  auto converted = VectorFromQ16Json(vector, absl::StrCat(where, ".vector_q16"));
  if (!converted.ok()) return converted.status();
  *query.query.mutable_vector() = *std::move(converted);
  if (!query.filter.is_null()) {
    const auto filter = FilterFromJson(query.filter, absl::StrCat(where, ".filter"));
    if (!filter.ok()) return filter.status();
    *query.query.mutable_filter() = filter->proto();
  }
  for (size_t i = 0; i < hits.size(); ++i) {
    auto hit = HitFromJson(hits[i], absl::StrCat(where, ".hits[", i, "]"));
    if (!hit.ok()) return hit.status();
    query.hits.push_back(*std::move(hit));
  }
  return query;
}

std::string HitText(const std::optional<GoldenHit>& hit) {
  return hit.has_value() ? absl::StrCat(Printable(hit->id, 60), " at ", hit->distance_raw) : "-";
}

Json HitToJson(const std::optional<GoldenHit>& hit) {
  if (!hit.has_value()) return nullptr;
  return {{"id", hit->id}, {"distance_raw", hit->distance_raw}};
}

const GoldenHit* FindId(const std::vector<GoldenHit>& hits, const std::string& id) {
  const auto found =
      std::find_if(hits.begin(), hits.end(), [&](const GoldenHit& hit) { return hit.id == id; });
  return found == hits.end() ? nullptr : &*found;
}

std::string Names(const std::vector<GoldenHit>& hits) {
  std::vector<std::string> names;
  for (const GoldenHit& hit : hits) names.push_back(Printable(hit.id, 60));
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::string GoldenToText(const Golden& golden) {
  const GoldenState& state = golden.state;
  std::string text = absl::StrCat(
      "{\n  \"format\": \"", kFormat, "\",\n  \"log\": ", Quoted(state.log),
      ",\n  \"log_index\": ", state.log_index, ",\n  \"state_index\": ", state.state_index,
      ",\n  \"state_root\": ", Quoted(state.state_root), ",\n");
  if (!state.snapshot_hash.empty()) {
    absl::StrAppend(&text, "  \"snapshot_hash\": ", Quoted(state.snapshot_hash), ",\n");
  }
  absl::StrAppend(&text, "  \"queries\": [");
  for (size_t i = 0; i < golden.queries.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "\n" : ",\n", QueryToText(golden.queries[i]));
  }
  return absl::StrCat(text, "\n  ]\n}\n");
}

absl::StatusOr<Golden> GoldenFromJson(absl::string_view text, absl::string_view where) {
  const absl::StatusOr<Json> json = ParseJson(text, where);
  if (!json.ok()) return json.status();
  Members members(*json, std::string(where));
  if (members.Text("format") != kFormat) members.Fail(absl::StrCat("format is not ", kFormat));
  Golden golden;
  golden.state.log = members.Text("log");
  golden.state.log_index = members.Count("log_index");
  golden.state.state_index = members.Count("state_index");
  golden.state.state_root = members.HexHash("state_root");
  if (members.Find("snapshot_hash") != nullptr) {
    golden.state.snapshot_hash = members.HexHash("snapshot_hash");
  }
  const Json& queries = members.Need("queries");
  if (!queries.is_array() || queries.empty()) members.Fail("queries is not a list of some");
  const absl::Status status = members.End();
  if (!status.ok()) return status;
  std::set<std::string> names;
  for (size_t i = 0; i < queries.size(); ++i) {
    auto query = QueryFromJson(queries[i], absl::StrCat(where, ": queries[", i, "]"));
    if (!query.ok()) return query.status();
    if (!names.insert(query->name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": queries[", i, "]: the name ", Printable(query->name, 100), " is there twice"));
    }
    golden.queries.push_back(*std::move(query));
  }
  return golden;
}

GoldenState StateOf(const index::ReceiptState& state) {
  return {state.log, state.log_index, state.state_index, Hex(state.state_root), ""};
}

std::vector<GoldenHit> HitsOf(const index::SearchReceipt& receipt) {
  std::vector<GoldenHit> hits;
  for (const index::ReceiptHit& hit : receipt.hits) hits.push_back({hit.id, hit.distance});
  return hits;
}

v1::SearchQuery QueryOf(const index::SearchReceipt& receipt, const v1::SearchQuery& asked) {
  v1::SearchQuery query = asked;
  query.mutable_vector()->set_q16(index::Encoder().Components(receipt.vector).Take());
  query.clear_threshold();
  if (receipt.distance_max.has_value()) {
    query.mutable_threshold()->set_distance_raw_max(*receipt.distance_max);
  }
  return query;
}

GoldenDifference Compare(const std::vector<GoldenHit>& expected,
                         const std::vector<GoldenHit>& got) {
  GoldenDifference difference;
  for (size_t i = 0; i < std::max(expected.size(), got.size()); ++i) {
    GoldenDifference::Rank rank;
    rank.rank = i + 1;
    if (i < expected.size()) rank.expected = expected[i];
    if (i < got.size()) rank.got = got[i];
    if (rank.expected != rank.got) difference.ranks.push_back(std::move(rank));
  }
  for (const GoldenHit& hit : expected) {
    if (FindId(got, hit.id) == nullptr) difference.missing.push_back(hit);
  }
  for (const GoldenHit& hit : got) {
    if (FindId(expected, hit.id) == nullptr) difference.unexpected.push_back(hit);
  }
  return difference;
}

Json DifferenceToJson(const GoldenDifference& difference) {
  Json json;
  json["ranks"] = Json::array();
  for (const GoldenDifference::Rank& rank : difference.ranks) {
    json["ranks"].push_back({{"rank", rank.rank},
                             {"expected", HitToJson(rank.expected)},
                             {"got", HitToJson(rank.got)}});
  }
  json["missing"] = Json::array();
  for (const GoldenHit& hit : difference.missing) json["missing"].push_back(hit.id);
  json["unexpected"] = Json::array();
  for (const GoldenHit& hit : difference.unexpected) json["unexpected"].push_back(hit.id);
  return json;
}

std::string DifferenceToText(const GoldenDifference& difference, size_t rows_max) {
  Table table({">RANK", "EXPECTED", "GOT"});
  const size_t shown = std::min(rows_max, difference.ranks.size());
  for (size_t i = 0; i < shown; ++i) {
    const GoldenDifference::Rank& rank = difference.ranks[i];
    table.AddRow({absl::StrCat(rank.rank), HitText(rank.expected), HitText(rank.got)});
  }
  std::string text = table.Format();
  if (shown < difference.ranks.size()) {
    absl::StrAppend(&text, "and ", difference.ranks.size() - shown, " ranks more\n");
  }
  if (!difference.missing.empty()) {
    absl::StrAppend(&text, "missing: ", Names(difference.missing), "\n");
  }
  if (!difference.unexpected.empty()) {
    absl::StrAppend(&text, "new: ", Names(difference.unexpected), "\n");
  }
  return text;
}

}  // namespace stele::client::cli
