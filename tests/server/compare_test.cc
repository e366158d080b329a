// If these fail, a difference between two states is not told, or told wrongly: what changed, why an
// answer changed, or what it would have been without a part of the log.
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <random>
#include <set>

#include "server/replay_without.h"
#include "server/search_diff.h"
#include "server/state_diff.h"
#include "server/tree_nodes.h"
#include "tests/server/wire_server.h"

namespace stele::server {
namespace {

const Stopped kGoOn = [] { return false; };

// What a state holds, by collection and id.
using Records = std::map<std::string, index::Hash>;
using World = std::map<std::string, std::pair<index::LogIndex, Records>>;  // born, records

class CompareTest : public ::testing::Test {
 protected:
  uint64_t Write(const v1::WriteRequest& request) {
    v1::WriteResponse response;
    const grpc::Status status = server_.Write(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.position().log_index();
  }

  uint64_t Put(const std::string& id, float x, int64_t n = 0) {
    v1::Operation operation = Upsert("c", id, {x, 0});
    (*operation.mutable_upsert()->mutable_attributes())["n"].set_int64_value(n);
    return Write(OneWrite("put " + std::to_string(++requests_), operation));
  }

  uint64_t Delete(const std::string& id) {
    v1::Operation operation;
    operation.set_collection("c");
    operation.mutable_delete_record()->set_id(id);
    return Write(OneWrite("delete " + std::to_string(++requests_), operation));
  }

  // From the state in memory.
  World WorldAt(index::LogIndex n) {
    World world;
    const auto view = *server_.engine().Read(n);
    for (const index::Collection* collection = view.SeekCollection({}); collection != nullptr;
         collection = view.SeekCollection(collection->name() + '\0')) {
      auto& [born, records] = world[collection->name()];
      born = collection->born();
      for (const auto* node = collection->records().First(); node; node = node->Next()) {
        const auto* version = index::FindVisible(node->payload.newest.Get(), n);
        if (version == nullptr) continue;
        records[std::string(version->id())] =
            index::RecordCommitment({version->id(), collection->vectors().Row(version->slot()),
                                     version->attributes(), std::nullopt});
      }
    }
    return world;
  }

  static v1::SearchQuery QueryFor(float x, uint32_t k) {
    v1::SearchQuery query;
    query.set_k(k);
    query.mutable_vector()->mutable_floats()->add_values(x);
    query.mutable_vector()->mutable_floats()->add_values(0);
    return query;
  }

  static std::vector<std::string> Ids(const google::protobuf::RepeatedPtrField<v1::Hit>& hits) {
    std::vector<std::string> ids;
    for (const v1::Hit& hit : hits) ids.push_back(hit.record().id());
    return ids;
  }

  static std::string Tell(const google::protobuf::RepeatedPtrField<v1::HitDiff>& differences) {
    std::string text;
    for (const v1::HitDiff& hit : differences) {
      text += hit.id() + " " + v1::HitChange_Name(hit.change()).substr(11) + " " +
              v1::HitReason_Name(hit.reason()).substr(11);
      for (const std::string& id : hit.by_ids()) text += " " + id;
      text += "\n";
    }
    return text;
  }

  v1::DiffSearchResponse DiffSearch(const v1::SearchQuery& query, uint64_t from, uint64_t to) {
    v1::DiffSearchRequest request;
    request.set_collection("c");
    *request.mutable_query() = query;
    request.set_from_index(from);
    request.set_to_index(to);
    const auto plan = DiffSearchPlan::Make(request);
    EXPECT_TRUE(plan.ok()) << plan.status();
    v1::DiffSearchResponse response;
    const absl::Status status = plan->Run(server_.engine(), kGoOn, &response);
    EXPECT_TRUE(status.ok()) << status;
    return response;
  }

  absl::StatusOr<v1::CounterfactualSearchResponse> Without(
      v1::CounterfactualSearchRequest request) {
    request.set_collection("c");
    const auto plan = CounterfactualPlan::Make(request);
    if (!plan.ok()) return plan.status();
    v1::CounterfactualSearchResponse response;
    const absl::Status status = plan->Run(server_.engine(), kGoOn, &response);
    if (!status.ok()) return status;
    return response;
  }

  void RandomStep(std::mt19937& random);
  void ExpectDifference(index::LogIndex from, index::LogIndex to);

  int requests_ = 0;
  WireServer server_;
};

void CompareTest::RandomStep(std::mt19937& random) {
  const auto id = [&] { return "r" + std::to_string(random() % 12); };
  const uint64_t dice = random() % 24;
  if (dice < 12) {
    v1::WriteRequest request;
    request.set_request_id("step " + std::to_string(++requests_));
    std::set<std::string> ids = {id(), id(), id()};
    for (const std::string& name : ids) {
      v1::Operation operation = Upsert("c", name, {static_cast<float>(random() % 3), 0});
      (*operation.mutable_upsert()->mutable_attributes())["n"].set_int64_value(
          static_cast<int64_t>(random() % 2));
      *request.add_operations() = operation;
    }
    *request.add_operations() = Upsert("d", id(), {static_cast<float>(random() % 2), 1});
    Write(request);
  } else if (dice < 20) {
    Delete(id());
  } else if (dice < 22) {
    v1::Operation operation;
    operation.set_collection("c");
    auto* condition = operation.mutable_delete_by_filter()->mutable_filter()->mutable_condition();
    condition->set_attribute("n");
    condition->mutable_equals()->set_int64_value(1);
    Write(OneWrite("filter " + std::to_string(++requests_), operation));
  } else if (dice < 23) {
    server_.Drop("c");
    server_.Create("c", 2, v1::METRIC_L2);
  } else {
    const std::string name = "extra " + std::to_string(random() % 3);
    if (server_.engine().Read(std::nullopt)->FindCollection(name) != nullptr) {
      server_.Drop(name);
    } else {
      server_.Create(name, 2, v1::METRIC_L2);
    }
  }
}

void CompareTest::ExpectDifference(index::LogIndex from, index::LogIndex to) {
  SCOPED_TRACE(std::to_string(from) + " to " + std::to_string(to));
  const World before = WorldAt(from);
  const World after = WorldAt(to);
  const auto made = CompareStates(server_.engine().journal(), from, to, std::nullopt, kGoOn);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->entries_read, to - from);
  std::set<std::string> names;
  for (const auto& [name, unused] : before) names.insert(name);
  for (const auto& [name, unused] : after) names.insert(name);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const auto was = before.find(name);
    const auto is = after.find(name);
    DiffKind kind = DiffKind::kChanged;
    std::map<std::string, DiffKind> records;
    uint64_t removed = 0;
    if (is == after.end()) {
      kind = DiffKind::kRemoved;
      removed = was->second.second.size();
    } else if (was == before.end() || was->second.first != is->second.first) {
      kind = was == before.end() ? DiffKind::kAdded : DiffKind::kReplaced;
      if (was != before.end()) removed = was->second.second.size();
      for (const auto& [id, unused] : is->second.second) records[id] = DiffKind::kAdded;
    } else {
      for (const auto& [id, hash] : was->second.second) {
        const auto now = is->second.second.find(id);
        if (now == is->second.second.end()) {
          records[id] = DiffKind::kRemoved;
          ++removed;
        } else if (now->second != hash) {
          records[id] = DiffKind::kChanged;
        }
      }
      for (const auto& [id, unused] : is->second.second) {
        if (!was->second.second.contains(id)) records[id] = DiffKind::kAdded;
      }
    }
    const auto found = made->collections.find(name);
    if (kind == DiffKind::kChanged && records.empty()) {
      EXPECT_EQ(found, made->collections.end());
      continue;
    }
    ASSERT_NE(found, made->collections.end());
    EXPECT_EQ(found->second.kind, kind);
    EXPECT_EQ(found->second.removed_count, removed);
    const auto alone = CompareStates(server_.engine().journal(), from, to, name, kGoOn);
    ASSERT_TRUE(alone.ok()) << alone.status();
    const CollectionDifference& difference = alone->collections.at(name);
    EXPECT_EQ(difference.removed_count, removed);
    std::vector<std::pair<std::string, DiffKind>> listed;
    for (const RecordDifference& record : difference.records) {
      listed.push_back({record.id, record.kind});
      EXPECT_EQ(record.key, index::RecordKey(name, record.id));
      if (record.kind != DiffKind::kAdded) {
        EXPECT_EQ(record.before->commitment, was->second.second.at(record.id));
      }
      if (record.kind != DiffKind::kRemoved) {
        EXPECT_EQ(record.after->commitment, is->second.second.at(record.id));
      }
    }
    EXPECT_EQ(listed,
              (std::vector<std::pair<std::string, DiffKind>>(records.begin(), records.end())));
  }
}

TEST_F(CompareTest, EqualsComparingWholeStates) {
  std::mt19937 random(20260101);
  server_.Create("c", 2, v1::METRIC_L2);
  server_.Create("d", 2, v1::METRIC_L2);
  for (int step = 0; step < 150; ++step) RandomStep(random);
  const index::LogIndex end = server_.engine().published_index();
  for (int time = 0; time < 60; ++time) {
    index::LogIndex from = random() % (end + 1);
    index::LogIndex to = random() % (end + 1);
    if (from > to) std::swap(from, to);
    if (time % 2 == 0) to = std::min(to, from + random() % 8);
    ExpectDifference(from, to);
  }
  ExpectDifference(0, end);
}

TEST_F(CompareTest, PagesOfRecordsAreTheWhole) {
  server_.Create("c", 2, v1::METRIC_L2);
  const uint64_t from = server_.engine().published_index();
  for (int i = 0; i < 25; ++i) Put("r" + std::to_string(i), 1);
  v1::DiffStatesRequest request;
  request.set_collection("c");
  request.set_from_index(from);
  request.set_to_index(server_.engine().published_index());
  request.set_page_size(7);
  std::vector<std::string> ids;
  do {
    const auto plan = DiffStatesPlan::Make(request);
    ASSERT_TRUE(plan.ok());
    v1::DiffStatesResponse page;
    const absl::Status status = plan->Run(server_.engine(), kGoOn, &page);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_LE(page.records_size(), 7);
    EXPECT_EQ(page.collections(0).added_count(), 25u);
    for (const v1::RecordDiff& record : page.records()) ids.push_back(record.id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(ids.size(), 25u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(CompareTest, EveryReasonOfADifferentAnswer) {
  server_.Create("c", 2, v1::METRIC_L2);
  for (int i = 1; i <= 6; ++i) Put("r" + std::to_string(i), static_cast<float>(i), i);
  const uint64_t from = server_.engine().published_index();
  EXPECT_EQ(DiffSearch(QueryFor(0, 4), from, from).differences_size(), 0);
  Put("r0", 0.5f);  // new, and nearest
  Put("r2", 9);     // far away now
  uint64_t to = Put("r3", 2.5f);
  v1::DiffSearchResponse diff = DiffSearch(QueryFor(0, 4), from, to);
  EXPECT_EQ(Ids(diff.before()), (std::vector<std::string>{"r1", "r2", "r3", "r4"}));
  EXPECT_EQ(Ids(diff.after()), (std::vector<std::string>{"r0", "r1", "r3", "r4"}));
  EXPECT_EQ(Tell(diff.differences()),
            "r0 ENTERED RECORD_ADDED\nr3 MOVED VECTOR_CHANGED\nr2 LEFT VECTOR_CHANGED\n");
  EXPECT_EQ(diff.differences(2).after_distance_raw(), int64_t{81} << 32);
  EXPECT_EQ(diff.differences(2).before_rank(), 2u);
  EXPECT_FALSE(diff.differences(0).has_before_distance_raw());

  // One fewer place: what was not touched is pushed out, by name; the other way it comes back.
  diff = DiffSearch(QueryFor(0, 1), from, to);
  EXPECT_EQ(Tell(diff.differences()), "r0 ENTERED RECORD_ADDED\nr1 LEFT PUSHED_OUT r0\n");
  const uint64_t deleted = Delete("r0");
  diff = DiffSearch(QueryFor(0, 1), to, deleted);
  EXPECT_EQ(Tell(diff.differences()), "r1 ENTERED MADE_ROOM r0\nr0 LEFT RECORD_REMOVED\n");

  v1::SearchQuery filtered = QueryFor(0, 2);
  auto* condition = filtered.mutable_filter()->mutable_condition();
  condition->set_attribute("n");
  condition->mutable_less_than()->set_int64_value(50);
  to = Put("r1", 1, 99);
  diff = DiffSearch(filtered, deleted, to);
  EXPECT_EQ(Tell(diff.differences()), "r4 ENTERED MADE_ROOM r1\nr1 LEFT ATTRIBUTES_CHANGED\n");

  server_.Drop("c");
  diff = DiffSearch(QueryFor(0, 1), to, server_.engine().published_index());
  EXPECT_EQ(Tell(diff.differences()), "r1 LEFT RECORD_REMOVED\n");
}

TEST_F(CompareTest, WithoutRecordsIsASearchOfTheRest) {
  server_.Create("c", 2, v1::METRIC_L2);
  for (int i = 1; i <= 9; ++i) Put("r" + std::to_string(i), static_cast<float>(i));
  v1::CounterfactualSearchRequest request;
  *request.mutable_query() = QueryFor(0, 3);
  for (const char* id : {"r1", "r3", "r9", "none"}) request.mutable_records()->add_ids(id);
  const auto response = Without(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(Ids(response->actual()), (std::vector<std::string>{"r1", "r2", "r3"}));
  EXPECT_EQ(Ids(response->counterfactual()), (std::vector<std::string>{"r2", "r4", "r5"}));
  EXPECT_EQ(Tell(response->differences()),
            "r4 ENTERED MADE_ROOM r1 r3\nr5 ENTERED MADE_ROOM r1 r3\n"
            "r1 LEFT LEFT_OUT\nr3 LEFT LEFT_OUT\n");
  EXPECT_TRUE(response->state_root().empty());
}

// The state without a range of entries is that of a server which never got them, where nothing
// else depends on them.
TEST_F(CompareTest, WithoutEntriesIsTheStateOfALogWithoutThem) {
  server_.Create("c", 2, v1::METRIC_L2);
  Put("a", 1);
  const uint64_t begin = Put("poison", 0);
  Put("b", 5);  // written by the range first, and afterwards
  const uint64_t end = Put("poison too", 0.25f);
  Put("b", 2);
  Put("d", 3);
  Delete("poison too");

  WireServer other;
  other.Create("c", 2, v1::METRIC_L2);
  for (const auto& [id, x] :
       std::vector<std::pair<std::string, float>>{{"a", 1}, {"b", 2}, {"d", 3}}) {
    v1::Operation operation = Upsert("c", id, {x, 0});
    (*operation.mutable_upsert()->mutable_attributes())["n"].set_int64_value(0);
    v1::WriteResponse written;
    ASSERT_TRUE(other.Write(OneWrite("other " + id, operation), &written).ok());
  }
  v1::CounterfactualSearchRequest request;
  *request.mutable_query() = QueryFor(0, 3);
  request.mutable_entries()->set_first_index(begin);
  request.mutable_entries()->set_last_index(end);
  const auto response = Without(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->entries_left_out(), 3u);
  EXPECT_EQ(response->entries_applied(), server_.engine().published_index() + 1);
  EXPECT_EQ(response->outcomes_changed(), 0u);
  const index::Hash root = other.engine().Read(std::nullopt)->position().state_root;
  EXPECT_EQ(response->state_root(), index::AsBytes(root));
  EXPECT_EQ(Ids(response->actual()), (std::vector<std::string>{"poison", "a", "b"}));
  EXPECT_EQ(Ids(response->counterfactual()), (std::vector<std::string>{"a", "b", "d"}));
  EXPECT_EQ(Tell(response->differences()),
            "d ENTERED MADE_ROOM poison\npoison LEFT RECORD_REMOVED\n");

  // Without anything: the state itself.
  request.set_actor("nobody of this name");
  const auto whole = Without(request);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->state_root(),
            index::AsBytes(server_.engine().Read(std::nullopt)->position().state_root));
  EXPECT_EQ(whole->entries_left_out(), 0u);
  EXPECT_EQ(whole->differences_size(), 0);
}

TEST_F(CompareTest, WithoutAnActorIsWithoutAllOfItsEntries) {
  server_.Create("c", 2, v1::METRIC_L2);
  Put("a", 1);
  for (const char* id : {"b", "a"}) {
    WriteTask task;
    task.request_id = std::string("mallory ") + id;
    task.actor = "mallory";
    index::Operation operation;
    operation.collection = "c";
    operation.id = id;
    operation.vector = {0, 0};
    task.operations.push_back(index::Prepare(std::move(operation)));
    std::promise<absl::Status> done;
    server_.engine().Submit(std::move(task), [&](const absl::StatusOr<WriteResult>& result) {
      done.set_value(result.status());
    });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  Put("d", 3);
  v1::CounterfactualSearchRequest request;
  *request.mutable_query() = QueryFor(0, 2);
  request.set_actor("mallory");
  const auto response = Without(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->entries_left_out(), 2u);
  EXPECT_EQ(Ids(response->actual()), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Ids(response->counterfactual()), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(response->counterfactual(0).distance_raw(), int64_t{1} << 32);
}

// What follows from the absence follows.
TEST_F(CompareTest, OtherEntriesComeOutDifferently) {
  server_.Create("c", 2, v1::METRIC_L2);
  const uint64_t first = Put("a", 1);
  v1::Operation update;
  update.set_collection("c");
  update.mutable_update_attributes()->set_id("a");
  (*update.mutable_update_attributes()->mutable_set())["n"].set_int64_value(7);
  Write(OneWrite("update", update));
  v1::CounterfactualSearchRequest request;
  *request.mutable_query() = QueryFor(0, 3);
  request.mutable_entries()->set_first_index(first);
  request.mutable_entries()->set_last_index(first);
  const auto response = Without(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->outcomes_changed(), 1u);
  EXPECT_EQ(response->counterfactual_size(), 0);
}

TEST_F(CompareTest, ACounterfactualEndsWhenNobodyWaits) {
  server_.Create("c", 2, v1::METRIC_L2);
  for (int i = 0; i < 100; ++i) Put("r" + std::to_string(i), 1);
  uint64_t asked = 0;
  const auto replayed = ReplayWithout(
      server_.engine(), server_.engine().published_index(),
      [&](index::LogIndex, const index::CommandHeader&) {
        ++asked;
        return false;
      },
      [&] { return asked > 10; });
  EXPECT_TRUE(absl::IsCancelled(replayed.status())) << replayed.status();
  EXPECT_LT(asked, 60u);
}

}  // namespace
}  // namespace stele::server
