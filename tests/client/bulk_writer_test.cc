// What breaks if these fail: a broken connection loses batches, applies them twice or in another
// order, or an unresponsive server blocks the caller for ever.
#include "client/bulk_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "tests/client/fake_server.h"

namespace stele::client {
namespace {

using testing::FakeServer;
using testing::StreamFault;

class BulkWriterTest : public ::testing::Test {
 protected:
  BulkWriter MakeWriter(size_t window, absl::Duration stall_timeout = absl::Seconds(20)) {
    Options options;
    options.address = server_.address();
    Client client = Client::Connect(options).value();
    BulkWriter::Options writer_options;
    writer_options.window = window;
    writer_options.stall_timeout = stall_timeout;
    return client.NewBulkWriter(writer_options,
                                [this](const BatchAck& ack) { acks_.push_back(ack); });
  }

  static v1::WriteRequest Batch(int number) {
    v1::WriteRequest request;
    v1::RecordInput record;
    record.set_id(absl::StrCat("r", number));
    *record.mutable_vector() = Vector({1.0}).proto();
    *request.add_operations() = UpsertOperation("notes", std::move(record));
    request.set_request_id(absl::StrCat("request-", number));
    return request;
  }

  absl::Status SendAll(BulkWriter* writer, int count) {
    for (int i = 0; i < count; ++i) {
      if (absl::Status status = writer->Send(Batch(i)); !status.ok()) return status;
    }
    return writer->Finish();
  }

  // Acknowledged once each, in order; executed once each, in order.
  void ExpectAllOnce(int count) {
    ASSERT_EQ(acks_.size(), static_cast<size_t>(count));
    const std::vector<std::string> executed = server_.seen().request_ids;
    ASSERT_EQ(executed.size(), static_cast<size_t>(count));
    for (size_t i = 0; i < acks_.size(); ++i) {
      EXPECT_TRUE(acks_[i].result.ok()) << acks_[i].result.status();
      EXPECT_EQ(acks_[i].sequence, i);
      EXPECT_EQ(acks_[i].request_id, absl::StrCat("request-", i));
      EXPECT_EQ(executed[i], absl::StrCat("request-", i));
    }
    EXPECT_EQ(server_.records("notes").size(), static_cast<size_t>(count));
  }

  FakeServer server_;
  std::vector<BatchAck> acks_;
};

TEST_F(BulkWriterTest, AcknowledgesInOrderForEveryWindow) {
  for (const size_t window : {size_t{1}, size_t{2}, size_t{8}, size_t{200}}) {
    FakeServer fresh;
    Options options;
    options.address = fresh.address();
    Client client = Client::Connect(options).value();
    std::vector<uint64_t> sequences;
    BulkWriter::Options writer_options;
    writer_options.window = window;
    BulkWriter writer = client.NewBulkWriter(
        writer_options, [&](const BatchAck& ack) { sequences.push_back(ack.sequence); });
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(writer.Send(Batch(i)).ok());
      ASSERT_LE(writer.in_flight(), window);
    }
    ASSERT_TRUE(writer.Finish().ok());
    EXPECT_EQ(writer.in_flight(), 0U);
    ASSERT_EQ(sequences.size(), 100U);
    EXPECT_TRUE(std::is_sorted(sequences.begin(), sequences.end()));
    EXPECT_EQ(fresh.seen().stream_count, 1U);
  }
}

TEST_F(BulkWriterTest, KeepsSeveralRequestsInFlight) {
  // With the first message hanging, the writer must still have sent the other seven.
  server_.stream_fault = [](uint64_t) { return StreamFault::kHang; };
  BulkWriter writer = MakeWriter(8, absl::Milliseconds(200));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(writer.Send(Batch(i)).ok());
  EXPECT_EQ(writer.in_flight(), 8U);
  EXPECT_EQ(writer.Send(Batch(8)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(BulkWriterTest, SendsAgainAfterABreakBeforeExecution) {
  server_.stream_fault = [](uint64_t i) {
    return i % 7 == 3 ? StreamFault::kBreakBefore : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 40).ok());
  ExpectAllOnce(40);
  EXPECT_GT(server_.seen().stream_count, 5U);
}

TEST_F(BulkWriterTest, ExecutesOnceWhenAcknowledgementsAreLost) {
  server_.stream_fault = [](uint64_t i) {
    return i % 5 == 2 ? StreamFault::kBreakAfter : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 40).ok());
  ExpectAllOnce(40);
  EXPECT_TRUE(std::any_of(acks_.begin(), acks_.end(),
                          [](const BatchAck& ack) { return ack.result->duplicate(); }));
}

TEST_F(BulkWriterTest, ResentRequestsAreUnchanged) {
  server_.stream_fault = [](uint64_t i) {
    return i == 3 ? StreamFault::kBreakAfter : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 10).ok());
  std::map<std::string, std::set<std::string>> contents;
  for (const v1::WriteRequest& write : server_.seen().writes) {
    contents[write.request_id()].insert(write.SerializeAsString());
  }
  EXPECT_LT(contents.size(), server_.seen().writes.size());
  for (const auto& [id, variants] : contents) EXPECT_EQ(variants.size(), 1U) << id;
}

TEST_F(BulkWriterTest, SurvivesARestartOfTheServer) {
  BulkWriter writer = MakeWriter(4);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(writer.Send(Batch(i)).ok());
  server_.Stop();
  server_.Start();
  for (int i = 10; i < 20; ++i) ASSERT_TRUE(writer.Send(Batch(i)).ok());
  ASSERT_TRUE(writer.Finish().ok());
  ExpectAllOnce(20);
}

TEST_F(BulkWriterTest, ALoggedRejectionDoesNotStopTheOthers) {
  server_.reject = [](const v1::WriteRequest& request) {
    return request.request_id() == "request-5"
               ? testing::DetailedError(grpc::StatusCode::ABORTED, "version", "VERSION_MISMATCH")
               : grpc::Status::OK;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 10).ok());
  ASSERT_EQ(acks_.size(), 10U);
  for (size_t i = 0; i < acks_.size(); ++i) EXPECT_EQ(acks_[i].result.ok(), i != 5) << i;
  EXPECT_EQ(ErrorReason(acks_[5].result.status()), "VERSION_MISMATCH");
  EXPECT_EQ(GetErrorDetails(acks_[5].result.status()).request_id, "request-5");
  EXPECT_EQ(server_.seen().stream_count, 1U);
}

