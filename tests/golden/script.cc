#include "tests/golden/script.h"

#include <sstream>
#include <stdexcept>
#include <vector>

#include "index/search.h"
#include "index/state_machine.h"
#include "tests/golden/golden_file.h"

namespace stele::golden {
namespace {

using index::Filter;
using index::Operation;
using index::OperationKind;

using Words = std::vector<std::string>;

Words Split(const std::string& text, char separator) {
  Words words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, separator);) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

bool TakePrefix(const std::string& word, const std::string& prefix, std::string* rest) {
  if (word.compare(0, prefix.size(), prefix) != 0) return false;
  *rest = word.substr(prefix.size());
  return true;
}

std::vector<int32_t> Vector(const std::string& text) {
  std::vector<int32_t> vector;
  for (const std::string& word : Split(text, ',')) vector.push_back(std::stoi(word));
  return vector;
}

// type:value
std::string Value(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string type = text.substr(0, colon);
  const std::string value = text.substr(colon + 1);
  if (type == "int") return index::EncodeInt64(std::stoll(value));
  if (type == "bits") return *index::EncodeDouble(std::stoull(value, nullptr, 16));
  if (type == "bool") return index::EncodeBool(value == "true");
  if (type == "str") return *index::EncodeString(value);
  if (type == "bytes") return index::EncodeBytes(value);
  if (type == "time") return index::EncodeTimestamp(std::stoll(value));
  if (type != "ints") throw std::invalid_argument("no type " + type);
  Words elements = Split(value, ',');
  for (std::string& element : elements) element = index::EncodeInt64(std::stoll(element));
  return *index::EncodeList(elements);
}

// name<literal, name=literal, name?(exists), name!(missing)
Filter Condition(const std::string& text) {
  Filter filter;
  filter.kind = Filter::Kind::kCondition;
  const size_t at = text.find_first_of("<>=?!~");
  filter.attribute = text.substr(0, at);
  switch (text[at]) {
    case '?':
      filter.test = Filter::Test::kExists;
      return filter;
    case '!':
      filter.test = Filter::Test::kMissing;
      return filter;
    case '<':
      filter.test = Filter::Test::kLess;
      break;
    case '>':
      filter.test = Filter::Test::kGreater;
      break;
    case '~':
      filter.test = Filter::Test::kContains;
      break;
    default:
      break;
  }
  filter.literals = {Value(text.substr(at + 1))};
  return filter;
}

Filter AllOf(const Words& words, size_t first) {
  Filter filter;
  for (size_t i = first; i < words.size(); ++i) filter.parts.push_back(Condition(words[i]));
  return filter;
}

// Whatever may follow a record operation.
void ParseOptions(const Words& words, size_t first, Operation* operation) {
  index::AttributeMap attributes;
  for (size_t i = first; i < words.size(); ++i) {
    std::string rest;
    if (TakePrefix(words[i], "doc=", &rest)) {
      operation->document = rest;
    } else if (TakePrefix(words[i], "if=", &rest)) {
      const bool absent = rest == "absent";
      operation->precondition.kind = absent ? index::Precondition::Kind::kMustNotExist
                                            : index::Precondition::Kind::kExpectedVersion;
      operation->precondition.version = absent ? 0 : std::stoull(rest);
    } else if (TakePrefix(words[i], "-", &rest)) {
      operation->removed.push_back(rest);
    } else {
      const size_t equals = words[i].find('=');
      attributes.emplace_back(words[i].substr(0, equals), Value(words[i].substr(equals + 1)));
    }
  }
  operation->attributes = index::EncodeAttributes(attributes);
}

// No value for words that are no operation.
std::optional<Operation> ParseOperation(const Words& words) {
  Operation operation;
  const std::string& verb = words[0];
  if (words.size() > 1) operation.collection = words[1];
  if (verb == "genesis" || verb == "upgrade") {
    operation.kind = verb == "genesis" ? OperationKind::kGenesis : OperationKind::kUpgrade;
    operation.collection.clear();
    operation.rules_version = words.size() > 1 ? static_cast<uint32_t>(std::stoul(words[1])) : 1;
  } else if (verb == "sealed") {
    operation.kind = OperationKind::kSnapshotSealed;
    operation.collection.clear();
    operation.index = std::stoull(words.at(1));
  } else if (verb == "create") {
    operation.kind = OperationKind::kCreateCollection;
    const std::string& metric = words.at(3);
    operation.config = {static_cast<uint32_t>(std::stoul(words[2])),
                        metric == "l2"    ? index::Metric::kL2
                        : metric == "dot" ? index::Metric::kDot
                                          : index::Metric::kCosine,
                        words.size() > 4 ? words[4] : ""};
  } else if (verb == "drop") {
    operation.kind = OperationKind::kDropCollection;
  } else if (verb == "upsert" || verb == "insert") {
    operation.kind = verb == "upsert" ? OperationKind::kUpsert : OperationKind::kInsert;
    operation.id = words.at(2);
    operation.vector = Vector(words.at(3));
    ParseOptions(words, 4, &operation);
  } else if (verb == "update" || verb == "delete") {
    operation.kind = verb == "update" ? OperationKind::kUpdateAttributes : OperationKind::kDelete;
    operation.id = words.at(2);
    ParseOptions(words, 3, &operation);
  } else if (verb == "delete-where") {
    operation.kind = OperationKind::kDeleteByFilter;
    operation.limit = static_cast<uint32_t>(std::stoul(words.at(2)));
    operation.filter = AllOf(words, 3);
  } else {
    return std::nullopt;
  }
  return operation;
}

class Runner {
 public:
  // One line of input; its output, if any.
  std::string Run(const Words& words) {
    if (words[0] == "batch" || words[0] == "end") {
      in_batch_ = words[0] == "batch";
      return in_batch_ ? "" : Apply();
    }
    if (words[0] == "request") return Request(words);
    if (words[0] == "search") return Search(words);
    if (words[0] == "show") return Show(words);
    if (words[0] == "reclaim") return Reclaim(words);
    const std::optional<Operation> operation = ParseOperation(words);
    if (!operation.has_value()) throw std::invalid_argument("no verb " + words[0]);
    command_.operations.push_back(index::Prepare(*operation));
    return in_batch_ ? "" : Apply();
  }

