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
#include "server/requests.h"

namespace stele::server {

// The newest state, or that after *at_index. Errors: OUT_OF_RANGE AT_INDEX_OUT_OF_RANGE, with
// history_index and log_index.
absl::StatusOr<ReadView> OpenView(const Engine& engine, std::optional<index::LogIndex> at_index);

// Null and NOT_FOUND COLLECTION_NOT_FOUND where it does not exist at the view's index.
absl::StatusOr<const index::Collection*> FindCollection(const ReadView& view,
                                                        std::string_view name);

// A collection on the state that OpenView gives; errors of both.
struct CollectionView {
  ReadView view;
  const index::Collection* collection = nullptr;
};
absl::StatusOr<CollectionView> OpenCollection(const Engine& engine,
                                              std::optional<index::LogIndex> at_index,
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
// The page that `token` names, or, if it is empty, the first at *at_index or the newest.
// `arguments` are canonical bytes of what must not change. Errors: INVALID_ARGUMENT
// PAGE_TOKEN_INVALID, PAGE_TOKEN_MISMATCH; OUT_OF_RANGE PAGE_TOKEN_EXPIRED, AT_INDEX_OUT_OF_RANGE.
absl::StatusOr<Page> OpenPage(const Engine& engine, std::string_view token,
                              std::string_view arguments, std::optional<index::LogIndex> at_index);
// The token for the page behind `last`.
std::string NextPageToken(const Engine& engine, const ReadView& view, std::string_view arguments,
                          std::string_view last);

}  // namespace stele::server
