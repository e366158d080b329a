// What the state remembers of each of the last entries: which request made it, so that a retry is
// known, and the position readers answer with. Entries older than the horizon are forgotten.
//
// Thread safety: one writer; At may run on any thread for entries that the caller holds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "index/command.h"
#include "index/types.h"

namespace stele::index {

struct RequestEntry {
  RequestKey request{};  // zero for entries without a request id
  Hash body{};           // RequestBody; zero likewise
  LogIndex state_index = 0;
  Hash state_root{};
  int64_t timestamp_micros = 0;
};

class RequestLog {
 public:
  // Entries [first, end) as they were when the view was taken; keeps them alive. Any thread may
  // read it.
  class View {
   public:
    LogIndex first() const { return first_; }
    LogIndex end() const { return end_; }
    const RequestEntry& At(LogIndex index) const;

   private:
    friend class RequestLog;
    LogIndex first_ = 0;
    LogIndex end_ = 0;
    std::vector<std::shared_ptr<RequestEntry[]>> ring_;
  };

  RequestLog() : ring_(kRing) {}
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  // The first entry that Append will take.
  void StartAt(LogIndex index) { first_ = next_ = index; }
  // Remembers entry `index`; forgets what has left the horizon. REQUIRES: index continues the log.
  void Append(LogIndex index, const RequestEntry& entry);
  View MakeView() const;

  // REQUIRES: oldest() <= index <= the last appended.
  const RequestEntry& At(LogIndex index) const;
  LogIndex oldest() const { return first_; }
  std::optional<LogIndex> Find(const RequestKey& key) const;
  size_t memory_bytes() const;

 private:
  // Chunks in a ring a little larger than the horizon needs.
  static constexpr uint64_t kChunk = 256;
  static constexpr uint64_t kRing = kDedupEntries / kChunk + 2;

  // Open addressing with linear probing: a place holds the index of an entry, or kNever.
  size_t HomeOf(const RequestKey& key) const;
  size_t PlaceOf(const RequestKey& key) const;
  void Insert(const RequestKey& key, LogIndex index);
  void Erase(const RequestKey& key);
  void Grow();

  LogIndex first_ = 0;
  LogIndex next_ = 0;
  std::vector<std::shared_ptr<RequestEntry[]>> ring_;
  std::vector<LogIndex> places_;
  size_t used_ = 0;
};

}  // namespace stele::index
