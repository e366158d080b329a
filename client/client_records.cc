#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/client_internal.h"

namespace stele::client {
namespace {

// Adds up acknowledgements and remembers the first rejection.
struct UpsertProgress {
  UpsertResult result;
  absl::Status rejection;
  // Of all batches, in order of Send.
  std::vector<size_t> batch_sizes;
  size_t acknowledged_batches = 0;
  size_t acknowledged_records = 0;

  void Add(const v1::WriteResponse& response, size_t record_count) {
    result.position = response.position();
    result.inserted_count += response.inserted_count();
    result.updated_count += response.updated_count();
    ++result.entry_count;
    if (response.duplicate()) ++result.duplicate_count;
    acknowledged_records += record_count;
  }

  void Add(const BatchAck& ack) {
    const size_t record_count = batch_sizes[acknowledged_batches++];
    if (ack.result.ok()) {
      Add(*ack.result, record_count);
    } else if (rejection.ok()) {
      rejection = ack.result.status();
    }
  }

  absl::Status Explain(const absl::Status& status, size_t record_count) const {
    return WithMessage(status, absl::StrCat(status.message(), " (", acknowledged_records, " of ",
                                            record_count, " records are written)"));
  }
};

}  // namespace

absl::StatusOr<v1::WriteResponse> Client::Write(std::vector<v1::Operation> operations,
                                                const WriteOptions& options) {
  v1::WriteRequest request;
  for (v1::Operation& operation : operations) *request.add_operations() = std::move(operation);
  if (options.expected_state_index.has_value()) {
    request.set_expected_state_index(*options.expected_state_index);
  }
  return CallWrite(connection_.get(), connection_->memory(), &v1::MemoryService::Stub::Write,
                   &request, options);
}

absl::StatusOr<UpsertResult> Client::WriteRecords(absl::string_view collection,
                                                  std::span<const Record> records,
                                                  const UpsertOptions& options, bool insert) {
  BatchLimits batch_limits = options.batch;
  const auto limits = connection_->Limits(connection_->Deadline(options.timeout));
  if (limits.ok()) {
    batch_limits = FitTo(*limits, batch_limits);
  } else if (!absl::IsPermissionDenied(limits.status())) {
    return limits.status();
  }

  UpsertProgress progress;
  BulkWriter::Options writer_options;
  writer_options.window = options.window;
  writer_options.stall_timeout = options.timeout;
  BulkWriter writer =
      NewBulkWriter(writer_options, [&progress](const BatchAck& ack) { progress.Add(ack); });
  const auto send = [&](v1::WriteRequest batch) {
    progress.batch_sizes.push_back(static_cast<size_t>(batch.operations_size()));
    return writer.Send(std::move(batch));
  };

  BatchBuilder builder(collection, batch_limits, insert);
  absl::Status status;
  for (const Record& record : records) {
    std::optional<v1::WriteRequest> full = builder.Add(ToProto(record));
    if (full.has_value()) status = send(*std::move(full));
    if (!status.ok() || !progress.rejection.ok()) break;
  }
  std::optional<v1::WriteRequest> last = builder.Flush();
  if (status.ok() && progress.rejection.ok() && last.has_value()) {
    if (progress.batch_sizes.empty()) {
      // Everything fits into one entry: no stream is needed.
      WriteOptions write_options;
      write_options.timeout = options.timeout;
      const auto response = CallWrite(connection_.get(), connection_->memory(),
                                      &v1::MemoryService::Stub::Write, &*last, write_options);
      if (!response.ok()) return progress.Explain(response.status(), records.size());
      progress.Add(*response, records.size());
      return progress.result;
    }
    status = send(*std::move(last));
  }
  if (status.ok()) status = writer.Finish();
  if (!progress.rejection.ok()) return progress.Explain(progress.rejection, records.size());
  if (!status.ok()) return progress.Explain(status, records.size());
  return progress.result;
}

absl::StatusOr<UpsertResult> Client::Upsert(absl::string_view collection,
                                            std::span<const Record> records,
                                            const UpsertOptions& options) {
  return WriteRecords(collection, records, options, false);
}

absl::StatusOr<UpsertResult> Client::Insert(absl::string_view collection,
                                            std::span<const Record> records,
                                            const UpsertOptions& options) {
  return WriteRecords(collection, records, options, true);
}

absl::StatusOr<UpsertResult> Client::Upsert(absl::string_view collection,
                                            std::initializer_list<Record> records,
                                            const UpsertOptions& options) {
  return Upsert(collection, std::span<const Record>(records.begin(), records.size()), options);
}

absl::StatusOr<v1::WriteResponse> Client::Delete(absl::string_view collection,
                                                 const std::vector<std::string>& ids,
                                                 const WriteOptions& options) {
  std::vector<v1::Operation> operations;
  operations.reserve(ids.size());
  for (const std::string& id : ids) operations.push_back(DeleteOperation(collection, id));
  return Write(std::move(operations), options);
}

absl::StatusOr<v1::WriteResponse> Client::DeleteByFilter(absl::string_view collection,
                                                         const Filter& filter, uint32_t limit,
                                                         const WriteOptions& options) {
  v1::Operation operation;
  operation.set_collection(std::string(collection));
  v1::DeleteByFilter* deletion = operation.mutable_delete_by_filter();
  *deletion->mutable_filter() = filter.proto();
  deletion->set_limit(limit);
  return Write({std::move(operation)}, options);
}

absl::StatusOr<v1::WriteResponse> Client::UpdateAttributes(absl::string_view collection,
                                                           absl::string_view id,
                                                           const Attributes& set,
                                                           const std::vector<std::string>& remove,
                                                           const WriteOptions& options) {
  return Write({UpdateOperation(collection, id, set, remove)}, options);
}

BulkWriter Client::NewBulkWriter(const BulkWriter::Options& options,
                                 BulkWriter::AckCallback on_ack) {
  return BulkWriter(connection_, options, std::move(on_ack));
}

absl::StatusOr<v1::GetRecordsResponse> Client::Get(absl::string_view collection,
                                                   const std::vector<std::string>& ids,
                                                   const Select& select,
                                                   const ReadOptions& options) {
  v1::GetRecordsRequest request;
  request.set_collection(std::string(collection));
  for (const std::string& id : ids) request.add_ids(id);
  *request.mutable_selector() = ToProto(select);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->memory(), &v1::MemoryService::Stub::GetRecords, request,
                           connection_->Deadline(options.timeout));
}