 private:
  std::string Apply() {
    command_.header.timestamp_micros = 1000 * static_cast<int64_t>(machine_.next_index());
    index::Seal(command_);
    const index::CommitRecord commit = machine_.Apply(machine_.next_index(), command_).commit;
    command_ = {};
    std::ostringstream out;
    out << commit.index << ": outcome " << int(commit.outcome);
    if (commit.failed_item != 0) out << " item " << commit.failed_item;
    if (commit.current != 0) out << " current " << commit.current;
    if (commit.inserted_count != 0) out << " inserted " << commit.inserted_count;
    if (commit.updated_count != 0) out << " updated " << commit.updated_count;
    if (commit.deleted_count != 0) out << " deleted " << commit.deleted_count;
    if (commit.missing_count != 0) out << " missing " << commit.missing_count;
    if (commit.more) out << " more";
    out << " state " << commit.state_index << " root " << Hex(index::AsBytes(commit.state_root));
    return out.str() + "\n";
  }

  std::string Request(const Words& words) {
    command_.header.actor = "actor";
    command_.header.request_id = words.at(1);
    for (size_t i = 2; i < words.size(); ++i) {
      std::string rest;
      if (TakePrefix(words[i], "known=", &rest)) command_.header.known_index = std::stoull(rest);
      if (TakePrefix(words[i], "state=", &rest)) {
        command_.header.expected_state_index = std::stoull(rest);
      }
    }
    return "";
  }

  std::string Search(const Words& words) {
    index::LogIndex n = machine_.next_index() - 1;
    const std::vector<int32_t> vector = Vector(words.at(3));
    index::SearchQuery query;
    query.vector = vector;
    query.k = static_cast<uint32_t>(std::stoul(words.at(2)));
    Filter filter;
    for (size_t i = 4; i < words.size(); ++i) {
      std::string rest;
      if (TakePrefix(words[i], "max=", &rest)) query.distance_max = std::stoll(rest);
      if (TakePrefix(words[i], "at=", &rest)) n = std::stoull(rest);
      if (words[i] != "where") continue;
      filter = AllOf(words, i + 1);
      query.filter = &filter;
      break;
    }
    const index::Collection* collection = machine_.FindCollection(words.at(1), n);
    if (collection == nullptr) return "no collection\n";
    std::ostringstream out;
    for (const index::SearchHit& hit :
         index::SearchAll(*collection, n, query, index::BestKernels())) {
      out << "hit " << hit.distance << " " << hit.version->id() << "\n";
    }
    return out.str().empty() ? "no hits\n" : out.str();
  }

  std::string Show(const Words& words) {
    index::LogIndex n = machine_.next_index() - 1;
    std::string rest;
    if (words.size() > 2 && TakePrefix(words[2], "at=", &rest)) n = std::stoull(rest);
    const index::Collection* collection = machine_.FindCollection(words.at(1), n);
    if (collection == nullptr) return "no collection\n";
    const index::CollectionStats& stats = collection->StatsAt(n);
    std::ostringstream out;
    out << "born " << collection->born() << " records " << stats.record_count << " state "
        << stats.state_index << " records root " << Hex(index::AsBytes(stats.records_root)) << "\n";
    for (const auto* node = collection->records().First(); node != nullptr; node = node->Next()) {
      const auto* version = index::FindVisible(node->payload.newest.Get(), n);
      if (version == nullptr) continue;
      out << "record " << version->id() << " version " << version->born() << " attributes "
          << Hex(version->attributes()) << "\n";
    }
    return out.str();
  }

  std::string Reclaim(const Words& words) {
    std::vector<std::unique_ptr<index::Collection>> garbage;
    const index::LogIndex horizon = std::stoull(words.at(1));
    machine_.Reclaim(horizon, index::kNever, 1000, &garbage);
    machine_.Reclaim(horizon, index::kNever, 1000, &garbage);
    return "";
  }

  index::StateMachine machine_;
  index::Command command_;
  bool in_batch_ = false;
};

}  // namespace

std::string RunScript(const std::string& script) {
  Runner runner;
  std::string out;
  std::string results;
  bool in_output = false;
  std::istringstream in(script);
  for (std::string line; std::getline(in, line);) {
    if (in_output) {
      in_output = !line.empty();
      if (!in_output) out += "\n";
      continue;
    }
    out += line + "\n";
    if (line == "----") {
      out += results;
      results.clear();
      in_output = true;
    } else if (!line.empty() && line[0] != '#') {
      results += runner.Run(Split(line, ' '));
    }
  }
  return out;
}

}  // namespace stele::golden
