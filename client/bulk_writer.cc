#include "client/bulk_writer.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/connection.h"
#include "client/request_id.h"
#include "client/retry.h"
#include "client/status.h"

namespace stele::client {
namespace {

enum class Event { kRead, kWritten, kBroken, kTimeout };

// One attempt of the bidirectional call, on gRPC's completion queue so that every wait has its own
// deadline. A read is outstanding from the start until the stream ends.
class StreamCall {
 public:
  explicit StreamCall(Connection* connection) {
    connection->Prepare(absl::InfiniteFuture(), &context_);
    stream_ = connection->memory()->PrepareAsyncWriteStream(&context_, &queue_);
    stream_->StartCall(TagOf(kStart));
  }

  ~StreamCall() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  bool can_write() const { return started_ && !writing_ && !broken_; }

  void Write(const v1::WriteStreamRequest& request) {
    stream_->Write(request, TagOf(kWrite));
    writing_ = true;
  }

  void StartRead() { stream_->Read(&response_, TagOf(kRead)); }

  const v1::WriteStreamResponse& response() const { return response_; }

  Event Next(absl::Time deadline) {
    for (;;) {
      void* tag = nullptr;
      bool ok = false;
      const auto next = queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(deadline));
      if (next == grpc::CompletionQueue::TIMEOUT) return Event::kTimeout;
      if (next == grpc::CompletionQueue::SHUTDOWN) return Event::kBroken;
      if (tag == TagOf(kStart)) {
        started_ = ok;
        if (!ok) return Broken();
        StartRead();
        return Event::kWritten;
      }
      if (tag == TagOf(kRead)) return ok ? Event::kRead : Broken();
      writing_ = false;
      // The reason of a failed write comes with the end of the reads.
      if (ok) return Event::kWritten;
      broken_ = true;
    }
  }

  // How the call ended. Cancels it first if it has not ended by the deadline.
  absl::Status Finish(absl::Time deadline) {
    grpc::Status status;
    stream_->Finish(&status, TagOf(kFinish));
    bool finished = false;
    while (!finished) {
      void* tag = nullptr;
      bool ok = false;
      const auto next = queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(deadline));
      if (next == grpc::CompletionQueue::SHUTDOWN) break;
      if (next == grpc::CompletionQueue::TIMEOUT) {
        context_.TryCancel();
        deadline = absl::InfiniteFuture();
        continue;
      }
      finished = tag == TagOf(kFinish);
    }
    return StatusFromGrpc(status);
  }

  // Tells the server that nothing follows and waits for it to end the call.
  void Close(absl::Time deadline) {
    while (writing_ && !broken_) {
      if (Next(deadline) == Event::kTimeout) return;
    }
    if (!started_ || broken_) return;
    stream_->WritesDone(TagOf(kWrite));
    writing_ = true;
    Event event = Next(deadline);
    while (event == Event::kWritten || event == Event::kRead) {
      if (event == Event::kRead) StartRead();
      event = Next(deadline);
    }
    if (event == Event::kBroken) (void)Finish(deadline);
  }

 private:
  enum Tag : intptr_t { kStart = 1, kRead, kWrite, kFinish };
  static void* TagOf(Tag tag) { return reinterpret_cast<void*>(tag); }

  Event Broken() {
    broken_ = true;
    return Event::kBroken;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::WriteStreamRequest, v1::WriteStreamResponse>>
      stream_;
  v1::WriteStreamResponse response_;
  bool started_ = false;
  bool writing_ = false;
  bool broken_ = false;
};

// A server that shuts down cancels its calls; a request id makes it safe to ask again.
bool IsStreamRetryable(const absl::Status& status) {
  return IsRetryable(status) || status.code() == absl::StatusCode::kCancelled;
}

}  // namespace

class BulkWriter::Impl {
 public:
  Impl(std::shared_ptr<Connection> connection, const Options& options, AckCallback on_ack)
      : connection_(std::move(connection)),
        window_(std::max<size_t>(options.window, 1)),
        stall_timeout_(options.stall_timeout.value_or(connection_->options().timeout)),
        on_ack_(std::move(on_ack)),
        backoff_(connection_->options().on_retry) {}

  absl::Status Send(v1::WriteRequest request) {
    if (!failure_.ok()) return failure_;
    if (request.request_id().empty()) request.set_request_id(NewRequestId());
    if (request.known_index() == 0) request.set_known_index(connection_->known_index());
    if (absl::Status status = Drive(window_ - 1); !status.ok()) return status;
    if (pending_.empty()) MarkProgress();
    pending_.emplace_back();
    *pending_.back().mutable_write() = std::move(request);
    return Drive(window_);
  }

