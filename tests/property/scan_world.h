// A collection, changed as the state machine changes it but without log and trees, so that millions
// of searches can be tried; and beside it what every search must answer, by sorting everything.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "index/collection.h"
#include "index/search.h"
#include "tests/index/arithmetic_data.h"

namespace stele::property {

using Vector = std::vector<int32_t>;

// A query that owns what SearchQuery points to.
struct WorldQuery {
  Vector vector;
  uint32_t k = 1;
  // Only records whose tag is this (which postings can tell), or is below.
  std::optional<int64_t> tag;
  std::optional<int64_t> tag_below;
  std::optional<int64_t> distance_max;
};

// (distance, id), nearest first.
using WorldAnswer = std::vector<std::pair<int64_t, std::string>>;

class ScanWorld {
 public:
  ScanWorld(uint32_t dimension, index::Metric metric);
  ~ScanWorld();
  ScanWorld(const ScanWorld&) = delete;
  ScanWorld& operator=(const ScanWorld&) = delete;

  // Each is one log entry.
  void Upsert(const std::string& id, const Vector& vector, int64_t tag);
  void SetTag(const std::string& id, int64_t tag);
  void Delete(const std::string& id);
  // Everything that died by now is gone for good, and searches are of this index or later. With
  // `recycle` its slots may be used again, else they stay dead.
  void Reclaim(bool recycle);

  const index::Collection& collection() const { return *collection_; }
  index::LogIndex first() const { return horizon_; }
  index::LogIndex last() const { return next_ - 1; }
  uint32_t dimension() const { return collection_->config().dimension; }
  index::Metric metric() const { return collection_->config().metric; }
  // Versions that are visible at some index of [first, last].
  size_t size() const { return versions_.size(); }
  const Vector& vector(size_t version) const { return versions_[version].vector; }
  const std::string& id(size_t version) const { return versions_[version].id; }

  int64_t Distance(const Vector& a, const Vector& b) const;
  WorldAnswer Expected(const WorldQuery& query, index::LogIndex n) const;

 private:
  struct Version {
    std::string id;
    Vector vector;
    int64_t tag;
    index::LogIndex born;
    index::LogIndex died;
  };
  // A version that died; its slot with it unless a newer version has it.
  struct Dead {
    index::RecordVersion* version;
    bool frees_slot;
  };

  void Add(index::RecordNode* node, bool linked, index::RecordVersion* version);
  void Kill(index::RecordVersion* version, bool frees_slot);

  std::unique_ptr<index::Collection> collection_;
  std::vector<Version> versions_;
  std::map<std::string, size_t> live_;  // id -> version
  std::deque<Dead> dead_;
  index::LogIndex next_ = 1;
  index::LogIndex horizon_ = 0;
};

// Answers of the queries, given to one scan together; tags as filters.
std::vector<WorldAnswer> Search(const index::Collection& collection, index::LogIndex n,
                                const std::vector<WorldQuery>& queries,
                                const index::Kernels& kernels, index::SearchCounts* counts);

// The same by `parts` TopHits that take turns, stretches in an order of `random`'s, and tell each
// other what they know as threads do.
std::vector<WorldAnswer> SearchDivided(const index::Collection& collection, index::LogIndex n,
                                       const std::vector<WorldQuery>& queries,
                                       const index::Kernels& kernels, size_t parts,
                                       index::TestRandom& random);

}  // namespace stele::property
