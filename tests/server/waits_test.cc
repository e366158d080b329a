// If this failed: a wait would not end when it should, a retry would run twice, or a deadline would
// not stop a scan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <random>
#include <thread>

#include "server/limits.h"
#include "server/memory_reads.h"
#include "tests/server/service_fixture.h"

namespace stele::server {
namespace {

TEST_F(Service, MinIndexWaitsForTheEntry) {
  server_.Create("c", 1, v1::METRIC_L2);
  const uint64_t next = server_.engine().published_index() + 1;
  v1::CountRecordsRequest request;
  request.set_collection("c");
  request.set_min_index(next);
  v1::CountRecordsResponse response;
  // More waiters than the server has threads: none may be held.
  std::vector<std::future<grpc::Status>> waiting;
  std::vector<v1::CountRecordsResponse> responses(40);
  for (v1::CountRecordsResponse& one : responses) {
    *request.mutable_filter() = LessThan(9);
    waiting.push_back(std::async(std::launch::async, [this, request, &one] {
      return Call(&Memory::CountRecords, request, &one);
    }));
  }
  EXPECT_EQ(waiting.front().wait_for(milliseconds(200)), std::future_status::timeout);
  v1::CountRecordsRequest now;
  now.set_collection("c");
  ASSERT_TRUE(Call(&Memory::CountRecords, now, &response).ok());
  v1::WriteResponse written;
  v1::Operation operation = Upsert("c", "a", {1});
  (*operation.mutable_upsert()->mutable_attributes())["n"].set_int64_value(1);
  ASSERT_TRUE(server_.Write(OneWrite("w", operation), &written).ok());
  for (std::future<grpc::Status>& one : waiting) EXPECT_TRUE(one.get().ok());
  for (const v1::CountRecordsResponse& one : responses) {
    EXPECT_EQ(one.count(), 1u);
    EXPECT_GE(one.position().log_index(), next);
  }
}

TEST_F(Service, MinIndexGivesUpBeforeTheDeadlineWithAReason) {
  server_.Create("c", 1, v1::METRIC_L2);
  v1::CountRecordsRequest request;
  request.set_collection("c");
  request.set_min_index(1'000'000'000'000);
  v1::CountRecordsResponse response;
  const grpc::Status status = Call(&Memory::CountRecords, request, &response, milliseconds(1000));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(DetailsOf(status).reason, "MIN_INDEX_NOT_REACHED");
  // What is wrong whatever the state is said at once.
  request.set_collection("");
  EXPECT_EQ(DetailsOf(Call(&Memory::CountRecords, request, &response)).reason, "COLLECTION_NAME");
}

TEST_F(Service, MinIndexIsLeftWhenTheClientCancels) {
  server_.Create("c", 1, v1::METRIC_L2);
  for (int i = 0; i < 20; ++i) {
    v1::CountRecordsRequest request;
    request.set_collection("c");
    request.set_min_index(1'000'000'000'000);
    v1::CountRecordsResponse response;
    grpc::ClientContext context;
    std::thread canceller([&] {
      std::this_thread::sleep_for(milliseconds(i));
      context.TryCancel();
    });
    EXPECT_EQ(server_.memory->CountRecords(&context, request, &response).error_code(),
              grpc::StatusCode::CANCELLED);
    canceller.join();
  }
  EXPECT_TRUE(server_.engine().Read(std::nullopt).ok());
}

TEST_F(Service, RetriesGetTheFirstReply) {
  server_.Create("c", 2, v1::METRIC_L2);
  const v1::WriteRequest request = OneWrite("once", Upsert("c", "a", {1, 2}));
  v1::WriteResponse first, second;
  ASSERT_TRUE(server_.Write(request, &first).ok());
  ASSERT_TRUE(server_.Write(request, &second).ok());
  EXPECT_FALSE(first.duplicate());
  EXPECT_TRUE(second.duplicate());
  second.set_duplicate(false);
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());

