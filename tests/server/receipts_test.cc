// If this failed, a receipt would not be of the search that it came with, or could be made to say
// something else.
#include "server/receipts.h"

#include <gmock/gmock.h>

#include "index/filter.h"
#include "server/filter_wire.h"
#include "tests/server/service_fixture.h"

namespace stele::server {
namespace {

class ReceiptsTest : public Service {
 protected:
  void SetUp() override {
    for (const auto& [name, metric] :
         {std::pair("l2", v1::METRIC_L2), {"dot", v1::METRIC_DOT}, {"cosine", v1::METRIC_COSINE}}) {
      server_.Create(name, 5, metric);
      Fill(name, 60);
    }
  }

  const index::VerifierKey& key() { return server_.checkpointer().key(); }

  index::SearchReceipt Read(const std::string& bytes) {
    auto receipt = ReadReceipt(bytes, key());
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    return receipt.value_or(index::SearchReceipt());
  }

  // The log goes on.
  void WriteMore(const std::string& request_id) {
    v1::WriteResponse response;
    const grpc::Status status =
        server_.Write(OneWrite(request_id, Upsert("dot", request_id, {1, 2, 3, 4, 5})), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  v1::SearchResponse Search(const v1::SearchRequest& request) {
    v1::SearchResponse response;
    const grpc::Status status = Call(&Memory::Search, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // What the receipt says is what the reply says.
  void ExpectOf(const index::SearchReceipt& receipt, const v1::Position& position,
                const google::protobuf::RepeatedPtrField<v1::Hit>& hits) {
    EXPECT_EQ(receipt.log_index, position.log_index());
    EXPECT_EQ(receipt.state_index, position.state_index());
    EXPECT_EQ(index::AsBytes(receipt.state_root), position.state_root());
    ASSERT_EQ(receipt.hits.size(), static_cast<size_t>(hits.size()));
    for (size_t i = 0; i < receipt.hits.size(); ++i) {
      const v1::Hit& hit = hits[static_cast<int>(i)];
      EXPECT_EQ(receipt.hits[i].id, hit.record().id());
      EXPECT_EQ(receipt.hits[i].distance, hit.distance_raw());
    }
  }
};

TEST_F(ReceiptsTest, SaysWhatWasAskedAndAnsweredOnWhichState) {
  for (const std::string name : {"l2", "dot", "cosine"}) {
    v1::SearchRequest request = SearchFor(name, {1, -2, 0.5f, 0, 3}, 7);
    EXPECT_TRUE(Search(request).receipt().empty()) << "nobody asked for one";
    request.set_receipt(true);
    *request.mutable_query()->mutable_filter() = LessThan(40);
    request.mutable_query()->mutable_threshold()->set_distance_raw_max(int64_t{1} << 40);
    request.mutable_selector()->set_vector(true);
    request.mutable_selector()->set_attributes(true);
    const v1::SearchResponse response = Search(request);
    const index::SearchReceipt receipt = Read(response.receipt());
    ExpectOf(receipt, response.position(), response.hits());
    EXPECT_EQ(receipt.log, key().name);
    EXPECT_EQ(receipt.collection, name);
    EXPECT_EQ(receipt.k, 7u);
    EXPECT_EQ(receipt.distance_max, int64_t{1} << 40);
    EXPECT_EQ(receipt.dimension, 5u);
    index::Encoder filter;
    index::EncodeFilter(ConvertFilter(LessThan(40), "filter").value(), filter);
    EXPECT_EQ(receipt.filter, filter.bytes());
    std::vector<int32_t> asked = {65536, -131072, 32768, 0, 196608};
    if (name == "cosine") {
      EXPECT_NE(receipt.vector, asked) << "it must be normalised";
    } else {
      EXPECT_EQ(receipt.vector, asked);
    }
    // The distance is that of the vectors, and the commitment that of the record.
    const index::Metric metric = receipt.metric;
    for (size_t i = 0; i < receipt.hits.size(); ++i) {
      const v1::Record& record = response.hits(static_cast<int>(i)).record();
      const std::vector<int32_t> vector = Raw(record.vector_q16());
      int64_t distance = 0;
      for (size_t d = 0; d < vector.size(); ++d) {
        const int64_t a = vector[d], b = receipt.vector[d];
        distance += metric == index::Metric::kDot ? -a * b : (a - b) * (a - b);
      }
      EXPECT_EQ(receipt.hits[i].distance, distance);
      v1::GetRecordProofRequest ask;
      ask.set_collection(name);
      ask.set_id(record.id());
      v1::GetRecordProofResponse proof;
      ASSERT_TRUE(
          WireServer::Call<v1::AuditService::StubInterface>(
              server_.audit.get(), &v1::AuditService::StubInterface::GetRecordProof, ask, &proof)
              .ok());
      std::string error;
      const auto parsed = index::ParseRecordProof(proof.text(), &error);
      ASSERT_TRUE(parsed.has_value()) << error;
      EXPECT_EQ(parsed->commitment, receipt.hits[i].record);
    }
  }
}

TEST_F(ReceiptsTest, TheSameSearchOnTheSameStateHasTheSameReceipt) {
  v1::SearchRequest request = SearchFor("l2", {1, 2, 3, 4, 5}, 5);
  request.set_receipt(true);
  const v1::SearchResponse before = Search(request);
  EXPECT_EQ(Search(request).receipt(), before.receipt());
  WriteMore("more");
  server_.Create("another", 5, v1::METRIC_L2);
  const v1::SearchResponse after = Search(request);
  EXPECT_NE(after.receipt(), before.receipt());
  request.set_at_index(before.position().log_index());
  const v1::SearchResponse past = Search(request);
  EXPECT_EQ(past.receipt(), before.receipt()) << "nothing was signed meanwhile";
  ExpectOf(Read(past.receipt()), before.position(), before.hits());
}

TEST_F(ReceiptsTest, NamesTheCheckpointThatWasSignedLast) {
  v1::SearchRequest request = SearchFor("l2", {1, 2, 3, 4, 5}, 1);
  request.set_receipt(true);
  EXPECT_FALSE(Read(Search(request).receipt()).checkpoint.has_value());
  const auto checkpoint = server_.checkpointer().Make();
  ASSERT_TRUE(checkpoint.ok());
  const v1::SearchResponse response = Search(request);
  const index::SearchReceipt receipt = Read(response.receipt());
  ASSERT_TRUE(receipt.checkpoint.has_value());
  EXPECT_EQ(receipt.checkpoint->first, checkpoint->checkpoint.size);
  EXPECT_EQ(receipt.checkpoint->second, checkpoint->checkpoint.root);
  EXPECT_TRUE(response.receipt().ends_with(checkpoint->note));
}

TEST_F(ReceiptsTest, ABatchGivesOneForEachQuery) {
  v1::BatchSearchRequest request;
  request.set_collection("dot");
  request.set_receipt(true);
  for (const float first : {1.0f, -1.0f, 2.0f}) {
    *request.add_queries() = SearchFor("", {first, 0, 0, 0, 1}, 3).query();
  }
  v1::BatchSearchResponse response;
  ASSERT_TRUE(Call(&Memory::BatchSearch, request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  for (int i = 0; i < 3; ++i) {
    const index::SearchReceipt receipt = Read(response.results(i).receipt());
    ExpectOf(receipt, response.position(), response.results(i).hits());
    EXPECT_EQ(receipt.vector[0], i == 0 ? 65536 : i == 1 ? -65536 : 131072);
  }
  request.set_receipt(false);
  ASSERT_TRUE(Call(&Memory::BatchSearch, request, &response).ok());
  EXPECT_TRUE(response.results(0).receipt().empty());
}

TEST_F(ReceiptsTest, EveryByteCounts) {
  ASSERT_TRUE(server_.checkpointer().Make().ok());
  v1::SearchRequest request = SearchFor("cosine", {1, 2, 3, 4, 5}, 4);
  request.set_receipt(true);
  *request.mutable_query()->mutable_filter() = LessThan(40);
  const std::string bytes = Search(request).receipt();
  ASSERT_TRUE(ReadReceipt(bytes, key()).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const char bit : {'\x01', '\x20'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      const absl::Status status = ReadReceipt(changed, key()).status();
      EXPECT_FALSE(status.ok()) << "byte " << i;
      EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("the ")) << i;
    }
    EXPECT_FALSE(ReadReceipt(bytes.substr(0, i), key()).ok()) << "size " << i;
  }
  EXPECT_FALSE(ReadReceipt(bytes + bytes, key()).ok());
  EXPECT_FALSE(ReadReceipt(bytes + "\n", key()).ok());
  // Of another server, and the checkpoint of another moment.
  WireServer other;
  EXPECT_TRUE(absl::IsPermissionDenied(ReadReceipt(bytes, other.checkpointer().key()).status()));
  WriteMore("newer");
  const auto newer = server_.checkpointer().Make();
  std::string error;
  auto parsed = index::ParseSignedReceipt(bytes, &error);
  ASSERT_TRUE(parsed.has_value()) << error;
  parsed->checkpoint = newer->note;
  EXPECT_FALSE(ReadReceipt(index::EncodeSignedReceipt(*parsed), key()).ok());
  parsed->checkpoint.clear();
  EXPECT_FALSE(ReadReceipt(index::EncodeSignedReceipt(*parsed), key()).ok());
}

// Neither passes for the other, not even with the signature lines exchanged.
TEST_F(ReceiptsTest, AReceiptIsNoCheckpointAndACheckpointNoReceipt) {
  const auto checkpoint = server_.checkpointer().Make();
  v1::SearchRequest request = SearchFor("l2", {1, 2, 3, 4, 5}, 1);
  request.set_receipt(true);
  const std::string bytes = Search(request).receipt();
  EXPECT_FALSE(ReadCheckpoint(bytes, key()).ok());
  EXPECT_FALSE(ReadReceipt(checkpoint->note, key()).ok());
  const SigningKey& signer = server_.checkpointer().signing_key();
  const std::string text = index::EncodeCheckpoint(checkpoint->checkpoint);
  const auto as_receipt = SignReceipt(signer, key().name, text);
  ASSERT_TRUE(as_receipt.ok());
  EXPECT_TRUE(
      absl::IsPermissionDenied(ReadCheckpoint(index::EncodeNote(*as_receipt), key()).status()));
  std::string error;
  const auto parsed = index::ParseSignedReceipt(bytes, &error);
  const auto as_checkpoint = SignNote(signer, key().name, parsed->note.text);
  ASSERT_TRUE(as_checkpoint.ok());
  EXPECT_TRUE(absl::IsPermissionDenied(
      ReadReceipt(index::EncodeSignedReceipt({*as_checkpoint, parsed->checkpoint}), key())
          .status()));
}

TEST_F(ReceiptsTest, ReceiptsCountTowardsTheSizeOfAReply) {
  v1::BatchSearchRequest request;
  request.set_collection("l2");
  request.set_receipt(true);
  v1::SearchQuery query = SearchFor("", {1, 0, 0, 0, 1}, 1).query();
  // The receipt holds the filter once more, in base64.
  auto* list = query.mutable_filter()->mutable_condition()->mutable_one_of();
  query.mutable_filter()->mutable_condition()->set_attribute("n");
  for (int i = 0; i < 200; ++i) list->add_values()->set_string_value(std::string(60'000, 'x'));
  for (int i = 0; i < 5; ++i) *request.add_queries() = query;
  v1::BatchSearchResponse response;
  const grpc::Status status = Call(&Memory::BatchSearch, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  request.set_receipt(false);
  EXPECT_TRUE(Call(&Memory::BatchSearch, request, &response).ok());
}

}  // namespace
}  // namespace stele::server
