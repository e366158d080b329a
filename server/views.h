// Opening the state for a reply: the newest, that of an index, or that of a page token.
//
// Thread safety: pure functions over a thread-safe engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/engine.h"
#include "server/page_token.h"
#include "server/requests.h"

namespace stele::server {

// Which state a read asks for: the newest, that after an entry, or that at a time.
struct ReadPoint {
  std::optional<index::LogIndex> index;
  std::optional<int64_t> time_micros;
  bool is_newest() const { return !index.has_value() && !time_micros.has_value(); }
};

absl::Status AtIndexWithTime();
// What at_index and at_time_micros of a request say. Errors: INVALID_ARGUMENT AT_INDEX_WITH_TIME.
template <typename Request>
absl::StatusOr<ReadPoint> ReadPointOf(const Request& request) {
  ReadPoint point;
  if (request.has_at_index()) point.index = request.at_index();
  if (request.has_at_time_micros()) point.time_micros = request.at_time_micros();
  if (point.index.has_value() && point.time_micros.has_value()) return AtIndexWithTime();
  return point;
}

// The newest state, or the one that `point` names. Errors: OUT_OF_RANGE AT_INDEX_OUT_OF_RANGE,
// AT_TIME_OUT_OF_RANGE, with history_index and log_index.
absl::StatusOr<ReadView> OpenView(const Engine& engine, const ReadPoint& point = {});

// Null and NOT_FOUND COLLECTION_NOT_FOUND where it does not exist at the view's index.
absl::StatusOr<const index::Collection*> FindCollection(const ReadView& view,
                                                        std::string_view name);

// A collection on the state that OpenView gives; errors of both.
struct CollectionView {
  ReadView view;
  const index::Collection* collection = nullptr;
};
absl::StatusOr<CollectionView> OpenCollection(const Engine& engine, const ReadPoint& point,
                                              std::string_view name);

// Asks one view, the newest when it was made.
class NewestCollections {
 public:
  explicit NewestCollections(const Engine& engine) : view_(engine.Read(std::nullopt)) {}
  CollectionLookup Lookup() const;

 private:
  absl::StatusOr<ReadView> view_;
};

// A listing: which page, on which view.
struct Page {
  ReadView view;
  std::optional<std::string> last;  // go on behind it
};
// The page that `token` names, or, if it is empty, the first at `point`.
// `arguments` are canonical bytes of what must not change. Errors: INVALID_ARGUMENT
// PAGE_TOKEN_INVALID, PAGE_TOKEN_MISMATCH; OUT_OF_RANGE PAGE_TOKEN_EXPIRED and those of
// OpenView.
absl::StatusOr<Page> OpenPage(const Engine& engine, std::string_view token,
                              std::string_view arguments, const ReadPoint& point = {});
// The token of a page of these arguments. Errors: PAGE_TOKEN_INVALID, PAGE_TOKEN_MISMATCH.
absl::StatusOr<PageToken> ReadPageToken(const Engine& engine, std::string_view token,
                                        std::string_view arguments);
// The token for the page behind `last`.
std::string NextPageToken(const Engine& engine, const ReadView& view, std::string_view arguments,
                          std::string_view last);

}  // namespace stele::server
