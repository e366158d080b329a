#include "client/cli/golden_source.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/cli/table.h"
#include "index/kernels.h"
#include "server/filter_wire.h"
#include "server/offline.h"
#include "server/query_wire.h"
#include "server/recovery.h"

namespace stele::client::cli {
namespace {

// As the server does it.
absl::StatusOr<index::SearchReceipt> SearchOffline(const server::OfflineState& state,
                                                   const std::string& name,
                                                   const v1::SearchQuery& wire) {
  const index::LogIndex n = state.position.log_index;
  const index::Collection* const collection = state.recovered.state->FindCollection(name, n);
  if (collection == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("there is no collection ", Printable(name, 128), " in the snapshot"));
  }
  if (wire.k() == 0 || wire.k() > index::kSearchKMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("k is ", wire.k(), ", it must be 1 to ", index::kSearchKMax));
  }
  std::optional<index::Filter> filter;
  if (wire.has_filter()) {
    auto converted = server::ConvertFilter(wire.filter(), "filter");
    if (!converted.ok()) return converted.status();
    filter = *std::move(converted);
  }
  server::PreparedQuery prepared;
  const absl::Status status = server::PrepareQuery(
      wire, collection->config(), "", filter.has_value() ? &*filter : nullptr, &prepared);
  if (!status.ok()) return status;
  const index::SearchQuery& query = prepared.query;
  index::SearchReceipt receipt = index::DescribeSearch(
      *collection, query, index::SearchAll(*collection, n, query, index::BestKernels()));
  static_cast<index::ReceiptState&>(receipt) = {server::LogOrigin(state.log_id), n,
                                                state.position.state_index,
                                                state.position.state_root, index::kRulesVersion};
  return receipt;
}

Query ToQuery(const v1::SearchQuery& wire) {
  Query query;
  query.vector = Vector(wire.vector());
  query.k = wire.k();
  if (wire.has_filter()) query.filter = Filter(wire.filter());
  if (wire.threshold().kind_case() == v1::Threshold::kScore) {
    query.score_threshold = wire.threshold().score();
  } else if (wire.has_threshold()) {
    query.distance_raw_max = wire.threshold().distance_raw_max();
  }
  return query;
}

absl::StatusOr<index::SearchReceipt> ReadUnchecked(const std::string& bytes) {
  if (bytes.empty()) {
    return absl::UnimplementedError("the server gave no receipt: it is too old to make them");
  }
  std::string error;
  const auto parsed = index::ParseSignedReceipt(bytes, &error);
  auto receipt =
      parsed.has_value() ? index::ParseSearchReceipt(parsed->note.text, &error) : std::nullopt;
  if (receipt.has_value()) return *std::move(receipt);
  return absl::DataLossError(absl::StrCat("the server's receipt, ", error));
}

}  // namespace

absl::StatusOr<GoldenSource> OpenSnapshotSource(const std::string& path) {
  auto loaded = server::LoadSnapshotState(path);
  if (!loaded.ok()) return loaded.status();
  const auto state = std::make_shared<const server::OfflineState>(*std::move(loaded));
  GoldenSource source;
  source.state.log = server::LogOrigin(state->log_id);
  source.state.log_index = state->position.log_index;
  source.state.state_index = state->position.state_index;
  source.state.state_root = Hex(state->position.state_root);
  source.state.snapshot_hash = Hex(*state->snapshot_hash);
  source.ask = [state](const std::string& collection, const v1::SearchQuery& query) {
    return SearchOffline(*state, collection, query);
  };
  return source;
}

absl::StatusOr<GoldenSource> OpenServerSource(Client* client, std::optional<uint64_t> at_index) {
  const auto info = client->ServerInfo();
  if (!info.ok()) return info.status();
  const v1::Position& position = info->position();
  GoldenSource source;
  source.state.log = info->checkpoint_key().name();
  source.state.log_index = position.log_index();
  source.state.state_index = position.state_index();
  source.state.state_root = Hex(position.state_root());
  ReadOptions options;
  options.receipt = true;
  options.at_index = at_index.value_or(position.log_index());
  source.ask = [client, options](
                   const std::string& collection,
                   const v1::SearchQuery& query) -> absl::StatusOr<index::SearchReceipt> {
    const auto response = client->Search(collection, ToQuery(query), {}, options);
    if (!response.ok()) return response.status();
    return ReadUnchecked(response->receipt());
  };
  return source;
}

}  // namespace stele::client::cli
