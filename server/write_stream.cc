#include "server/write_stream.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/statusor.h"
#include "server/errors.h"
#include "server/limits.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/views.h"
#include "server/write_door.h"

namespace stele::server {
namespace {

constexpr char kMethod[] = "WriteStream";
// A stream that has entries in flight adds no more to an engine queue of this length: the queue is
// shared, and full it would refuse, which ends a stream.
constexpr uint64_t kEngineQueueBytes = uint64_t{96} << 20;

// One message, from its arrival to its acknowledgement.
struct Entry {
  enum class State : uint8_t { kReceived, kSubmitted, kAnswered };
  State state = State::kReceived;
  v1::WriteRequest request;  // emptied when it has been converted
  uint64_t bytes = 0;
  bool in_doubt = false;  // its refusal waits for the outcome of an earlier sending
  v1::WriteStreamResponse response;
  absl::Status fatal;  // why the stream ends with this entry
};

// Every event calls Advance, which changes the members and starts whatever can be started, under
// one hold of the mutex: in between, another thread could end the stream, and with it this object.
// gRPC never calls back from within StartRead or StartWrite.
//
// Invariants:
//   1. Entries are submitted one after the other, in order, and none behind one that failed, once
//   its
//      failure is known.
//   2. At most one read, one write and one run of Convert are under way.
//   3. Finish is called once, when nothing that will call back is under way but a read.
class Stream final
    : public grpc::ServerBidiReactor<v1::WriteStreamRequest, v1::WriteStreamResponse> {
 public:
  Stream(grpc::CallbackServerContext* context, const Parts& parts)
      : parts_(parts), began_(std::chrono::steady_clock::now()) {
    absl::StatusOr<Caller> caller = parts_.gate->Admit(*context, kMethod);
    if (!caller.ok()) {
      admitted_ = false;
      finished_ = true;
      End(caller.status());
      return;
    }
    caller_ = *std::move(caller);
    on_closing_.emplace(parts_.gate->closing(),
                        [this] { Advance(false, [this] { stopping_ = true; }); });
    Advance(true, [] {});
  }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override {
    if (admitted_) parts_.gate->Left();
    delete this;
  }

  // `change` is what the event means for the members. `may_work`: this thread may convert, if the
  // executor has no room. Nothing of this object may be touched afterwards.
  template <typename Change>
  void Advance(bool may_work, Change&& change);
  bool MustFinish(absl::Status* status) const;
  bool MayConvert() const;
  bool MayRead() const;
  void End(const absl::Status& status);

  // Converts and submits what has been received, until there is no more or it must wait.
  void Convert();
  Entry* NextToConvert();
  void Answer(Entry* entry, const absl::StatusOr<WriteResult>& result);

  const Parts parts_;
  const std::chrono::steady_clock::time_point began_;
  Caller caller_;
  bool admitted_ = true;

  std::mutex mutex_;
  v1::WriteStreamRequest incoming_;
  std::deque<std::unique_ptr<Entry>> entries_;  // not acknowledged, in order
  uint64_t bytes_ = 0;                          // of entries_
  size_t pending_ = 0;                          // entries that the engine will answer
  bool reading_ = false;
  bool writing_ = false;
  bool converting_ = false;
  bool resolving_ = false;    // the next entry depends on an answer
  bool stalled_ = false;      // the engine's queue is long
  bool half_closed_ = false;  // the client sends no more
  bool stopping_ = false;     // the server takes no more
  bool gone_ = false;         // nobody reads acknowledgements
  bool failed_ = false;       // an entry is fatal
  bool fatal_sent_ = false;   // its acknowledgement, the last message, is out
  absl::Status fatal_;
  bool finished_ = false;
  // Last, so that it goes first: its end waits for a run that is under way.
  std::optional<std::stop_callback<std::function<void()>>> on_closing_;
};

bool Stream::MayRead() const {
  return !reading_ && !half_closed_ && !stopping_ && !gone_ && !failed_ &&
         entries_.size() < kStreamEntriesMax && bytes_ < kStreamBytesMax;
}

bool Stream::MayConvert() const {
  // Entries are converted in order, so the newest tells whether there is one to convert.
  return !converting_ && !resolving_ && !stalled_ && !stopping_ && !gone_ && !failed_ &&
         !entries_.empty() && entries_.back()->state == Entry::State::kReceived;
}

bool Stream::MustFinish(absl::Status* status) const {
  if (writing_ || converting_ || pending_ > 0) return false;
  if (gone_) {
    *status = MakeError(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the stream was cancelled");
    return true;
  }
  *status = fatal_;
  if (fatal_sent_ || (half_closed_ && !failed_ && entries_.empty())) return true;
  if (!stopping_ || failed_) return false;
  // Nothing is pending and nothing is being written: every entry that was submitted is
  // acknowledged.
  *status = MakeError(absl::StatusCode::kUnavailable, "STOPPING",
                      "the server is stopping; send again what was not acknowledged");
  return true;
}

template <typename Change>
void Stream::Advance(bool may_work, Change&& change) {
  absl::Status status;
  bool finish = false;
  bool convert = false;
  {
    const std::lock_guard lock(mutex_);
    change();
    if (finished_) return;
    if (!writing_ && !gone_ && !fatal_sent_ && !entries_.empty() &&
        entries_.front()->state == Entry::State::kAnswered) {
      writing_ = true;
      StartWrite(&entries_.front()->response);
    }
    if (MayRead()) {
      reading_ = true;
      StartRead(&incoming_);
    }
    convert = MayConvert();
    if (convert) converting_ = true;
    finish = MustFinish(&status);
    if (finish) finished_ = true;
  }
  if (finish) return End(status);
  if (!convert || parts_.executor->Submit([this] { Convert(); })) return;
  if (may_work) return Convert();
  // The acknowledgement that is on its way will bring a thread that may.
  bool again = false;
  {
    const std::lock_guard lock(mutex_);
    converting_ = false;
    again = !writing_ && !finished_ && MustFinish(&status);
    if (again) finished_ = true;
  }
  if (again) End(status);
}

void Stream::End(const absl::Status& status) {
  parts_.gate->Finished(kMethod, status, began_);
  Finish(ToGrpc(status));
}

void Stream::OnReadDone(bool ok) {
  Advance(true, [&] {
    reading_ = false;
    if (!ok) {
      half_closed_ = true;
      return;
    }
    auto entry = std::make_unique<Entry>();
    entry->request.Swap(incoming_.mutable_write());
    entry->bytes = entry->request.ByteSizeLong();
    entry->response.set_request_id(entry->request.request_id());
    bytes_ += entry->bytes;
    entries_.push_back(std::move(entry));
  });
}

void Stream::OnWriteDone(bool ok) {
  Advance(true, [&] {
    writing_ = false;
    if (!ok) gone_ = true;
    if (!entries_.front()->fatal.ok()) {
      fatal_ = entries_.front()->fatal;
      fatal_sent_ = true;
    }
    bytes_ -= entries_.front()->bytes;
    entries_.pop_front();
  });
}

void Stream::OnCancel() {
  Advance(true, [&] { gone_ = true; });
}

Entry* Stream::NextToConvert() {
  if (stopping_ || gone_ || failed_ || resolving_) return nullptr;
  const auto next = std::find_if(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry->state == Entry::State::kReceived;
  });
  if (next == entries_.end()) return nullptr;
  // With an answer to come, which will end the stall.
  if (pending_ > 0 && parts_.engine->stats().queue_bytes > kEngineQueueBytes) {
    stalled_ = true;
    return nullptr;
  }
  return next->get();
}

void Stream::Convert() {
  for (;;) {
    Entry* entry = nullptr;
    {
      const std::lock_guard lock(mutex_);
      entry = NextToConvert();
    }
    // converting_ keeps the stream alive.
    if (entry == nullptr) break;
    const NewestCollections collections(*parts_.engine);
    WriteDraft draft = DraftWrite(entry->request, caller_.name, collections.Lookup());
    v1::WriteRequest().Swap(&entry->request);
    {
      const std::lock_guard lock(mutex_);
      entry->state = Entry::State::kSubmitted;
      ++pending_;
      entry->in_doubt = !draft.status.ok();
      resolving_ = entry->in_doubt;
    }
    SubmitDraft(
        parts_.engine, std::move(draft),
        [this, entry](const absl::StatusOr<WriteResult>& result) { Answer(entry, result); });
  }
  // What has come in the meantime is found by Advance.
  Advance(true, [&] { converting_ = false; });
}

void Stream::Answer(Entry* entry, const absl::StatusOr<WriteResult>& result) {
  Advance(false, [&] {
    --pending_;
    // Answers of entries before the one in doubt leave the doubt as it is.
    if (entry->in_doubt) resolving_ = false;
    stalled_ = false;
    const absl::Status status = result.ok() ? StatusOf(*result) : result.status();
    if (status.ok()) {
      FillWriteResponse(*result, entry->response.mutable_ok());
    } else {
      *entry->response.mutable_error() = ToProto(status);
      if (!result.ok() || !IsLogged(*result)) {
        entry->fatal = status;
        failed_ = true;
      }
    }
    entry->state = Entry::State::kAnswered;
  });
}

}  // namespace

grpc::ServerBidiReactor<v1::WriteStreamRequest, v1::WriteStreamResponse>* NewWriteStream(
    grpc::CallbackServerContext* context, const Parts& parts) {
  return new Stream(context, parts);
}

}  // namespace stele::server
