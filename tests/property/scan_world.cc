#include "tests/property/scan_world.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "index/value.h"

namespace stele::property {
namespace {

std::string Attributes(int64_t tag) {
  return index::EncodeAttributes({{"tag", index::EncodeInt64(tag)}});
}

// SearchQuery objects, and the filters that they point to.
struct Prepared {
  explicit Prepared(const std::vector<WorldQuery>& from) : filters(from.size()) {
    for (size_t i = 0; i < from.size(); ++i) {
      index::SearchQuery query;
      query.vector = from[i].vector;
      query.k = from[i].k;
      query.distance_max = from[i].distance_max;
      if (from[i].tag.has_value()) AddTest(index::Filter::Test::kEquals, *from[i].tag, i);
      if (from[i].tag_below.has_value()) AddTest(index::Filter::Test::kLess, *from[i].tag_below, i);
      if (!filters[i].parts.empty()) query.filter = &filters[i];
      queries.push_back(query);
    }
  }
  void AddTest(index::Filter::Test test, int64_t literal, size_t i) {
    index::Filter& part = filters[i].parts.emplace_back();
    part.kind = index::Filter::Kind::kCondition;
    part.test = test;
    part.attribute = "tag";
    part.literals = {index::EncodeInt64(literal)};
  }
  std::vector<index::TopHits> Hits() const {
    std::vector<index::TopHits> hits;
    for (const index::SearchQuery& query : queries) hits.emplace_back(query.k, query.distance_max);
    return hits;
  }

  std::vector<index::Filter> filters;
  std::vector<index::SearchQuery> queries;
};

std::vector<WorldAnswer> Answers(std::vector<index::TopHits>* hits) {
  std::vector<WorldAnswer> answers;
  for (index::TopHits& top : *hits) {
    WorldAnswer& answer = answers.emplace_back();
    for (const index::SearchHit& hit : top.TakeSorted()) {
      answer.emplace_back(hit.distance, std::string(hit.version->id()));
    }
  }
  return answers;
}

}  // namespace

ScanWorld::ScanWorld(uint32_t dimension, index::Metric metric)
    : collection_(std::make_unique<index::Collection>(
          "c", index::CollectionConfig{dimension, metric, ""}, 0, 7)) {}

ScanWorld::~ScanWorld() = default;

void ScanWorld::Add(index::RecordNode* node, bool linked, index::RecordVersion* version) {
  index::RecordVersion* before = node->payload.newest.Get();
  version->older.Set(before);
  if (before != nullptr) before->newer = version;
  node->payload.newest.Set(version);
  if (!linked) collection_->mutable_records().Link(node);
}

void ScanWorld::Kill(index::RecordVersion* version, bool frees_slot) {
  version->died.Set(next_);
  if (frees_slot) collection_->mutable_vectors().MarkDied(version->slot(), next_);
  dead_.push_back({version, frees_slot});
  const auto live = live_.find(std::string(version->id()));
  versions_[live->second].died = next_;
  live_.erase(live);
}

void ScanWorld::Upsert(const std::string& id, const Vector& vector, int64_t tag) {
  index::RecordMap& records = collection_->mutable_records();
  index::VectorStore& vectors = collection_->mutable_vectors();
  index::RecordNode* node = records.Find(id);
  const bool linked = node != nullptr;
  if (!linked) node = records.Prepare(id);
  index::RecordVersion* before = index::Collection::Live(node);
  const index::Slot slot = vectors.Add(vector);
  auto* version = index::RecordVersion::Make(next_, node, slot, Attributes(tag), nullptr);
  collection_->mutable_postings().Add(*version, nullptr);
  vectors.Publish(slot, next_, version);
  Add(node, linked, version);
  if (before != nullptr) Kill(before, true);
  live_[id] = versions_.size();
  versions_.push_back({id, vector, tag, next_, index::kNever});
  ++next_;
}

void ScanWorld::SetTag(const std::string& id, int64_t tag) {
  index::RecordNode* node = collection_->mutable_records().Find(id);
  index::RecordVersion* before = index::Collection::Live(node);
  if (before == nullptr) return;
  auto* version = index::RecordVersion::Make(next_, node, before->slot(), Attributes(tag), nullptr);
  collection_->mutable_postings().Add(*version, before);
  Add(node, true, version);
  collection_->mutable_vectors().SetVersion(version->slot(), version);
  Vector vector = versions_[live_.at(id)].vector;
  Kill(before, false);
  live_[id] = versions_.size();
  versions_.push_back({id, std::move(vector), tag, next_, index::kNever});
  ++next_;
}

void ScanWorld::Delete(const std::string& id) {
  index::RecordVersion* version = index::Collection::Live(collection_->mutable_records().Find(id));
  if (version == nullptr) return;
  Kill(version, true);
  ++next_;
}

void ScanWorld::Reclaim(bool recycle) {
  horizon_ = last();
  std::vector<Version> kept;
  live_.clear();
  for (Version& version : versions_) {
    if (version.died <= horizon_) continue;
    live_[version.id] = kept.size();
    kept.push_back(std::move(version));
  }
  versions_ = std::move(kept);
  if (!recycle) return;
  for (const Dead& dead : dead_) {
    if (dead.frees_slot) collection_->mutable_vectors().Retire(dead.version->slot());
    if (dead.version->newer != nullptr) {
      dead.version->newer->older.Set(nullptr);
    } else {
      index::RecordNode* node = collection_->mutable_records().Find(dead.version->id());
      collection_->mutable_records().Unlink(node);
      index::RecordMap::Free(node);
    }
    std::vector<index::Postings::Garbage> garbage;
    collection_->mutable_postings().Remove(*dead.version, &garbage);
    for (const index::Postings::Garbage& piece : garbage) piece.Free();
    if (dead.frees_slot) collection_->mutable_vectors().Recycle(dead.version->slot());
    index::RecordVersion::Free(dead.version);
  }
  dead_.clear();
}

int64_t ScanWorld::Distance(const Vector& a, const Vector& b) const {
  int64_t distance = 0;
  const bool dot = metric() == index::Metric::kDot;
  for (size_t i = 0; i < a.size(); ++i) {
    const int64_t difference = int64_t{a[i]} - b[i];
    distance += dot ? -(int64_t{a[i]} * b[i]) : difference * difference;
  }
  return distance;
}

WorldAnswer ScanWorld::Expected(const WorldQuery& query, index::LogIndex n) const {
  std::vector<std::pair<int64_t, const std::string*>> all;
  for (const Version& version : versions_) {
    if (version.born > n || version.died <= n) continue;
    if (query.tag.has_value() && version.tag != *query.tag) continue;
    if (query.tag_below.has_value() && version.tag >= *query.tag_below) continue;
    const int64_t distance = Distance(query.vector, version.vector);
    if (query.distance_max.has_value() && distance > *query.distance_max) continue;
    all.emplace_back(distance, &version.id);
  }
  const auto precedes = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : *a.second < *b.second;
  };
  const size_t k = std::min<size_t>(query.k, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(k), all.end(), precedes);
  WorldAnswer answer;
  for (size_t i = 0; i < k; ++i) answer.emplace_back(all[i].first, *all[i].second);
  return answer;
}

