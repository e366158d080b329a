// The write path in single steps, on the caller's thread, for simulations.
#include "server/engine_impl.h"

namespace stele::server {

bool Engine::Impl::Step(Stage stage) {
  switch (stage) {
    case Stage::kApply: {
      if (HandoffIsFull()) return false;
      std::vector<EngineTask> tasks = TakeTasks();
      if (tasks.empty()) return false;
      ApplyTasks(std::move(tasks), &stepped_reclaim_steps);
      return true;
    }
    case Stage::kCommit: {
      const std::unique_ptr<CommitGroup> group = std::move(handoff);
      if (group != nullptr) Commit(std::move(*group));
      return group != nullptr;
    }
    case Stage::kNotify: {
      std::deque<Notice> taken;
      taken.swap(notices);
      const bool any = !taken.empty();
      Notify(std::move(taken));
      return any;
    }
    case Stage::kSnapshot:
      return snapshotter->Step();
  }
  return false;
}

bool Engine::Step(Stage stage) { return impl_->Step(stage); }

}  // namespace stele::server
