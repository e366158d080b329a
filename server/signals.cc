#include "server/signals.h"

#include <pthread.h>
#include <unistd.h>

#include <utility>

namespace stele::server {
namespace {

constexpr int kWake = SIGUSR2;  // from the destructor; from elsewhere it means nothing

}  // namespace

SignalWatcher::SignalWatcher(Actions actions) : actions_(std::move(actions)) {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, kWake}) sigaddset(&signals_, number);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Run(); });
}

SignalWatcher::~SignalWatcher() {
  ending_.store(true);
  pthread_kill(thread_.native_handle(), kWake);
  thread_.join();
}

void SignalWatcher::Run() {
  bool stopping = false;
  while (true) {
    int number = 0;
    if (sigwait(&signals_, &number) != 0 || ending_.load()) return;
    if (number == kWake) continue;
    if (number == SIGHUP) {
      actions_.reload();
    } else if (stopping) {
      _exit(128 + number);
    } else {
      stopping = true;
      actions_.stop();
    }
  }
}

}  // namespace stele::server