RecordIterator Client::List(absl::string_view collection, const ListOptions& options) {
  v1::ListRecordsRequest request;
  request.set_collection(std::string(collection));
  if (options.filter.has_value()) *request.mutable_filter() = options.filter->proto();
  *request.mutable_selector() = ToProto(options.select);
  request.set_page_size(options.page_size);
  FillRead(*connection_, options.read, &request);
  return RecordIterator(connection_, std::move(request), options.read.timeout);
}

absl::StatusOr<v1::CountRecordsResponse> Client::Count(absl::string_view collection,
                                                       const std::optional<Filter>& filter,
                                                       const ReadOptions& options) {
  v1::CountRecordsRequest request;
  request.set_collection(std::string(collection));
  if (filter.has_value()) *request.mutable_filter() = filter->proto();
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->memory(), &v1::MemoryService::Stub::CountRecords, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::SearchResponse> Client::Search(absl::string_view collection, const Query& query,
                                                  const Select& select,
                                                  const ReadOptions& options) {
  v1::SearchRequest request;
  request.set_collection(std::string(collection));
  *request.mutable_query() = ToProto(query);
  *request.mutable_selector() = ToProto(select);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->memory(), &v1::MemoryService::Stub::Search, request,
                           connection_->Deadline(options.timeout));
}

absl::StatusOr<v1::BatchSearchResponse> Client::BatchSearch(absl::string_view collection,
                                                            std::span<const Query> queries,
                                                            const Select& select,
                                                            const ReadOptions& options) {
  v1::BatchSearchRequest request;
  request.set_collection(std::string(collection));
  for (const Query& query : queries) *request.add_queries() = ToProto(query);
  *request.mutable_selector() = ToProto(select);
  FillRead(*connection_, options, &request);
  return connection_->Call(connection_->memory(), &v1::MemoryService::Stub::BatchSearch, request,
                           connection_->Deadline(options.timeout));
}

RecordIterator::RecordIterator(std::shared_ptr<Connection> connection,
                               v1::ListRecordsRequest request,
                               std::optional<absl::Duration> timeout)
    : connection_(std::move(connection)), request_(std::move(request)), timeout_(timeout) {}

absl::StatusOr<std::optional<v1::ListRecordsResponse>> RecordIterator::NextPage() {
  if (last_page_seen_) return std::nullopt;
  auto page = connection_->Call(connection_->memory(), &v1::MemoryService::Stub::ListRecords,
                                request_, connection_->Deadline(timeout_));
  if (!page.ok()) {
    last_page_seen_ = true;
    return page.status();
  }
  last_page_seen_ = page->next_page_token().empty();
  request_.set_page_token(page->next_page_token());
  return std::optional<v1::ListRecordsResponse>(*std::move(page));
}

absl::StatusOr<std::optional<v1::Record>> RecordIterator::Next() {
  while (next_in_page_ == page_.records_size()) {
    absl::StatusOr<std::optional<v1::ListRecordsResponse>> page = NextPage();
    if (!page.ok()) return page.status();
    if (!page->has_value()) return std::nullopt;
    page_ = *std::move(*page);
    next_in_page_ = 0;
  }
  return std::optional<v1::Record>(std::move(*page_.mutable_records(next_in_page_++)));
}

}  // namespace stele::client