std::vector<WorldAnswer> Search(const index::Collection& collection, index::LogIndex n,
                                const std::vector<WorldQuery>& queries,
                                const index::Kernels& kernels, index::SearchCounts* counts) {
  const Prepared prepared(queries);
  const index::SearchScan scan(collection, n, prepared.queries, kernels);
  std::vector<index::TopHits> hits = prepared.Hits();
  std::vector<index::SearchCounts> each(queries.size());
  scan.Scan(0, scan.stretch_count(), hits, each, scan.MakeScratch().get());
  for (const index::SearchCounts& one : each) counts->Add(one);
  return Answers(&hits);
}

std::vector<WorldAnswer> SearchDivided(const index::Collection& collection, index::LogIndex n,
                                       const std::vector<WorldQuery>& queries,
                                       const index::Kernels& kernels, size_t parts,
                                       index::TestRandom& random) {
  const Prepared prepared(queries);
  const index::SearchScan scan(collection, n, prepared.queries, kernels);
  std::vector<std::vector<index::TopHits>> hits(parts, prepared.Hits());
  std::vector<std::shared_ptr<index::SearchScan::Scratch>> scratches;
  for (size_t part = 0; part < parts; ++part) scratches.push_back(scan.MakeScratch());
  std::vector<index::SearchCounts> counts(queries.size());
  std::vector<uint32_t> order(scan.stretch_count());
  std::iota(order.begin(), order.end(), 0u);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  std::vector<int64_t> limits(queries.size(), std::numeric_limits<int64_t>::max());
  for (const uint32_t stretch : order) {
    const size_t part = random.Below(parts);
    std::vector<index::TopHits>& mine = hits[part];
    for (size_t i = 0; i < queries.size(); ++i) mine[i].Tighten(limits[i]);
    scan.Scan(stretch, stretch + 1, mine, counts, scratches[part].get());
    for (size_t i = 0; i < queries.size(); ++i) {
      limits[i] = std::min(limits[i], mine[i].distance_limit());
    }
  }
  for (size_t part = 1; part < parts; ++part) {
    for (size_t i = 0; i < queries.size(); ++i) hits[0][i].Merge(hits[part][i]);
  }
  return Answers(&hits[0]);
}

}  // namespace stele::property
