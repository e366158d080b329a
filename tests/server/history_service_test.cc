// If these fail, a record's history is not what happened to it, a revert writes something else or
// twice, or a time names another state than the one of that time. Everything goes over a real
// connection.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

#include "server/record_history.h"
#include "tests/server/bad_input_calls.h"

namespace stele::server {
namespace {

using Attributes = std::map<std::string, int64_t>;

struct Content {
  std::vector<float> vector;
  Attributes attributes;
  std::string document;
  bool operator==(const Content&) const = default;
};

struct Expected {
  uint64_t index = 0;
  v1::ChangeKind kind = v1::CHANGE_KIND_UNSPECIFIED;
  std::string request_id;
  std::optional<Content> content;
};

Content ContentOf(const v1::Record& record) {
  Content content;
  for (size_t i = 0; i + 4 <= record.vector_q16().size(); i += 4) {
    int32_t raw = 0;
    for (size_t b = 4; b-- > 0;) {
      raw = static_cast<int32_t>(static_cast<uint32_t>(raw) << 8 |
                                 static_cast<uint8_t>(record.vector_q16()[i + b]));
    }
    content.vector.push_back(static_cast<float>(raw) / 65536.0f);
  }
  for (const auto& [name, value] : record.attributes()) {
    content.attributes[name] = value.int64_value();
  }
  content.document = record.document();
  return content;
}

class HistoryService : public ::testing::Test {
 protected:
  static constexpr int64_t kBegan = 1'700'000'000'000'000;

  HistoryService() : server_(Options()) {}

  WireServer::Options Options() {
    WireServer::Options options;
    // Times stand still for a while, now and then.
    options.engine.clock_micros = [this] { return kBegan + 1000 * (++ticks_ / 3); };
    options.engine.history_entries = 50;
    return options;
  }

