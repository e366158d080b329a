#include "server/call.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace stele::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::chrono::seconds kWaitMax{60};

// When to give up so that the reply still arrives before the deadline.
system_clock::time_point GiveUpAt(system_clock::time_point deadline) {
  const system_clock::time_point now = system_clock::now();
  if (deadline == system_clock::time_point::max()) return now + kWaitMax;
  const auto left = std::max(deadline - now, system_clock::duration::zero());
  const auto margin =
      std::clamp<system_clock::duration>(left / 5, milliseconds(2), milliseconds(100));
  return deadline - margin;
}

// One wait for a log index. Whatever comes first resolves it: the index, the time, the client.
class IndexWait : public std::enable_shared_from_this<IndexWait> {
 public:
  IndexWait(Engine* engine, index::LogIndex min_index, std::function<void(absl::Status)> then)
      : engine_(engine), min_index_(min_index), then_(std::move(then)) {}

  void Start(Call* call) {
    const auto self = shared_from_this();
    const system_clock::time_point give_up_at = GiveUpAt(call->deadline());
    const std::stop_token closing = call->closing();
    // From here on the wait may be resolved, and the call gone, at any moment.
    call->OnGone([self] { self->Resolve(CallCancelled()); });
    // Held by this object: it must not hold it in turn.
    stopping_.emplace(closing, [weak = weak_from_this()] {
      if (const auto wait = weak.lock()) wait->Resolve(ServerStops());
    });
    {
      const std::lock_guard lock(mutex_);
      if (then_ != nullptr) {
        alarm_ = std::make_unique<grpc::Alarm>();
        alarm_->Set(give_up_at, [self](bool expired) {
          if (expired) self->Resolve(self->NotReached());
        });
      }
    }
    const uint64_t id = engine_->WhenPublished(min_index_, [self](bool reached) {
      self->Resolve(reached ? absl::OkStatus() : ServerStops());
    });
    bool resolved = false;
    {
      const std::lock_guard lock(mutex_);
      id_ = id;
      resolved = then_ == nullptr;
    }
    if (resolved && id != 0) engine_->CancelWait(id);
  }

 private:
  void Resolve(const absl::Status& status) {
    std::unique_ptr<grpc::Alarm> alarm;
    std::function<void(absl::Status)> then;
    uint64_t id = 0;
    {
      const std::lock_guard lock(mutex_);
      std::swap(then, then_);
      std::swap(alarm, alarm_);
      if (!status.ok()) std::swap(id, id_);
    }
    if (id != 0) engine_->CancelWait(id);
    if (then != nullptr) then(status);
  }

  static absl::Status ServerStops() { return Stopping(); }

  absl::Status NotReached() const {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "MIN_INDEX_NOT_REACHED",
                     absl::StrCat("the log has not reached min_index ", min_index_,
                                  " in time; it stands at ", engine_->published_index()),
                     {{"log_index", absl::StrCat(engine_->published_index())}});
  }

  Engine* const engine_;
  const index::LogIndex min_index_;
  std::mutex mutex_;
  std::function<void(absl::Status)> then_;  // null once resolved
  std::unique_ptr<grpc::Alarm> alarm_;
  uint64_t id_ = 0;
  std::optional<std::stop_callback<std::function<void()>>> stopping_;
};

}  // namespace

Call::Call(grpc::CallbackServerContext* context, const Gate* gate, std::string_view method)
    : gate_(gate),
      method_(method),
      began_(std::chrono::steady_clock::now()),
      deadline_(context->deadline()) {
  absl::StatusOr<Caller> caller = gate->Admit(*context, method);
  if (caller.ok()) {
    caller_ = *std::move(caller);
    admitted_ = true;
  } else {
    Done(caller.status());
  }
}

bool Call::Stopped() const { return gone_.load() || system_clock::now() >= deadline_; }

absl::Status Call::StopStatus() const {
  if (system_clock::now() >= deadline_) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                     "the deadline passed before the work was done");
  }
  return CallCancelled();
}

void Call::OnGone(std::function<void()> hook) {
  {
    const std::lock_guard lock(mutex_);
    if (!gone_.load()) {
      hook_ = std::move(hook);
      return;
    }
  }
  hook();
}

void Call::OnCancel() {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    gone_.store(true);
    std::swap(hook, hook_);
  }
  if (hook != nullptr) hook();
}

void Call::OnDone() {
  if (admitted_) gate_->Left();
  delete this;
}

void Call::Done(const absl::Status& status) {
  gate_->Finished(method_, status, began_);
  Finish(ToGrpc(status));
}

void WhenReached(Engine* engine, index::LogIndex min_index, Call* call,
                 std::function<void(absl::Status)> then) {
  if (min_index <= engine->published_index()) return then(absl::OkStatus());
  std::make_shared<IndexWait>(engine, min_index, std::move(then))->Start(call);
}

void RunDetached(Executor* executor, Call* call, std::function<void()> work) {
  const bool accepted = executor->Submit([call, work = std::move(work)] {
    if (call->Stopped()) return call->Done(call->StopStatus());
    work();
  });
  if (accepted) return;
  call->Done(Overloaded());
}

absl::Status Overloaded() {
  return MakeError(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                   "too many requests are waiting; try again later");
}

void EndCall(Call* call, const absl::Status& status) {
  call->Done(absl::IsCancelled(status) && call->Stopped() ? call->StopStatus() : status);
}

void RunOnExecutor(Executor* executor, Call* call, std::function<absl::Status()> work) {
  RunDetached(executor, call, [call, work = std::move(work)] { EndCall(call, work()); });
}

}  // namespace stele::server
