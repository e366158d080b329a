#include "client/cli/explanation.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

const char* FilterStrategyName(v1::FilterStrategy strategy) {
  switch (strategy) {
    case v1::FILTER_STRATEGY_NONE:
      return "none";
    case v1::FILTER_STRATEGY_SCAN:
      return "scan";
    case v1::FILTER_STRATEGY_POSTINGS:
      return "postings";
    default:
      return "unknown";
  }
}

std::string Share(uint64_t rows, uint64_t all) {
  if (all == 0) return "-";
  const double percent = static_cast<double>(rows) / static_cast<double>(all) * 100;
  return rows > 0 && percent < 0.01 ? "<0.01%" : absl::StrFormat("%.2f%%", percent);
}

}  // namespace

std::string BytesToText(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // What would be printed as 1024.0 belongs to the next unit.
  for (; value >= 1023.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

Json ExplanationToJson(const v1::SearchExplanation* explanation) {
  if (explanation == nullptr) return nullptr;
  Json json;
  json["algorithm"] = explanation->algorithm();
  json["kernel"] = explanation->kernel();
  json["search_threads"] = explanation->search_threads();
  json["rows_visible"] = explanation->rows_visible();
  json["rows_scanned"] = explanation->rows_scanned();
  json["rows_kept_4bit"] = explanation->rows_kept_4bit();
  json["rows_kept_8bit"] = explanation->rows_kept_8bit();
  json["rows_filter_tested"] = explanation->rows_filter_tested();
  json["rows_computed"] = explanation->rows_computed();
  json["bytes_read"] = explanation->bytes_read();
  json["filter_strategy"] = FilterStrategyName(explanation->filter_strategy());
  json["filter_candidates"] = explanation->filter_candidates();
  return json;
}

std::string ExplanationToText(const v1::SearchExplanation* explanation) {
  if (explanation == nullptr) return "not explained: the server does not know how\n";
  Table table({"STEP", ">ROWS", ">SHARE"});
  const auto add = [&](const char* step, uint64_t rows) {
    table.AddRow({step, absl::StrCat(rows), Share(rows, explanation->rows_visible())});
  };
  add("visible in the collection", explanation->rows_visible());
  if (explanation->filter_strategy() == v1::FILTER_STRATEGY_POSTINGS) {
    add("left by the filter's indexes", explanation->filter_candidates());
  }
  add("met by the scan", explanation->rows_scanned());
  add("kept by 4-bit readings", explanation->rows_kept_4bit());
  add("kept by 8-bit readings", explanation->rows_kept_8bit());
  add("filter evaluated", explanation->rows_filter_tested());
  add("computed exactly", explanation->rows_computed());
  return absl::StrCat(table.Format(), "read ", BytesToText(explanation->bytes_read()),
                      ", filter: ", FilterStrategyName(explanation->filter_strategy()), ", ",
                      Printable(explanation->algorithm(), 40), " search, kernel ",
                      Printable(explanation->kernel(), 40), ", ", explanation->search_threads(),
                      explanation->search_threads() == 1 ? " thread\n" : " threads\n");
}

}  // namespace stele::client::cli