  // Writes through the wire; gives the index.
  uint64_t Write(v1::WriteRequest request) {
    v1::WriteResponse response;
    const grpc::Status status = server_.Write(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.position().log_index();
  }

  v1::Operation UpsertOf(const std::string& collection, const std::string& id,
                         const Content& content) {
    v1::Operation operation = Upsert(collection, id, content.vector);
    for (const auto& [name, value] : content.attributes) {
      (*operation.mutable_upsert()->mutable_attributes())[name].set_int64_value(value);
    }
    operation.mutable_upsert()->set_document(content.document);
    return operation;
  }

  Content RandomContent() {
    Content content;
    content.vector = {static_cast<float>(random_() % 100), 1};
    for (int i = 0; i < 3; ++i) {
      if (random_() % 2 == 0)
        content.attributes["a" + std::to_string(i)] = static_cast<int64_t>(random_() % 10);
    }
    if (random_() % 3 == 0) content.document = "text " + std::to_string(random_());
    return content;
  }

  std::vector<v1::RecordChange> History(v1::GetHistoryRequest request) {
    std::vector<v1::RecordChange> changes;
    do {
      v1::GetHistoryResponse response;
      const grpc::Status status =
          WireServer::Call<Memory>(server_.memory.get(), &Memory::GetHistory, request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (request.page_size() > 0) {
        EXPECT_LE(response.changes_size(), request.page_size());
      }
      changes.insert(changes.end(), response.changes().begin(), response.changes().end());
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return changes;
  }

  static v1::GetHistoryRequest Ask(const std::string& id, int32_t page_size = 0) {
    v1::GetHistoryRequest request;
    request.set_collection("c");
    request.set_id(id);
    request.set_page_size(page_size);
    request.mutable_selector()->set_vector(true);
    request.mutable_selector()->set_attributes(true);
    request.mutable_selector()->set_document(true);
    return request;
  }

  grpc::Status Revert(const std::string& request_id, const std::string& id, uint64_t to_index,
                      v1::RevertRecordResponse* response) {
    v1::RevertRecordRequest request;
    request.set_request_id(request_id);
    request.set_collection("c");
    request.set_id(id);
    request.set_to_index(to_index);
    return WireServer::Call<Memory>(server_.memory.get(), &Memory::RevertRecord, request, response);
  }

  std::optional<Content> Now(const std::string& id) {
    v1::GetRecordsRequest request;
    request.set_collection("c");
    request.add_ids(id);
    *request.mutable_selector() = Ask(id).selector();
    v1::GetRecordsResponse response;
    EXPECT_TRUE(
        WireServer::Call<Memory>(server_.memory.get(), &Memory::GetRecords, request, &response)
            .ok());
    if (response.records().empty()) return std::nullopt;
    return ContentOf(response.records(0));
  }

  // Some hundred random writes to a few records; fills in `expected_`.
  void RunWorld(int steps);
  void Step(int step);
  void Remember(const std::string& id, uint64_t index, v1::ChangeKind kind,
                const std::string& request_id, std::optional<Content> content) {
    expected_[id].push_back({index, kind, request_id, content});
    if (content.has_value()) {
      live_[id] = *content;
    } else {
      live_.erase(id);
    }
  }

  std::atomic<int64_t> ticks_{0};
  std::mt19937 random_{20260101};
  WireServer server_;
  std::map<std::string, std::vector<Expected>> expected_;  // oldest first
  std::map<std::string, Content> live_;
};

void HistoryService::RunWorld(int steps) {
  server_.Create("c", 2, v1::METRIC_L2);
  server_.Create("other", 2, v1::METRIC_L2);
  for (int step = 0; step < steps; ++step) Step(step);
}

void HistoryService::Step(int step) {
  const std::string request_id = "step " + std::to_string(step);
  const auto random_id = [&] { return "r" + std::to_string(random_() % 4); };
  const std::string id = random_id();
  v1::WriteRequest request;
  request.set_request_id(request_id);
  const uint64_t dice = random_() % 20;
  if (dice < 8) {
    // Two records of this collection and one of the same id elsewhere, after a deletion that finds
    // nothing.
    request.add_operations()->set_collection("c");
    request.mutable_operations(0)->mutable_delete_record()->set_id("never there");
    *request.add_operations() = Upsert("other", id, {1, 2});
    std::string second = random_id();
    std::map<std::string, Content> written = {{id, RandomContent()}, {second, RandomContent()}};
    for (const auto& [name, content] : written) {
      *request.add_operations() = UpsertOf("c", name, content);
    }
    const uint64_t index = Write(request);
    for (const auto& [name, content] : written) {
      Remember(name, index,
               live_.contains(name) ? v1::CHANGE_KIND_REPLACED : v1::CHANGE_KIND_CREATED,
               request_id, content);
    }
  } else if (dice < 14 && live_.contains(id)) {
    Content content = live_[id];
    content.attributes["a1"] = step;
    content.attributes.erase("a2");
    request.add_operations()->set_collection("c");
    v1::UpdateAttributes* update = request.mutable_operations(0)->mutable_update_attributes();
    update->set_id(id);
    (*update->mutable_set())["a1"].set_int64_value(step);
    update->add_remove("a2");
    const uint64_t index = Write(request);
    Remember(id, index, v1::CHANGE_KIND_ATTRIBUTES_UPDATED, request_id, content);
  } else if (dice < 17) {
    request.add_operations()->set_collection("c");
    request.mutable_operations(0)->mutable_delete_record()->set_id(id);
    const uint64_t index = Write(request);
    if (live_.contains(id)) {
      Remember(id, index, v1::CHANGE_KIND_DELETED, request_id, std::nullopt);
    }
  } else if (dice < 18) {
    request.add_operations()->set_collection("c");
    v1::Condition* condition = request.mutable_operations(0)
                                   ->mutable_delete_by_filter()
                                   ->mutable_filter()
                                   ->mutable_condition();
    condition->set_attribute("a0");
    condition->set_exists(true);
    const uint64_t index = Write(request);
    for (const auto& [name, content] : std::map<std::string, Content>(live_)) {
      if (!content.attributes.contains("a0")) continue;
      Remember(name, index, v1::CHANGE_KIND_DELETED_BY_FILTER, request_id, std::nullopt);
    }
  } else if (dice < 19) {
    server_.Drop("c");
    const uint64_t index = server_.engine().published_index();
    for (const auto& [name, content] : std::map<std::string, Content>(live_)) {
      Remember(name, index, v1::CHANGE_KIND_COLLECTION_DROPPED, "", std::nullopt);
    }
    server_.Create("c", 2, v1::METRIC_L2);
  }
}

TEST_F(HistoryService, EqualsAModelOfWhatWasDone) {
  RunWorld(300);
  ASSERT_EQ(expected_.size(), 4u);
  std::map<v1::ChangeKind, int> kinds;
  for (const auto& [id, expected] : expected_) {
    for (const int32_t page_size : {0, 3, 1}) {
      const std::vector<v1::RecordChange> changes = History(Ask(id, page_size));
      ASSERT_EQ(changes.size(), expected.size());
      for (size_t i = 0; i < changes.size(); ++i) {
        const v1::RecordChange& change = changes[i];
        const Expected& wanted = expected[expected.size() - 1 - i];
        SCOPED_TRACE(id + " at " + std::to_string(wanted.index));
        EXPECT_EQ(change.log_index(), wanted.index);
        EXPECT_EQ(change.kind(), wanted.kind) << v1::ChangeKind_Name(change.kind());
        if (!wanted.request_id.empty()) {
          EXPECT_EQ(change.request_id(), wanted.request_id);
        }
        EXPECT_EQ(change.has_record(), wanted.content.has_value());
        EXPECT_EQ(change.commitment().size(), wanted.content.has_value() ? 32u : 0u);
        EXPECT_GE(change.timestamp_micros(), kBegan);
        if (wanted.content.has_value()) {
          EXPECT_EQ(change.content_state(), v1::CONTENT_STATE_GIVEN);
          EXPECT_EQ(ContentOf(change.record()), *wanted.content);
          EXPECT_EQ(change.record().version(), wanted.index);
        }
        ++kinds[change.kind()];
      }
    }
  }
  EXPECT_EQ(kinds.size(), 6u);  // all kinds but those of erasure and of restored logs
}

TEST_F(HistoryService, WithoutASelectorThereIsNoContentAndToIndexCutsOff) {
  RunWorld(60);
  v1::GetHistoryRequest request = Ask("r1");
  const std::vector<v1::RecordChange> all = History(request);
  ASSERT_GT(all.size(), 5u);
  request.clear_selector();
  request.set_to_index(all[3].log_index());
  const std::vector<v1::RecordChange> cut = History(request);
  ASSERT_EQ(cut.size(), all.size() - 3);
  EXPECT_EQ(cut.front().log_index(), all[3].log_index());
  for (const v1::RecordChange& change : cut) {
    EXPECT_FALSE(change.has_record());
    EXPECT_EQ(change.content_state(), v1::CONTENT_STATE_NONE);
  }
  EXPECT_TRUE(History(Ask("nobody")).empty());
}

// The version that a walk finds is the one in the log, at a cost that is the record's own.
TEST_F(HistoryService, AWalkReadsTheRecordsVersionsAlone) {
  server_.Create("c", 2, v1::METRIC_L2);
  for (int i = 0; i < 5; ++i) {
    Write(OneWrite("mine" + std::to_string(i), Upsert("c", "mine", {1, 2})));
    for (int j = 0; j < 40; ++j) {
      Write(OneWrite(std::to_string(i) + " " + std::to_string(j), Upsert("c", "x", {1, 2})));
    }
  }
  RecordHistory history(&server_.engine().journal(), "c", "mine", UINT64_MAX);
  int count = 0;
  while ((*history.Next()).has_value()) ++count;
  EXPECT_EQ(count, 5);
  EXPECT_EQ(history.entries_read(), 6u);  // and the collection's creation
}

TEST_F(HistoryService, RevertGivesBackAnyVersionOfTheLog) {
  RunWorld(120);
  // Everything that was, far beyond what is in memory.
  ASSERT_GT(server_.engine().history_index(), 20u);
  int reverts = 0;
  for (const auto& [id, expected] : expected_) {
    for (size_t i = 0; i < expected.size(); i += 3) {
      v1::RevertRecordResponse response;
      const std::string request_id = "revert " + std::to_string(++reverts);
      const grpc::Status status = Revert(request_id, id, expected[i].index, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(Now(id), expected[i].content);
      EXPECT_FALSE(response.duplicate());
      // Again: the first reply, and no new entry.
      const uint64_t before = server_.engine().published_index();
      v1::RevertRecordResponse again;
      ASSERT_TRUE(Revert(request_id, id, expected[i].index, &again).ok());
      EXPECT_TRUE(again.duplicate());
      EXPECT_EQ(again.position().log_index(), response.position().log_index());
      EXPECT_EQ(server_.engine().published_index(), before);
    }
    const std::vector<v1::RecordChange> changes = History(Ask(id));
    EXPECT_EQ(changes.front().request_id().substr(0, 6), "revert");
  }
  EXPECT_GT(reverts, 20);
}

TEST_F(HistoryService, ARevertsRequestIdIsNotUsedTwice) {
  server_.Create("c", 2, v1::METRIC_L2);
  const uint64_t one = Write(OneWrite("one", Upsert("c", "a", {1, 0})));
  const uint64_t two = Write(OneWrite("two", Upsert("c", "a", {2, 0})));
  v1::RevertRecordResponse response;
  ASSERT_TRUE(Revert("r", "a", one, &response).ok());
  EXPECT_EQ(response.updated_count(), 1u);
  EXPECT_EQ(DetailsOf(Revert("r", "a", two, &response)).reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(DetailsOf(Revert("r", "b", one, &response)).reason, "REQUEST_ID_REUSED");
  EXPECT_EQ(DetailsOf(Revert("two", "a", one, &response)).reason, "REQUEST_ID_REUSED");
  // Back to nothing, and back from it.
  ASSERT_TRUE(Revert("gone", "a", one - 1, &response).ok());
  EXPECT_EQ(response.deleted_count(), 1u);
  EXPECT_EQ(Now("a"), std::nullopt);
  ASSERT_TRUE(Revert("gone again", "a", one - 1, &response).ok());
  EXPECT_EQ(response.missing_count(), 1u);
  ASSERT_TRUE(Revert("back", "a", two, &response).ok());
  EXPECT_EQ(response.inserted_count(), 1u);
  EXPECT_EQ(Now("a")->vector, (std::vector<float>{2, 0}));
}

TEST_F(HistoryService, ATimeNamesTheLastEntryThatWasLoggedByThen) {
  server_.Create("c", 2, v1::METRIC_L2);
  std::vector<std::pair<uint64_t, int64_t>> logged;  // index, time
  for (int i = 0; i < 30; ++i) {
    const uint64_t index =
        Write(OneWrite("w" + std::to_string(i), Upsert("c", "r" + std::to_string(i), {1, 2})));
    logged.push_back({index, History(Ask("r" + std::to_string(i))).front().timestamp_micros()});
  }
  const auto count_at = [&](int64_t micros) {
    v1::CountRecordsRequest request;
    request.set_collection("c");
    request.set_at_time_micros(micros);
    v1::CountRecordsResponse response;
    const grpc::Status status =
        WireServer::Call<Memory>(server_.memory.get(), &Memory::CountRecords, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return std::make_pair(response.position().log_index(), response.count());
  };
  ASSERT_EQ(server_.engine().history_index(), 0u);
  for (const auto& [index, time] : logged) {
    for (const int64_t asked : {time - 1, time, time + 1}) {
      uint64_t wanted = 1;
      uint64_t count = 0;
      for (const auto& [other, when] : logged) {
        if (when > asked) continue;
        wanted = other;
        ++count;
      }
      if (count == 0) continue;
      EXPECT_EQ(count_at(asked), std::make_pair(wanted, count));
    }
  }
  EXPECT_EQ(count_at(INT64_MAX).second, 30u);

  // All reads take it, and a page token goes on where the first page was.
  v1::ListRecordsRequest list;
  list.set_collection("c");
  list.set_page_size(4);
  list.set_at_time_micros(logged[9].second);
  const uint64_t count = count_at(logged[9].second).second;
  uint64_t listed = 0;
  do {
    v1::ListRecordsResponse page;
    ASSERT_TRUE(
        WireServer::Call<Memory>(server_.memory.get(), &Memory::ListRecords, list, &page).ok());
    listed += static_cast<uint64_t>(page.records_size());
    list.set_page_token(page.next_page_token());
    Write(OneWrite("between" + std::to_string(listed), Upsert("c", "r00", {1, 2})));
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, count);
}

// The newest entry that a client can name is refused with the horizon, not answered wrongly.
TEST_F(HistoryService, BeforeTheHorizonATimeIsRefused) {
  RunWorld(120);
  v1::CountRecordsRequest request;
  request.set_collection("c");
  request.set_at_time_micros(kBegan);
  v1::CountRecordsResponse response;
  const grpc::Status status =
      WireServer::Call<Memory>(server_.memory.get(), &Memory::CountRecords, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::OUT_OF_RANGE);
  const Details details = DetailsOf(status);
  EXPECT_EQ(details.reason, "AT_TIME_OUT_OF_RANGE");
  EXPECT_EQ(details.metadata.at("history_index"), std::to_string(server_.engine().history_index()));
}

}  // namespace
}  // namespace stele::server
