// The C++ client of a Stele server.
//
//   auto client = stele::client::Client::Connect({.address = "127.0.0.1:7420"});
//   client->CreateCollection("notes", 3, stele::v1::METRIC_COSINE);
//   client->Upsert("notes", {{.id = "a", .vector = {0.1, 0.2, 0.3}, .attributes = {{"year",
//   2024}}}}); auto found = client->Search("notes", {.vector = {0.1, 0.2, 0.3}, .k = 5});
//
// Replies are the messages of stele/v1, each with the position it reflects. Errors are
// absl::Status; GetErrorDetails (status.h) reads the server's reason and fields from them.
//
// Does not cache replies, convert floats or evaluate filters: the server does, deterministically.
//
// Thread-safe; copies share one connection.
//
// Invariants:
//  1. Every write carries a request id that its retries keep, so it takes effect at most once.
//  2. A server that is not there, or has no room now, is asked again with backoff until the
//     deadline (retry.h); no other failure is.
//  3. With Options::read_your_writes a read never shows a state older than this client's last
//     acknowledged write (unless it names at_index).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/batch_builder.h"
#include "client/bulk_writer.h"
#include "client/filter.h"
#include "client/options.h"
#include "client/record.h"
#include "client/status.h"
#include "client/value.h"
#include "client/vector.h"
#include "stele/v1/admin_service.pb.h"
#include "stele/v1/audit_service.pb.h"
#include "stele/v1/collection_service.pb.h"
#include "stele/v1/diff.pb.h"
#include "stele/v1/history.pb.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client {

class Connection;

// What Upsert did in all of its entries.
struct UpsertResult {
  // Of the last entry.
  v1::Position position = {};
  uint64_t inserted_count = 0;
  uint64_t updated_count = 0;
  // Log entries that were written, and those of them that the server had executed before.
  uint64_t entry_count = 0;
  uint64_t duplicate_count = 0;
};

struct UpsertOptions {
  BatchLimits batch = {};
  size_t window = 8;
  std::optional<absl::Duration> timeout = {};
};

struct ListOptions {
  std::optional<Filter> filter = {};
  Select select = {};
  // 0: the server's default.
  int32_t page_size = 0;
  ReadOptions read = {};
};

// Pages through records in order of id, all at the log index of the first page. Not thread-safe.
class RecordIterator {
 public:
  RecordIterator(std::shared_ptr<Connection> connection, v1::ListRecordsRequest request,
                 std::optional<absl::Duration> timeout);

  // The next page, which may be empty; nothing after the last one; an error ends the iteration.
  absl::StatusOr<std::optional<v1::ListRecordsResponse>> NextPage();

  // The next record; nothing after the last one.
  absl::StatusOr<std::optional<v1::Record>> Next();

 private:
  std::shared_ptr<Connection> connection_;
  v1::ListRecordsRequest request_;
  std::optional<absl::Duration> timeout_;
  bool last_page_seen_ = false;
  v1::ListRecordsResponse page_;
  int next_in_page_ = 0;
};

class Client {
 public:
  // Checks the options and reads the TLS files; connects with the first call.
  static absl::StatusOr<Client> Connect(const Options& options = {});

  // Collections.
  absl::StatusOr<v1::CreateCollectionResponse> CreateCollection(
      absl::string_view name, uint32_t dimension, v1::Metric metric,
      const v1::CollectionOptions& collection_options = {}, const WriteOptions& options = {});
  absl::StatusOr<v1::GetCollectionResponse> GetCollection(absl::string_view name,
                                                          const ReadOptions& options = {});
  // All pages.
  absl::StatusOr<std::vector<v1::Collection>> ListCollections(const ReadOptions& options = {});
  absl::StatusOr<v1::DropCollectionResponse> DropCollection(absl::string_view name,
                                                            const WriteOptions& options = {});

