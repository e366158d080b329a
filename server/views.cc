#include "server/views.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace stele::server {
namespace {

absl::Status OutOfRange(const Engine& engine, std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kOutOfRange, reason, message,
                   {{"history_index", absl::StrCat(engine.history_index())},
                    {"log_index", absl::StrCat(engine.published_index())}});
}

}  // namespace

absl::Status AtIndexWithTime() {
  return BadField("AT_INDEX_WITH_TIME", "at_time_micros",
                  "at_index and at_time_micros both name a state; give one of them");
}

absl::StatusOr<ReadView> OpenView(const Engine& engine, const ReadPoint& point) {
  std::optional<index::LogIndex> at_index = point.index;
  if (point.time_micros.has_value()) {
    const absl::StatusOr<index::LogIndex> found = engine.IndexAtTime(*point.time_micros);
    if (!found.ok()) {
      return OutOfRange(engine, "AT_TIME_OUT_OF_RANGE", std::string(found.status().message()));
    }
    at_index = *found;
  }
  absl::StatusOr<ReadView> view = engine.Read(at_index);
  if (view.ok() || !absl::IsOutOfRange(view.status())) return view;
  const std::string message(view.status().message());
  if (point.time_micros.has_value()) return OutOfRange(engine, "AT_TIME_OUT_OF_RANGE", message);
  return OutOfRange(engine, "AT_INDEX_OUT_OF_RANGE", message);
}

absl::StatusOr<const index::Collection*> FindCollection(const ReadView& view,
                                                        std::string_view name) {
  const index::Collection* collection = view.FindCollection(name);
  if (collection == nullptr) return CollectionNotFound(name);
  return collection;
}

absl::StatusOr<CollectionView> OpenCollection(const Engine& engine, const ReadPoint& point,
                                              std::string_view name) {
  absl::StatusOr<ReadView> view = OpenView(engine, point);
  if (!view.ok()) return view.status();
  const absl::StatusOr<const index::Collection*> collection = FindCollection(*view, name);
  if (!collection.ok()) return collection.status();
  return CollectionView{*std::move(view), *collection};
}

CollectionLookup NewestCollections::Lookup() const {
  return [this](std::string_view name) -> std::optional<CollectionShape> {
    if (!view_.ok()) return std::nullopt;
    const index::Collection* collection = view_->FindCollection(name);
    if (collection == nullptr) return std::nullopt;
    return CollectionShape{collection->config().dimension, collection->config().metric,
                           collection->born(), collection->config().erasable};
  };
}

absl::StatusOr<PageToken> ReadPageToken(const Engine& engine, std::string_view token,
                                        std::string_view arguments) {
  std::optional<PageToken> decoded = DecodePageToken(token);
  if (!decoded.has_value()) {
    return BadField("PAGE_TOKEN_INVALID", "page_token",
                    "it is not a next_page_token of this service");
  }
  if (decoded->log_id != engine.log_id() || decoded->index > engine.published_index()) {
    return BadField("PAGE_TOKEN_INVALID", "page_token",
                    "it was made on another log than this server's; begin the listing anew");
  }
  if (decoded->arguments_hash != HashArguments(arguments)) {
    return BadField("PAGE_TOKEN_MISMATCH", "page_token",
                    "it was made for other arguments; only page_size and min_index may change");
  }
  return *std::move(decoded);
}

absl::StatusOr<Page> OpenPage(const Engine& engine, std::string_view token,
                              std::string_view arguments, const ReadPoint& point) {
  Page page;
  if (token.empty()) {
    absl::StatusOr<ReadView> view = OpenView(engine, point);
    if (!view.ok()) return view.status();
    page.view = *std::move(view);
    return page;
  }
  absl::StatusOr<PageToken> decoded = ReadPageToken(engine, token, arguments);
  if (!decoded.ok()) return decoded.status();
  absl::StatusOr<ReadView> view = engine.Read(decoded->index);
  if (absl::IsOutOfRange(view.status())) {
    return OutOfRange(
        engine, "PAGE_TOKEN_EXPIRED",
        absl::StrCat("page_token: the state at ", decoded->index, " is no longer held, back to ",
                     engine.history_index(), "; begin the listing anew"));
  }
  if (!view.ok()) return view.status();
  page.view = *std::move(view);
  page.last = std::move(decoded->last);
  return page;
}

std::string NextPageToken(const Engine& engine, const ReadView& view, std::string_view arguments,
                          std::string_view last) {
  return EncodePageToken({engine.log_id(), view.n(), HashArguments(arguments), std::string(last)});
}

}  // namespace stele::server