  // Also when the collection has gone, or is another one of the same name.
  server_.Drop("c");
  v1::WriteResponse third;
  ASSERT_TRUE(server_.Write(request, &third).ok());
  EXPECT_TRUE(third.duplicate());
  EXPECT_EQ(third.position().log_index(), first.position().log_index());
  server_.Create("c", 3, v1::METRIC_L2);
  ASSERT_TRUE(server_.Write(request, &third).ok());
  EXPECT_EQ(third.position().log_index(), first.position().log_index());
  // A new request of the same content is refused, as is a request of the new collection's time.
  v1::WriteRequest fresh = request;
  fresh.set_request_id("other");
  EXPECT_EQ(DetailsOf(server_.Write(fresh, &third)).reason, "DIMENSION_MISMATCH");
  ASSERT_TRUE(server_.Write(OneWrite("late", Upsert("c", "b", {1, 2, 3})), &third).ok());
  EXPECT_EQ(DetailsOf(server_.Write(OneWrite("late", Upsert("c", "b", {1, 2})), &third)).reason,
            "DIMENSION_MISMATCH");
}

TEST_F(Service, GetOutcomeTellsWhatBecameOfARequest) {
  server_.Create("c", 2, v1::METRIC_L2);
  v1::WriteRequest request = OneWrite("yes", Upsert("c", "a", {1, 2}));
  v1::WriteResponse first, ignored;
  ASSERT_TRUE(server_.Write(request, &first).ok());
  const v1::RecordInput input = request.operations(0).upsert();
  *request.mutable_operations(0)->mutable_insert() = input;
  request.set_request_id("no");
  ASSERT_FALSE(server_.Write(request, &ignored).ok());

  v1::GetOutcomeRequest ask;
  v1::GetOutcomeResponse outcome;
  ask.set_request_id("yes");
  ASSERT_TRUE(Call(&Memory::GetOutcome, ask, &outcome).ok());
  EXPECT_EQ(outcome.state(), v1::GetOutcomeResponse::STATE_EXECUTED);
  EXPECT_EQ(outcome.ok().SerializeAsString(), first.SerializeAsString());
  ask.set_request_id("no");
  outcome.Clear();
  ASSERT_TRUE(Call(&Memory::GetOutcome, ask, &outcome).ok());
  EXPECT_EQ(outcome.state(), v1::GetOutcomeResponse::STATE_REJECTED);
  EXPECT_EQ(DetailsOf(outcome.error()).reason, "RECORD_EXISTS");
  ask.set_request_id("never");
  outcome.Clear();
  ASSERT_TRUE(Call(&Memory::GetOutcome, ask, &outcome).ok());
  EXPECT_EQ(outcome.state(), v1::GetOutcomeResponse::STATE_NOT_SEEN);
  EXPECT_EQ(outcome.position().log_index(), server_.engine().published_index());
}

// Counted, not clocked: a scan asks every kRowsPerCheck rows whether anyone still waits, and the
// first "no" ends it.
TEST(Deadlines, StopAScan) {
  WireServer server;
  server.Create("c", 1, v1::METRIC_L2);
  constexpr uint32_t kRows = 8 * kRowsPerCheck;
  for (uint32_t row = 0; row < kRows;) {
    v1::WriteRequest request;
    request.set_request_id("fill" + std::to_string(row));
    for (int i = 0; i < 4096; ++i, ++row) {
      *request.add_operations() = Upsert("c", std::to_string(row), {1});
    }
    v1::WriteResponse ignored;
    ASSERT_TRUE(server.Write(request, &ignored).ok());
  }
  v1::CountRecordsRequest count;
  count.set_collection("c");
  *count.mutable_filter() = LessThan(0);  // matches nothing: only rows are counted
  v1::ListRecordsRequest list;
  list.set_collection("c");
  *list.mutable_filter() = count.filter();
  const auto count_plan = CountPlan::Make(count);
  const auto list_plan = ListPlan::Make(list);
  ASSERT_TRUE(count_plan.ok() && list_plan.ok());

  const std::function<absl::Status(const Stopped&)> scans[] = {
      [&](const Stopped& stopped) {
        v1::CountRecordsResponse response;
        return count_plan->Run(server.engine(), stopped, &response);
      },
      [&](const Stopped& stopped) {
        v1::ListRecordsResponse response;
        return list_plan->Run(server.engine(), stopped, &response);
      }};
  for (const auto& scan : scans) {
    uint32_t asked = 0;
    EXPECT_TRUE(scan([&] { return ++asked == 0; }).ok());
    EXPECT_EQ(asked, kRows / kRowsPerCheck);
    asked = 0;
    EXPECT_TRUE(absl::IsCancelled(scan([&] { return ++asked == 3; })));
    EXPECT_EQ(asked, 3u);
  }
}

TEST_F(Service, ServerInfoIsComplete) {
  server_.Create("c", 1, v1::METRIC_L2);
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(WireServer::Call<Admin>(server_.admin.get(), &Admin::GetServerInfo,
                                      v1::GetServerInfoRequest(), &info)
                  .ok());
  EXPECT_EQ(info.version(), "0.1.0");
  EXPECT_EQ(info.rules_version(), 1u);
  EXPECT_EQ(info.log_id().size(), 16u);
  EXPECT_EQ(info.log_root(), std::string(index::AsBytes(server_.engine().log_root())));
  EXPECT_EQ(info.position().log_index(), 1u);
  EXPECT_EQ(info.position().state_root().size(), 32u);
  EXPECT_EQ(info.search_threads(), 2u);
  EXPECT_FALSE(info.kernel().empty());
  EXPECT_FALSE(info.write_poisoned());
  const google::protobuf::Descriptor* limits = v1::Limits::descriptor();
  for (int i = 0; i < limits->field_count(); ++i) {
    EXPECT_TRUE(v1::Limits::GetReflection()->HasField(info.limits(), limits->field(i)))
        << limits->field(i)->name();
  }
  EXPECT_EQ(info.limits().max_message_bytes(), 64u << 20);
  EXPECT_EQ(info.limits().max_atomic_bytes(), 32u << 20);
}

TEST_F(Service, SnapshotsAreTakenAndListed) {
  server_.Create("c", 5, v1::METRIC_L2);
  Fill("c", 20);
  v1::CreateSnapshotResponse created;
  const grpc::Status status = WireServer::Call<Admin>(server_.admin.get(), &Admin::CreateSnapshot,
                                                      v1::CreateSnapshotRequest(), &created);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(created.snapshot().snapshot_hash().size(), 32u);
  EXPECT_GE(created.position().log_index(), created.snapshot().log_index());
  EXPECT_EQ(created.snapshot().state_root(), created.position().state_root());
  v1::ListSnapshotsResponse list;
  ASSERT_TRUE(WireServer::Call<Admin>(server_.admin.get(), &Admin::ListSnapshots,
                                      v1::ListSnapshotsRequest(), &list)
                  .ok());
  ASSERT_EQ(list.snapshots_size(), 1);
  EXPECT_EQ(list.snapshots(0).SerializeAsString(), created.snapshot().SerializeAsString());
}

TEST(History, PageTokensAndIndicesExpire) {
  WireServer::Options options;
  options.engine.history_entries = 3;
  WireServer server(options);
  server.Create("c", 1, v1::METRIC_L2);
  v1::WriteResponse written;
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(server.Write(OneWrite(id, Upsert("c", id, {1})), &written).ok());
  }
  v1::ListRecordsRequest list;
  list.set_collection("c");
  list.set_page_size(1);
  v1::ListRecordsResponse page;
  ASSERT_TRUE(
      WireServer::Call<Memory>(server.memory.get(), &Memory::ListRecords, list, &page).ok());
  list.set_page_token(page.next_page_token());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(
        server.Write(OneWrite("more" + std::to_string(i), Upsert("c", "c", {1})), &written).ok());
  }
  const grpc::Status status =
      WireServer::Call<Memory>(server.memory.get(), &Memory::ListRecords, list, &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(DetailsOf(status).reason, "PAGE_TOKEN_EXPIRED");
  EXPECT_EQ(DetailsOf(status).metadata.at("history_index"),
            std::to_string(server.engine().history_index()));

  // A token of another log.
  WireServer other;
  other.Create("c", 1, v1::METRIC_L2);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(other.Write(OneWrite(std::to_string(i), Upsert("c", "c", {1})), &written).ok());
  }
  EXPECT_EQ(
      DetailsOf(WireServer::Call<Memory>(other.memory.get(), &Memory::ListRecords, list, &page))
          .reason,
      "PAGE_TOKEN_INVALID");
}

}  // namespace
}  // namespace stele::server