  // Writes. One Write is one log entry: all of its operations happen, or none.
  absl::StatusOr<v1::WriteResponse> Write(std::vector<v1::Operation> operations,
                                          const WriteOptions& options = {});
  // Any number of records, in as many entries as needed; the batches that were acknowledged before
  // an error stay written, and the error says how many records that are.
  absl::StatusOr<UpsertResult> Upsert(absl::string_view collection, std::span<const Record> records,
                                      const UpsertOptions& options = {});
  absl::StatusOr<UpsertResult> Upsert(absl::string_view collection,
                                      std::initializer_list<Record> records,
                                      const UpsertOptions& options = {});
  // The same, but an id that exists is ALREADY_EXISTS and its batch does nothing.
  absl::StatusOr<UpsertResult> Insert(absl::string_view collection, std::span<const Record> records,
                                      const UpsertOptions& options = {});
  absl::StatusOr<v1::WriteResponse> Delete(absl::string_view collection,
                                           const std::vector<std::string>& ids,
                                           const WriteOptions& options = {});
  // At most `limit` records, lowest ids first; 0 means the largest number the server allows.
  // Repeat while WriteResponse::more is set.
  absl::StatusOr<v1::WriteResponse> DeleteByFilter(absl::string_view collection,
                                                   const Filter& filter, uint32_t limit = 0,
                                                   const WriteOptions& options = {});
  // Deletes records and destroys all that was ever written of these ids; in erasable collections.
  absl::StatusOr<v1::WriteResponse> Erase(absl::string_view collection,
                                          const std::vector<std::string>& ids,
                                          const WriteOptions& options = {});
  absl::StatusOr<v1::WriteResponse> EraseByFilter(absl::string_view collection,
                                                  const Filter& filter, uint32_t limit = 0,
                                                  const WriteOptions& options = {});
  absl::StatusOr<v1::WriteResponse> UpdateAttributes(absl::string_view collection,
                                                     absl::string_view id, const Attributes& set,
                                                     const std::vector<std::string>& remove = {},
                                                     const WriteOptions& options = {});
  // For a stream of requests that the caller builds; see bulk_writer.h.
  BulkWriter NewBulkWriter(const BulkWriter::Options& options, BulkWriter::AckCallback on_ack);

  // Reads.
  absl::StatusOr<v1::GetRecordsResponse> Get(absl::string_view collection,
                                             const std::vector<std::string>& ids,
                                             const Select& select = {},
                                             const ReadOptions& options = {});
  RecordIterator List(absl::string_view collection, const ListOptions& options = {});
  absl::StatusOr<v1::CountRecordsResponse> Count(absl::string_view collection,
                                                 const std::optional<Filter>& filter = std::nullopt,
                                                 const ReadOptions& options = {});
  absl::StatusOr<v1::SearchResponse> Search(absl::string_view collection, const Query& query,
                                            const Select& select = {},
                                            const ReadOptions& options = {});
  absl::StatusOr<v1::BatchSearchResponse> BatchSearch(absl::string_view collection,
                                                      std::span<const Query> queries,
                                                      const Select& select = {},
                                                      const ReadOptions& options = {});
  // All versions of a record, newest first, with who wrote them; also of one that is gone. Ends
  // where `on_change` returns an error, which is then returned.
  struct HistoryOptions {
    Select select = {};
    std::optional<uint64_t> to_index = {};  // changes up to this entry
    int32_t page_size = 0;                  // 0: the server's default
    uint64_t min_index = 0;
    std::optional<absl::Duration> timeout = {};  // for each page
  };
  absl::Status History(absl::string_view collection, absl::string_view id,
                       const HistoryOptions& options,
                       const std::function<absl::Status(const v1::RecordChange&)>& on_change);
  // Writes a record as it was after entry `to_index`, or deletes it if it was not there then: a new
  // entry, the ones between stay. WriteOptions::expected_state_index has no meaning.
  absl::StatusOr<v1::RevertRecordResponse> Revert(absl::string_view collection,
                                                  absl::string_view id, uint64_t to_index,
                                                  const WriteOptions& options = {});
  // What became of a write whose reply was lost.
  absl::StatusOr<v1::GetOutcomeResponse> GetOutcome(absl::string_view request_id,
                                                    const ReadOptions& options = {});

  // Operators.
  absl::StatusOr<v1::CreateSnapshotResponse> CreateSnapshot(
      std::optional<absl::Duration> timeout = std::nullopt);
  absl::StatusOr<v1::ListSnapshotsResponse> ListSnapshots(
      std::optional<absl::Duration> timeout = std::nullopt);
  absl::StatusOr<v1::GetServerInfoResponse> ServerInfo(
      std::optional<absl::Duration> timeout = std::nullopt);