  absl::Status Finish() {
    if (absl::Status status = Drive(0); !status.ok()) return status;
    if (call_ != nullptr) call_->Close(absl::Now() + absl::Seconds(2));
    call_.reset();
    return absl::OkStatus();
  }

  size_t in_flight() const { return pending_.size(); }

 private:
  // Runs until at most `pending_max` requests wait for an acknowledgement and all are written.
  absl::Status Drive(size_t pending_max) {
    while (failure_.ok() && (pending_.size() > pending_max || written_ < pending_.size())) {
      if (call_ == nullptr) call_ = std::make_unique<StreamCall>(connection_.get());
      if (written_ < pending_.size() && call_->can_write()) call_->Write(pending_[written_++]);
      switch (call_->Next(last_progress_ + stall_timeout_)) {
        case Event::kWritten:
          break;
        case Event::kRead:
          HandleAck();
          break;
        case Event::kBroken:
          HandleBroken(call_->Finish(absl::Now() + absl::Seconds(2)));
          break;
        case Event::kTimeout:
          Fail(absl::DeadlineExceededError(
              absl::StrCat("server ", connection_->options().address, ": no acknowledgement for ",
                           absl::FormatDuration(stall_timeout_), " on the write stream")));
          break;
      }
    }
    return failure_;
  }

  void HandleAck() {
    const v1::WriteStreamResponse response = call_->response();
    if (pending_.empty() || response.request_id() != pending_.front().write().request_id()) {
      Fail(absl::InternalError(absl::StrCat("the server acknowledged request '",
                                            response.request_id(), "' out of order")));
      return;
    }
    if (!response.has_ok() && !response.has_error()) {
      Fail(absl::InternalError("the server sent an acknowledgement without a result"));
      return;
    }
    absl::Status error;
    if (response.has_error()) {
      error = StatusFromProto(response.error());
      if (error.ok()) error = absl::InternalError("the server sent an error with code OK");
      // Not executed and not logged: it stays pending, and the stream that ends now is reopened.
      if (IsStreamRetryable(error)) {
        HandleBroken(error);
        return;
      }
      AttachRequestId(response.request_id(), &error);
      last_rejection_ = error.code();
    } else {
      connection_->ObserveWrite(response.ok().position());
      last_rejection_.reset();
    }
    pending_.pop_front();
    --written_;
    MarkProgress();
    call_->StartRead();
    BatchAck ack{sequence_++, response.request_id(), absl::UnknownError("")};
    if (error.ok()) {
      ack.result = response.ok();
    } else {
      ack.result = error;
    }
    if (on_ack_) on_ack_(ack);
  }

  void HandleBroken(const absl::Status& status) {
    call_.reset();
    written_ = 0;
    // The server ends the stream after a failure that it has just reported for one request: that
    // one is settled, those behind it go to a new stream.
    if (last_rejection_.has_value() && (status.ok() || status.code() == *last_rejection_)) {
      last_rejection_.reset();
      return;
    }
    const absl::Status error =
        status.ok() ? absl::UnavailableError("the server ended the write stream early") : status;
    if (!IsStreamRetryable(error) || !backoff_.Wait(error, last_progress_ + stall_timeout_)) {
      Fail(connection_->Explain(error));
    }
  }

  void Fail(const absl::Status& status) {
    failure_ = status;
    if (!pending_.empty()) AttachRequestId(pending_.front().write().request_id(), &failure_);
    call_.reset();
  }

  void MarkProgress() {
    last_progress_ = absl::Now();
    backoff_.Reset();
  }

  const std::shared_ptr<Connection> connection_;
  const size_t window_;
  const absl::Duration stall_timeout_;
  const AckCallback on_ack_;
  Backoff backoff_;
  absl::Status failure_;
  // Not acknowledged; the first `written_` of them have been written to the open call.
  std::deque<v1::WriteStreamRequest> pending_;
  size_t written_ = 0;
  uint64_t sequence_ = 0;
  absl::Time last_progress_;
  std::optional<absl::StatusCode> last_rejection_;
  std::unique_ptr<StreamCall> call_;
};

BulkWriter::BulkWriter(std::shared_ptr<Connection> connection, const Options& options,
                       AckCallback on_ack)
    : impl_(std::make_unique<Impl>(std::move(connection), options, std::move(on_ack))) {}
BulkWriter::~BulkWriter() = default;
BulkWriter::BulkWriter(BulkWriter&&) noexcept = default;
BulkWriter& BulkWriter::operator=(BulkWriter&&) noexcept = default;

absl::Status BulkWriter::Send(v1::WriteRequest request) { return impl_->Send(std::move(request)); }
absl::Status BulkWriter::Finish() { return impl_->Finish(); }
size_t BulkWriter::in_flight() const { return impl_->in_flight(); }

}  // namespace stele::client
