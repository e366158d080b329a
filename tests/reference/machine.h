// The state machine once more, as plainly as it can be written: maps of values, copied before every
// entry, and every root recomputed from the whole state by its definition. Slow on purpose, and
// sharing with index/ only the structures that describe a command.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "index/command.h"
#include "index/holds.h"
#include "tests/reference/values.h"

namespace stele::reference {

struct Record {
  std::vector<int32_t> vector;
  Attributes attributes;
  std::string document;  // empty: none
  uint64_t version = 0;
  // In an erasable collection: of the operation that wrote it last, and of the one that brought the
  // document. Empty elsewhere.
  std::string salt;
  std::string document_salt;
};

struct Collection {
  index::CollectionConfig config;
  uint64_t born = 0;
  uint64_t state_index = 0;
  std::map<std::string, Record> records;
  index::Holds holds = {};
};

struct State {
  uint32_t rules_version = 0;
  uint64_t state_index = 0;
  std::optional<uint64_t> history_entries;
  std::map<std::string, Collection> collections;
};

struct Hit {
  __int128 distance = 0;
  std::string id;
};

std::string RecordCommitment(const std::string& id, const Record& record);
std::string DocumentPart(const Record& record);
std::string RecordsRoot(const std::string& name, const Collection& collection);
std::string StateRoot(const State& state);

// Sorts every record that matches. No value for `filter` or `distance_max`: no restriction.
std::vector<Hit> Search(const Collection& collection, const std::vector<int32_t>& query, size_t k,
                        const index::Filter* filter, std::optional<int64_t> distance_max);

// The entry of the first hold on the record; 0: none. Without an id, on anything.
uint64_t HeldBy(const Collection& collection, const std::string& id);

class Machine {
 public:
  struct Result {
    std::string commit;   // encoded CommitRecord
    std::string effects;  // encoded effects
  };

  // Applies the next entry. The header's item_count and items_root are computed, not read.
  Result Apply(const index::Command& command);

  const State& state() const { return state_; }
  uint64_t next_index() const { return next_index_; }

 private:
  // What a CommitRecord tells.
  struct Outcome {
    int outcome = 0;
    uint64_t failed_item = 0;
    uint64_t current = 0;
    uint64_t inserted = 0;
    uint64_t updated = 0;
    uint64_t deleted = 0;
    uint64_t missing = 0;
    bool more = false;
  };
  struct Effect {
    int kind = 0;
    std::string key;
    std::string value;
  };

  Outcome Execute(const index::Command& command, State* state, std::vector<Effect>* effects);
  Outcome ExecuteRecords(const index::Command& command, State* state, std::vector<Effect>* effects);
  Outcome CheckRecord(const index::Operation& operation) const;
  Outcome SetHold(const index::Operation& operation, State* state,
                  std::vector<Effect>* effects) const;
  void PerformRecord(const index::Operation& operation, State* state, Outcome* outcome,
                     std::vector<Effect>* effects) const;
  Outcome DeleteByFilter(const index::Operation& operation, State* state,
                         std::vector<Effect>* effects) const;

  uint64_t next_index_ = 0;
  State state_;
  std::string root_ = std::string(32, '\0');
  std::map<std::pair<std::string, std::string>, std::pair<uint64_t, std::string>> requests_;
};

}  // namespace stele::reference
