#include "server/log_reader.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/commit_record.h"
#include "server/errors.h"

namespace stele::server {
namespace {

constexpr char kMethod[] = "ReadLog";
constexpr int kEntriesMax = 256;
constexpr size_t kBytesMax = size_t{2} << 20;  // one entry may be larger

class LogReader final : public grpc::ServerWriteReactor<v1::ReadLogResponse> {
 public:
  LogReader(grpc::CallbackServerContext* context, const Parts& parts,
            const v1::ReadLogRequest* request)
      : parts_(parts), request_(*request), began_(std::chrono::steady_clock::now()) {
    absl::StatusOr<Caller> caller = parts_.gate->Admit(*context, kMethod);
    admitted_ = caller.ok();
    absl::Status status = caller.status();
    if (status.ok()) status = Prepare();
    if (!status.ok()) {
      End(status);
      return;
    }
    on_closing_.emplace(parts_.gate->closing(), [this] { Stop(Stopping()); });
    Continue();
  }

 private:
  // Resolved once: by the entry that is waited for, or by whoever ends the call.
  struct Wait {
    std::mutex mutex;
    LogReader* reader = nullptr;  // null once resolved
    uint64_t id = 0;              // for CancelWait
  };

  absl::Status Prepare() {
    if (request_.follow() && request_.has_to_index()) {
      return BadField("FOLLOW_WITH_END", "to_index", "a call that follows the log has no end");
    }
    const uint64_t base = parts_.engine->base_index();
    const uint64_t published = parts_.engine->published_index();
    next_ = request_.from_index();
    end_ = request_.has_to_index() ? request_.to_index() : published;
    if (next_ < base || end_ > published || (next_ > end_ && !request_.follow())) {
      return EntryOutOfRange(absl::StrCat("entries ", next_, " to ", end_, ": this log holds ",
                                          base, " to ", published),
                             base, published);
    }
    return absl::OkStatus();
  }

  // Reads, waits or ends. One thread at a time is in here or in what follows from it.
  void Continue() {
    if (request_.follow()) end_ = parts_.engine->published_index();
    if (next_ <= end_) return Submit();
    if (!request_.follow()) return End(absl::OkStatus());
    const auto wait = std::make_shared<Wait>();
    // As soon as others can resolve the wait, this object may be gone.
    Engine* const engine = parts_.engine;
    const uint64_t next = next_;
    absl::Status stop;
    {
      const std::lock_guard lock(mutex_);
      stop = stop_;
      if (stop.ok()) {
        wait->reader = this;
        wait_ = wait;
      }
    }
    if (!stop.ok()) return End(stop);
    const uint64_t id =
        engine->WhenPublished(next, [wait](bool reached) { Resolve(wait, reached); });
    {
      const std::lock_guard lock(wait->mutex);
      wait->id = id;
      if (wait->reader != nullptr) return;
    }
    if (id != 0) engine->CancelWait(id);
  }

  static void Resolve(const std::shared_ptr<Wait>& wait, bool reached) {
    LogReader* reader = nullptr;
    {
      const std::lock_guard lock(wait->mutex);
      std::swap(reader, wait->reader);
    }
    if (reader == nullptr) return;
    if (reached) return reader->Submit();
    reader->End(reader->StopStatus(Stopping()));
  }

  // Why the call ends; `otherwise` if nobody has said so yet.
  absl::Status StopStatus(const absl::Status& otherwise) {
    const std::lock_guard lock(mutex_);
    return stop_.ok() ? otherwise : stop_;
  }

  void Stop(absl::Status status) {
    std::shared_ptr<Wait> wait;
    {
      const std::lock_guard lock(mutex_);
      if (stop_.ok()) stop_ = std::move(status);
      wait = wait_;
    }
    if (wait == nullptr) return;
    LogReader* reader = nullptr;
    uint64_t id = 0;
    {
      const std::lock_guard lock(wait->mutex);
      std::swap(reader, wait->reader);
      id = wait->id;
    }
    if (reader == nullptr) return;
    if (id != 0) parts_.engine->CancelWait(id);
    End(StopStatus(Stopping()));
  }

  void Submit() {
    if (parts_.executor->Submit([this] { Read(); })) return;
    End(Overloaded());
  }

  void Read() {
    if (const absl::Status stop = StopStatus(absl::OkStatus()); !stop.ok()) return End(stop);
    if (request_.follow()) end_ = parts_.engine->published_index();
    response_.Clear();
    size_t bytes = 0;
    absl::Status status = parts_.engine->journal().Scan(
        next_, std::min(end_, next_ + kEntriesMax - 1),
        [&](uint64_t index, std::string_view entry, std::span<const std::string_view> items) {
          if (bytes >= kBytesMax) return absl::CancelledError("enough");
          std::optional<index::EntryRow> row = index::DecodeEntryRow(entry);
          if (!row.has_value()) {
            return absl::DataLossError(absl::StrCat("entry ", index, ": its row is malformed"));
          }
          v1::LogEntry* wire = response_.add_entries();
          wire->set_index(index);
          wire->set_header(std::move(row->header));
          wire->set_commit_record(std::move(row->commit));
          wire->set_effects(std::move(row->effects));
          bytes += entry.size();
          if (request_.without_operations()) return absl::OkStatus();
          for (const std::string_view item : items) {
            wire->add_operations(std::string(item));
            bytes += item.size();
          }
          return absl::OkStatus();
        });
    if (absl::IsCancelled(status)) status = absl::OkStatus();
    if (!status.ok()) {
      return End(MakeError(status.code(), "PROOF_FAILED", std::string(status.message())));
    }
    next_ += static_cast<uint64_t>(response_.entries_size());
    StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      return End(CallCancelled());
    }
    Continue();
  }

  void OnCancel() override { Stop(CallCancelled()); }

  void End(const absl::Status& status) {
    parts_.gate->Finished(kMethod, status, began_);
    Finish(ToGrpc(status));
  }

  void OnDone() override {
    if (admitted_) parts_.gate->Left();
    delete this;
  }

  const Parts parts_;
  const v1::ReadLogRequest request_;
  const std::chrono::steady_clock::time_point began_;
  bool admitted_ = false;
  uint64_t next_ = 0;
  uint64_t end_ = 0;  // the last entry to send, as far as is known
  v1::ReadLogResponse response_;

  std::mutex mutex_;
  absl::Status stop_;           // why the call ends, once it must
  std::shared_ptr<Wait> wait_;  // the newest one
  // Last, so that it goes first: its end waits for a run that is under way.
  std::optional<std::stop_callback<std::function<void()>>> on_closing_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ReadLogResponse>* NewLogReader(grpc::CallbackServerContext* context,
                                                            const Parts& parts,
                                                            const v1::ReadLogRequest* request) {
  return new LogReader(context, parts, request);
}

}  // namespace stele::server
