#include "tests/property/commands.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "index/quantize.h"

namespace stele::property {
namespace {

using index::Filter;
using index::Operation;
using index::OperationKind;

// Doubles as bits: whole, fractional, infinite, subnormal, and neighbours of large integers.
constexpr uint64_t kDoubles[] = {
    0,
    0x3ff0000000000000u,
    0xbff0000000000000u,
    0x3fe0000000000000u,
    0x7ff0000000000000u,
    0xfff0000000000000u,
    0x0000000000000001u,
    0x8000000000000001u,
    0x4340000000000000u,
    0x4340000000000001u,
    0x43e0000000000000u,
    0xc3e0000000000000u,
    0x43dfffffffffffffu,
    0xc3e0000000000001u,
};
constexpr int64_t kIntegers[] = {
    0,
    1,
    -1,
    2,
    9007199254740992,
    9007199254740993,
    9007199254740994,
    INT64_MAX,
    INT64_MAX - 1,
    INT64_MIN,
    INT64_MIN + 1,
    9223372036854774784,
};
const std::string kTexts[] = {
    "", "a", "b", "ab", "\xc3\xa9", std::string("\0x", 2), "\xf0\x9f\x98\x80"};
const std::string kAttributeNames[] = {"n", "size", "tag", "\xc3\xbc", "z"};

template <typename T, size_t N>
const T& Pick(index::TestRandom& random, const T (&choices)[N]) {
  return choices[random.Below(N)];
}

}  // namespace

uint64_t SeedFromEnvironment() {
  const char* text = std::getenv("STELE_SEED");
  const uint64_t seed =
      text != nullptr
          ? std::strtoull(text, nullptr, 10)
          : static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  std::printf("STELE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::string CommandSource::RandomName() {
  static const std::string kNames[] = {"a", "b", "\xc3\xbc", "a/longer name"};
  return Pick(random_, kNames);
}

std::string CommandSource::RandomId() {
  if (OneIn(30)) return std::string(256, 'x');
  if (OneIn(30)) return std::string("nul\0id", 6);
  return std::string("id").append(std::to_string(random_.Below(24)));
}

std::string CommandSource::RandomScalar() {
  switch (random_.Below(6)) {
    case 0:
      return index::EncodeBool(OneIn(2));
    case 1:
      return index::EncodeInt64(Pick(random_, kIntegers));
    case 2:
      return *index::EncodeDouble(Pick(random_, kDoubles));
    case 3:
      return *index::EncodeString(Pick(random_, kTexts));
    case 4:
      return index::EncodeBytes(Pick(random_, kTexts));
    default:
      return index::EncodeTimestamp(Pick(random_, kIntegers));
  }
}

std::string CommandSource::RandomValue() {
  if (!OneIn(4)) return RandomScalar();
  std::vector<std::string> elements;
  for (uint64_t left = random_.Below(4); left > 0; --left) {
    std::string element = RandomScalar();
    if (elements.empty() || element[0] == elements[0][0]) elements.push_back(element);
  }
  return *index::EncodeList(elements);
}

std::string CommandSource::RandomAttributes() {
  std::map<std::string, std::string> chosen;
  for (uint64_t left = random_.Below(5); left > 0; --left) {
    chosen[Pick(random_, kAttributeNames)] = RandomValue();
  }
  return index::EncodeAttributes({chosen.begin(), chosen.end()});
}

Filter CommandSource::RandomFilter(unsigned depth) {
  Filter filter;
  if (depth < 3 && OneIn(2)) {
    static const Filter::Kind kKinds[] = {Filter::Kind::kAllOf, Filter::Kind::kAnyOf,
                                          Filter::Kind::kNoneOf};
    filter.kind = Pick(random_, kKinds);
    for (uint64_t left = random_.Below(4); left > 0; --left) {
      filter.parts.push_back(RandomFilter(depth + 1));
    }
    return filter;
  }
  filter.kind = Filter::Kind::kCondition;
  filter.test = static_cast<Filter::Test>(1 + random_.Below(11));
  filter.attribute = Pick(random_, kAttributeNames);
  uint64_t count = 1;
  if (filter.test == Filter::Test::kExists || filter.test == Filter::Test::kMissing) count = 0;
  if (filter.test == Filter::Test::kOneOf || filter.test == Filter::Test::kNotOneOf) {
    count = random_.Below(4);
  }
  for (; count > 0; --count) filter.literals.push_back(RandomScalar());
  return filter;
}

std::vector<int32_t> CommandSource::RandomVector(uint32_t dimension, index::Metric metric) {
  // Few values, so that distances tie; sometimes as large as is admitted.
  const int32_t bound = OneIn(8) ? index::AdmittedBound(dimension) - 1 : 3;
  std::vector<int32_t> vector = index::RandomVector(random_, dimension, bound);
  for (int32_t& x : vector)
    x = std::clamp(x, -index::kComponentLimit + 1, index::kComponentLimit - 1);
  if (metric == index::Metric::kCosine && !OneIn(20)) {
    vector[0] += vector[0] <= 0 ? -1 : 1;
    std::vector<int32_t> unit(dimension);
    if (index::NormalizeQ16(vector, unit).ok()) return unit;
    std::fill(unit.begin(), unit.end(), 0);
    unit[0] = 65536;
    return unit;
  }
  return vector;
}

void CommandSource::Salt(const reference::State& state, Operation* operation) {
  const auto place = state.collections.find(operation->collection);
  operation->salted = place != state.collections.end() && place->second.config.erasable;
  if (OneIn(40)) operation->salted = !operation->salted;
  if (operation->kind == OperationKind::kEraseByFilter) operation->salted = true;
  if (!operation->salted) return;
  for (uint8_t& byte : operation->salt) byte = static_cast<uint8_t>(random_.Next());
}

Operation CommandSource::RecordOperation(const reference::State& state) {
  Operation operation;
  static const OperationKind kKinds[] = {
      OperationKind::kUpsert, OperationKind::kUpsert,           OperationKind::kUpsert,
      OperationKind::kInsert, OperationKind::kUpdateAttributes, OperationKind::kDelete,
      OperationKind::kErase};
  operation.kind = Pick(random_, kKinds);
  operation.collection = RandomName();
  if (!state.collections.empty() && !OneIn(20)) {
    auto place = state.collections.begin();
    std::advance(place, random_.Below(state.collections.size()));
    operation.collection = place->first;
  }
  operation.id = RandomId();
  const auto place = state.collections.find(operation.collection);
  const reference::Collection* collection =
      place != state.collections.end() ? &place->second : nullptr;
  if (OneIn(10)) operation.precondition.kind = index::Precondition::Kind::kMustNotExist;
  if (OneIn(6)) {
    operation.precondition.kind = index::Precondition::Kind::kExpectedVersion;
    operation.precondition.version = random_.Below(4);
    if (collection != nullptr && collection->records.count(operation.id) == 1 && !OneIn(3)) {
      operation.precondition.version = collection->records.at(operation.id).version;
    }
  }
  if (operation.kind == OperationKind::kErase && !OneIn(6) &&
      (collection == nullptr || !collection->config.erasable)) {
    operation.kind = OperationKind::kDelete;
  }
  if (operation.kind == OperationKind::kDelete || operation.kind == OperationKind::kErase) {
    return operation;
  }
  Salt(state, &operation);
  operation.attributes = RandomAttributes();
  if (operation.kind == OperationKind::kUpdateAttributes) {
    std::set<std::string> removed;
    for (uint64_t left = random_.Below(3); left > 0; --left) {
      removed.insert(Pick(random_, kAttributeNames));
    }
    operation.removed.assign(removed.begin(), removed.end());
    return operation;
  }
  uint32_t dimension = collection != nullptr ? collection->config.dimension : 2;
  if (OneIn(30)) ++dimension;
  operation.vector = RandomVector(
      dimension, collection != nullptr ? collection->config.metric : index::Metric::kL2);
  if (OneIn(4)) operation.document = "document " + std::to_string(random_.Below(5));
  return operation;
}

Operation CommandSource::SingleOperation(const reference::State& state) {
  static const OperationKind kKinds[] = {
      OperationKind::kDeleteByFilter,   OperationKind::kDeleteByFilter,
      OperationKind::kDeleteByFilter,   OperationKind::kCreateCollection,
      OperationKind::kCreateCollection, OperationKind::kCreateCollection,
      OperationKind::kDropCollection,   OperationKind::kGenesis,
      OperationKind::kRestore,          OperationKind::kUpgrade,
      OperationKind::kSnapshotSealed,   OperationKind::kContinuation,
      OperationKind::kEraseByFilter,    OperationKind::kErasureCompleted,
      OperationKind::kSetHold,          OperationKind::kReleaseHold,
      OperationKind::kReleaseHold,      OperationKind::kSetHistory,
  };
  Operation operation;
  operation.kind = Pick(random_, kKinds);
  switch (operation.kind) {
    case OperationKind::kDeleteByFilter:
    case OperationKind::kEraseByFilter:
      operation.collection = RandomName();
      Salt(state, &operation);
      operation.limit = static_cast<uint32_t>(1 + random_.Below(6));
      operation.filter = RandomFilter();
      break;
    case OperationKind::kCreateCollection:
      operation.collection = RandomName();
      operation.config.dimension = static_cast<uint32_t>(1 + random_.Below(5));
      operation.config.metric = static_cast<index::Metric>(1 + random_.Below(3));
      if (OneIn(2)) operation.config.description = Pick(random_, kTexts);
      if (OneIn(3)) operation.config.receipts = static_cast<index::ReceiptPolicy>(random_.Below(3));
      operation.config.erasable = OneIn(2);
      break;
    case OperationKind::kDropCollection:
      operation.collection = RandomName();
      break;
    case OperationKind::kSetHold:
    case OperationKind::kReleaseHold:
      operation.collection = RandomName();
      operation.hold = "hold " + std::to_string(random_.Below(2));
      if (operation.kind == OperationKind::kReleaseHold) break;
      operation.reason = Pick(random_, kTexts);
      if (OneIn(2)) operation.ids = {RandomId()};
      break;
    case OperationKind::kSetHistory:
      operation.history_entries = random_.Below(100);
      break;
    default:
      operation.rules_version = OneIn(2) ? 1 : 2;
      operation.index = random_.Below(100);
      break;
  }
  return operation;
}

void CommandSource::AddOperations(const reference::State& state, index::Command* command) {
  if (count_ == 1) {
    Operation genesis;
    genesis.kind = OperationKind::kGenesis;
    genesis.rules_version = 1;
    command->operations.push_back(index::Prepare(genesis));
    return;
  }
  if (OneIn(6) || state.collections.empty()) {
    command->operations.push_back(index::Prepare(SingleOperation(state)));
    if (OneIn(15)) command->operations.push_back(index::Prepare(RecordOperation(state)));
    return;
  }
  if (OneIn(60)) return;  // an empty command
  const bool may_repeat = OneIn(20);
  std::set<std::pair<std::string, std::string>> used;
  for (uint64_t left = OneIn(3) ? 1 + random_.Below(8) : 1; left > 0; --left) {
    Operation operation = RecordOperation(state);
    if (!used.insert({operation.collection, operation.id}).second && !may_repeat) continue;
    command->operations.push_back(index::Prepare(std::move(operation)));
  }
}

index::Command CommandSource::Next(const reference::State& state) {
  ++count_;
  if (count_ > 2 && OneIn(25)) return past_[random_.Below(past_.size())];  // a retry
  index::Command command;
  index::CommandHeader& header = command.header;
  header.log_id[3] = 7;
  header.term = random_.Below(3);
  clock_ += static_cast<int64_t>(random_.Below(1000));
  header.timestamp_micros = clock_;
  header.clock_micros = clock_ - static_cast<int64_t>(random_.Below(10));
  header.actor = OneIn(2) ? "alice" : "bob";
  if (!OneIn(3)) {
    // From time to time an id that was used, with other content.
    header.request_id = std::to_string(OneIn(25) ? random_.Below(count_) : count_);
  }
  if (OneIn(10)) header.known_index = random_.Below(count_);
  if (OneIn(10)) header.expected_state_index = state.state_index + (OneIn(3) ? 1 : 0);
  AddOperations(state, &command);
  index::Seal(command);
  past_.push_back(command);
  return command;
}

}  // namespace stele::property