TEST_F(BulkWriterTest, AnUnloggedFailureSettlesOneRequestAndTheRestGoesOn) {
  server_.stream_fault = [](uint64_t i) {
    return i == 4 ? StreamFault::kUnloggedError : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 10).ok());
  ASSERT_EQ(acks_.size(), 10U);
  for (size_t i = 0; i < acks_.size(); ++i) EXPECT_EQ(acks_[i].result.ok(), i != 4) << i;
  EXPECT_EQ(server_.records("notes").size(), 9U);
  EXPECT_EQ(server_.seen().stream_count, 2U);
}

TEST_F(BulkWriterTest, WhatTheServerHasNoRoomForIsSentAgain) {
  server_.stream_fault = [](uint64_t i) {
    return i == 4 || i == 5 ? StreamFault::kNoRoom : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(4);
  ASSERT_TRUE(SendAll(&writer, 10).ok());
  ASSERT_EQ(acks_.size(), 10U);
  for (const BatchAck& ack : acks_) EXPECT_TRUE(ack.result.ok()) << ack.result.status();
  EXPECT_EQ(server_.records("notes").size(), 10U);
  EXPECT_GE(server_.seen().stream_count, 3U);
}

TEST_F(BulkWriterTest, AHangingServerIsGivenUp) {
  server_.stream_fault = [](uint64_t i) {
    return i == 2 ? StreamFault::kHang : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(2, absl::Milliseconds(300));
  const absl::Status status = SendAll(&writer, 10);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(acks_.size(), 2U);
  EXPECT_EQ(GetErrorDetails(status).request_id, "request-2");
  EXPECT_EQ(writer.Send(Batch(11)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(BulkWriterTest, AnAbsentServerIsGivenUp) {
  server_.Stop();
  BulkWriter writer = MakeWriter(2, absl::Milliseconds(300));
  EXPECT_EQ(SendAll(&writer, 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_.seen().stream_count, 0U);
}

TEST_F(BulkWriterTest, AFailureOfTheCallItselfIsFinal) {
  server_.failures = {
      testing::DetailedError(grpc::StatusCode::UNAUTHENTICATED, "no key", "KEY_MISSING")};
  BulkWriter writer = MakeWriter(2);
  const absl::Status status = SendAll(&writer, 3);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ErrorReason(status), "KEY_MISSING");
  EXPECT_TRUE(acks_.empty());
}

TEST_F(BulkWriterTest, AnAcknowledgementOfSomethingElseIsRefused) {
  server_.stream_fault = [](uint64_t i) {
    return i == 1 ? StreamFault::kWrongId : StreamFault::kNone;
  };
  BulkWriter writer = MakeWriter(1);
  EXPECT_EQ(SendAll(&writer, 3).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(acks_.size(), 1U);
}

TEST_F(BulkWriterTest, NothingSentNeedsNoStream) {
  BulkWriter writer = MakeWriter(2);
  EXPECT_TRUE(writer.Finish().ok());
  EXPECT_EQ(server_.seen().stream_count, 0U);
}

}  // namespace
}  // namespace stele::client
