// Signals as calls: SIGTERM and SIGINT ask for an orderly stop, SIGHUP for reading the keys again.
//
// A second SIGTERM or SIGINT ends the process at once with 128 + signal; the log is safe at any
// instant.
//
// Thread safety: construct it in main, before there are other threads: they inherit the blocked
// signals.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace stele::server {

class SignalWatcher {
 public:
  struct Actions {
    std::function<void()> stop;    // once
    std::function<void()> reload;  // each time
  };

  // The actions run on a thread of the watcher.
  explicit SignalWatcher(Actions actions);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  void Run();

  const Actions actions_;
  sigset_t signals_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace stele::server
