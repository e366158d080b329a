// Puts the digests of search receipts into the log, many in one entry, for collections that ask for
// it. ADR 5 says why digests, and why so.
//
// An entry is written as soon as `count` digests wait or the oldest has waited for `age`, but not
// before `gap` has passed since the one before: so searches write at most 1 / gap entries a second.
// Equal receipts in one entry are one digest. At most kLoggedReceiptsMax wait; beyond that they are
// dropped. What waits when the process dies is lost; a receipt is good without its digest.
//
// Thread safety: all functions, from any thread. Add does not wait for anything.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "index/types.h"
#include "server/engine.h"

namespace stele::server {

class ReceiptLog {
 public:
  struct Options {
    size_t count = 4096;
    std::chrono::milliseconds age{1000};
    std::chrono::milliseconds gap{100};
  };
  // Told, now and then, how many were not logged, and why. May be null.
  using OnLost = std::function<void(const std::string&)>;

  // The engine outlives it.
  ReceiptLog(Engine* engine, Options options, OnLost on_lost = nullptr);
  // Writes what waits.
  ~ReceiptLog();
  ReceiptLog(const ReceiptLog&) = delete;
  ReceiptLog& operator=(const ReceiptLog&) = delete;

  void Add(const index::Hash& digest);
  // Digests that were not logged since the beginning.
  uint64_t lost() const;

 private:
  struct Lost;
  using Clock = std::chrono::steady_clock;

  void Loop();
  void Write(const std::set<index::Hash>& digests);

  Engine* const engine_;
  const Options options_;
  const std::shared_ptr<Lost> lost_;  // shared with callbacks of the engine

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<index::Hash> waiting_;
  Clock::time_point oldest_{};  // of what waits
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace stele::server
