// If these fail, syncs serve fewer writers than they could, or writers wait for nobody.
#include "server/gathering.h"

#include <gtest/gtest.h>

namespace stele::server {
namespace {

using std::chrono::microseconds;

TEST(GatheringTest, WaitsForAsManyAsWereSeenAtOnce) {
  Gathering gathering;
  EXPECT_EQ(gathering.Wanted(4, 1000), 0u);  // nothing is known yet
  gathering.Synced(4, 4, microseconds(300));
  EXPECT_EQ(gathering.Wanted(4, 1000), 8u);
  EXPECT_EQ(gathering.TimeMax(), microseconds(300));
  gathering.Waited(8, 8);
  gathering.Synced(8, 0, microseconds(200));
  EXPECT_EQ(gathering.Wanted(8, 1000), 0u);
  EXPECT_EQ(gathering.Wanted(7, 1000), 8u);
  EXPECT_EQ(gathering.TimeMax(), microseconds(200));
}

TEST(GatheringTest, AWriterAloneNeverWaits) {
  Gathering gathering;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(gathering.Wanted(1, 1000), 0u);
    gathering.Synced(1, 0, microseconds(300));
  }
}

TEST(GatheringTest, DoesNotWaitWithNothingOrWithMuch) {
  Gathering gathering;
  gathering.Synced(2, 6, microseconds(300));
  EXPECT_EQ(gathering.Wanted(0, 0), 0u);
  EXPECT_EQ(gathering.Wanted(2, Gathering::kBytesMax), 0u);
  EXPECT_EQ(gathering.Wanted(2, Gathering::kBytesMax - 1), 8u);
}

TEST(GatheringTest, WaitsInVainAreTriedLessAndLess) {
  Gathering gathering;
  size_t tried = 0;
  for (int i = 0; i < 1000; ++i) {
    const size_t wanted = gathering.Wanted(2, 1000);
    if (wanted > 0) {
      ++tried;
      gathering.Waited(2, wanted);
    }
    gathering.Synced(2, 2, microseconds(300));
  }
  EXPECT_EQ(tried, 20u);  // after 1, 2, 4 ... 64 groups, then every 64
  // One that is not in vain makes up for them.
  while (gathering.Wanted(2, 1000) == 0) {
  }
  gathering.Waited(4, 4);
  gathering.Synced(4, 0, microseconds(300));
  EXPECT_EQ(gathering.Wanted(2, 1000), 4u);
}

}  // namespace
}  // namespace stele::server
