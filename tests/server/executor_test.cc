// If this failed: accepted work could be lost or run twice, or a flood of requests could fill the
// memory.
#include "server/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace stele::server {
namespace {

TEST(Executor, RefusesBeyondItsQueueAndRunsTheRest) {
  std::atomic<int> ran{0};
  int accepted = 0;
  {
    std::promise<void> started, release;  // outlive the threads
    Executor executor(1, 3);
    ASSERT_TRUE(executor.Submit([&] {
      started.set_value();
      release.get_future().wait();
    }));
    started.get_future().wait();
    for (int i = 0; i < 10; ++i) {
      if (executor.Submit([&ran] { ++ran; })) ++accepted;
    }
    EXPECT_EQ(accepted, 3);
    EXPECT_EQ(ran.load(), 0);
    release.set_value();
  }
  EXPECT_EQ(ran.load(), 3);
}

TEST(Executor, UsesAllItsThreads) {
  std::atomic<int> inside{0};
  std::promise<void> all;
  Executor executor(3, 3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(executor.Submit([&] {
      if (++inside == 3) all.set_value();
      while (inside.load() < 3) std::this_thread::yield();
    }));
  }
  EXPECT_EQ(all.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

}  // namespace
}  // namespace stele::server