  // Auditors. What comes back proves nothing until somebody checks it with a key that they trust:
  // `stele audit verify` does, and docs/format.md says how. ReadOptions::at_index has no meaning.
  // Sizes count entries; 0 means the newest.
  absl::StatusOr<v1::GetCheckpointResponse> GetCheckpoint(uint64_t tree_size = 0,
                                                          const ReadOptions& options = {});
  absl::StatusOr<v1::GetLogInclusionProofResponse> ProveEntry(uint64_t index,
                                                              uint64_t tree_size = 0,
                                                              const ReadOptions& options = {});
  absl::StatusOr<v1::GetLogConsistencyProofResponse> ProveConsistency(
      uint64_t old_size, uint64_t new_size = 0, const ReadOptions& options = {});
  // That the record is, with its content or only its commitment, or is not in the newest state.
  absl::StatusOr<v1::GetRecordProofResponse> ProveRecord(absl::string_view collection,
                                                         absl::string_view id,
                                                         bool commitment_only = false,
                                                         const ReadOptions& options = {});

  // That what entry `index` ordered to be erased is gone; waits for it until the deadline.
  absl::StatusOr<v1::GetErasureCertificateResponse> ErasureCertificate(
      uint64_t index, const ReadOptions& options = {});

  // Hands in a checkpoint with cosignatures of witnesses.
  absl::StatusOr<v1::AddCosignaturesResponse> AddCosignatures(
      absl::string_view note, std::optional<absl::Duration> timeout = std::nullopt);

  // What changed between the states after entries `from` and `to`: the collections, or, where one
  // is named, this collection and its records, in order of id; all pages.
  absl::StatusOr<v1::DiffStatesResponse> DiffStates(uint64_t from, uint64_t to,
                                                    absl::string_view collection = "",
                                                    const ReadOptions& options = {});
  // One search on both states, and why the answers differ.
  absl::StatusOr<v1::DiffSearchResponse> DiffSearch(absl::string_view collection,
                                                    const Query& query, uint64_t from, uint64_t to,
                                                    const ReadOptions& options = {});
  // A search, and what it would have answered without one of these. ReadOptions::at_time has no
  // meaning.
  struct Without {
    std::vector<std::string> ids = {};         // records, left out of the search
    std::optional<std::string> actor = {};     // all entries of an actor
    std::optional<v1::LogRange> entries = {};  // these entries
  };
  absl::StatusOr<v1::CounterfactualSearchResponse> SearchWithout(absl::string_view collection,
                                                                 const Query& query,
                                                                 const Without& without,
                                                                 const ReadOptions& options = {});
  // Nodes of the newest state's trees; see stele/v1/diff.proto.
  absl::StatusOr<v1::GetTreeNodesResponse> TreeNodes(const v1::GetTreeNodesRequest& request,
                                                     const ReadOptions& options = {});

  // Legal holds. Without ids a hold covers the whole collection.
  absl::StatusOr<v1::SetHoldResponse> SetHold(absl::string_view collection, absl::string_view name,
                                              absl::string_view reason,
                                              const std::vector<std::string>& ids = {},
                                              const WriteOptions& options = {});
  absl::StatusOr<v1::ReleaseHoldResponse> ReleaseHold(absl::string_view collection,
                                                      absl::string_view name,
                                                      const WriteOptions& options = {});
  // Of one collection, or of all.
  absl::StatusOr<v1::ListHoldsResponse> ListHolds(absl::string_view collection = "",
                                                  const ReadOptions& options = {});
  // How many entries back states are to be readable.
  absl::StatusOr<v1::SetRetentionResponse> SetRetention(uint64_t history_entries,
                                                        const WriteOptions& options = {});

  // Entries first .. last of the log, or without a `last` the newest one; with `follow` it goes on
  // until `on_entry` returns an error, which is then returned, or the deadline is over. Without
  // `operations` they are left out.
  struct LogOptions {
    uint64_t first = 0;
    std::optional<uint64_t> last = {};
    bool follow = false;
    bool operations = true;
    std::optional<absl::Duration> timeout = {};  // for everything; follow: infinite if not given
  };
  absl::Status ReadLog(const LogOptions& options,
                       const std::function<absl::Status(const v1::LogEntry&)>& on_entry);

  // The newest log index that any reply to this client has shown; 0 before the first.
  uint64_t known_index() const;

 private:
  explicit Client(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  absl::StatusOr<UpsertResult> WriteRecords(absl::string_view collection,
                                            std::span<const Record> records,
                                            const UpsertOptions& options, bool insert);

  std::shared_ptr<Connection> connection_;
};

}  // namespace stele::client
