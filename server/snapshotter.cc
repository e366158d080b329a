#include "server/snapshotter.h"

#include "absl/strings/str_cat.h"
#include "index/command.h"
#include "server/recovery.h"

namespace stele::server {

absl::StatusOr<index::StoredDocument> ReadDocument(const storage::Journal& journal,
                                                   const index::DocumentRef& document) {
  absl::StatusOr<std::string> item = journal.ReadItem(document.index, document.ordinal);
  if (!item.ok()) return item.status();
  index::StoredDocument stored;
  bool salted = false;
  if (item->starts_with(kCarriedDocument)) {
    stored.bytes = item->substr(1);
  } else if (item->starts_with(kCarriedSaltedDocument)) {
    salted = true;
    index::Decoder decoder(std::string_view(*item).substr(1));
    stored.salt = decoder.Digest();
    stored.bytes = std::string(decoder.Raw(decoder.remaining()));
  } else if (auto operation = index::DecodeOperation(*item)) {
    salted = operation->salted;
    if (salted) stored.salt = index::PartSalt(operation->salt, index::PartKind::kDocument);
    stored.bytes = std::move(operation->document);
  }
  if (index::DocumentPart(stored.bytes, salted ? &stored.salt : nullptr) != document.part) {
    return absl::DataLossError(absl::StrCat("item ", document.ordinal, " of entry ", document.index,
                                            " does not hold the document that its record names"));
  }
  return stored;
}

Snapshotter::Snapshotter(const index::StateMachine* state, const storage::Journal* journal,
                         storage::SnapshotStore* store, uint32_t snapshots_kept, bool stepped)
    : state_(state), journal_(journal), store_(store), snapshots_kept_(snapshots_kept) {
  if (!stepped) thread_ = std::thread([this] { Loop(); });
}

Snapshotter::~Snapshotter() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Task& task : tasks_) {
    if (task.order != nullptr) {
      task.order->done(absl::UnavailableError("the server is shutting down"));
    }
  }
}

void Snapshotter::Take(std::shared_ptr<Order> order) {
  const auto run = [this, order] {
    absl::StatusOr<SnapshotInfo> info = Write(*order);
    order->pin = {};
    order->done(std::move(info));
  };
  Add({run, order});
}

void Snapshotter::Run(std::function<void()> task) { Add({std::move(task), nullptr}); }

void Snapshotter::Add(Task task) {
  std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  wake_.notify_all();
}

bool Snapshotter::Step() {
  if (tasks_.empty()) return false;
  const Task task = std::move(tasks_.front());
  tasks_.pop_front();
  task.run();
  return true;
}

void Snapshotter::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !tasks_.empty(); });
    if (closing_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task.run();
    task = {};
    lock.lock();
  }
}

absl::StatusOr<SnapshotInfo> Snapshotter::Write(const Order& order) {
  auto writer = store_->NewWriter(order.basis.log_index);
  if (!writer.ok()) return writer.status();
  absl::Status status;
  index::SnapshotManifest manifest;
  const bool complete = index::WriteSnapshot(
      *state_, order.basis,
      [&](std::string_view bytes) {
        status = (*writer)->Append(bytes);
        return status.ok();
      },
      [&](const index::DocumentRef& document, index::StoredDocument* stored) {
        absl::StatusOr<index::StoredDocument> read = ReadDocument(*journal_, document);
        status = read.status();
        if (read.ok()) *stored = *std::move(read);
        return status.ok();
      },
      &manifest);
  if (!complete) return status;
  status = (*writer)->Commit();
  if (!status.ok()) return status;
  // What is on disk now must be what was written.
  auto file = store_->OpenSnapshot(order.basis.log_index);
  if (!file.ok()) return file.status();
  auto read = ReadManifest(**file);
  if (!read.ok()) return read.status();
  for (const index::SnapshotSection& section : read->sections) {
    if (!index::IsIntact((*file)->bytes(), section)) {
      return absl::DataLossError(absl::StrCat((*file)->path(), ": a section read back differs"));
    }
  }
  if (index::SnapshotHash(*read) != index::SnapshotHash(manifest)) {
    return absl::DataLossError(absl::StrCat((*file)->path(), ": the manifest read back differs"));
  }
  status = RemoveOldSnapshots();
  if (!status.ok()) return status;
  return DescribeSnapshot(**file, *read);
}

absl::Status Snapshotter::RemoveOldSnapshots() {
  auto listed = store_->List();
  if (!listed.ok()) return listed.status();
  for (size_t i = snapshots_kept_; i < listed->size(); ++i) {
    // What the log continues is kept for as long as the log: without it nothing can be replayed.
    if ((*listed)[i].index + 1 == journal_->base_index()) continue;
    absl::Status status = store_->Remove((*listed)[i].index);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace stele::server
