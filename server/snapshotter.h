// Writes snapshots beside everything else, on a thread of its own, and disposes of what the state
// machine has dropped.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "index/snapshot.h"
#include "server/engine.h"
#include "server/reader_registry.h"
#include "storage/journal.h"
#include "storage/snapshot_store.h"

namespace stele::server {

class Snapshotter {
 public:
  // All must outlive the object.
  Snapshotter(const index::StateMachine* state, const storage::Journal* journal,
              storage::SnapshotStore* store, uint32_t snapshots_kept, bool stepped);
  // Finishes what is running and drops what is queued: those who ordered get UNAVAILABLE.
  ~Snapshotter();

  // What a snapshot needs, captured between two entries; `pin` holds its index.
  struct Order {
    index::SnapshotBasis basis;
    ReaderRegistry::Pin pin;
    std::function<void(absl::StatusOr<SnapshotInfo>)> done;
  };
  // REQUIRES: the entry basis.log_index is durable.
  void Take(std::shared_ptr<Order> order);
  // Runs a task on the thread; dropped when the object is destroyed.
  void Run(std::function<void()> task);
  // Runs one task here; false where there is none. REQUIRES: made with `stepped`, which gives it no
  // thread.
  bool Step();

 private:
  struct Task {
    std::function<void()> run;
    std::shared_ptr<Order> order;  // null: nobody waits
  };
  void Add(Task task);
  absl::StatusOr<SnapshotInfo> Write(const Order& order);
  absl::Status RemoveOldSnapshots();
  void Loop();

  const index::StateMachine* state_;
  const storage::Journal* journal_;
  storage::SnapshotStore* store_;
  const uint32_t snapshots_kept_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool closing_ = false;
  std::thread thread_;
};

// Reads a document from the item row that holds it, and compares it with its part hash.
absl::StatusOr<index::StoredDocument> ReadDocument(const storage::Journal& journal,
                                                   const index::DocumentRef& document);

}  // namespace stele::server
