// The log of three entries that docs/format.md follows: genesis, create, upsert.
#pragma once

#include <functional>
#include <string>

#include "index/command.h"
#include "index/commit_record.h"
#include "index/log_tree.h"
#include "index/state_machine.h"

namespace stele::golden {

inline std::string ExampleAttributes() {
  return index::EncodeAttributes(
      {{"n", index::EncodeInt64(1)}, {"tag", *index::EncodeString("red")}});
}

inline index::Operation ExampleUpsert() {
  index::Operation operation;
  operation.kind = index::OperationKind::kUpsert;
  operation.collection = "notes";
  operation.id = "a";
  operation.vector = {65536, -1};
  operation.attributes = ExampleAttributes();
  operation.document = "hello";
  return operation;
}

// Matches the upsert.
inline index::Filter ExampleCondition() {
  index::Filter n;
  n.kind = index::Filter::Kind::kCondition;
  n.test = index::Filter::Test::kLess;
  n.attribute = "n";
  n.literals = {index::EncodeInt64(5)};
  return n;
}

// see(command, result) for each entry, once it is in both.
inline void ApplyExampleLog(
    index::StateMachine* machine, index::LogTree* log_tree,
    const std::function<void(const index::Command&, const index::ApplyResult&)>& see) {
  index::Operation genesis;
  genesis.kind = index::OperationKind::kGenesis;
  genesis.rules_version = 1;
  index::Operation create;
  create.kind = index::OperationKind::kCreateCollection;
  create.collection = "notes";
  create.config = {2, index::Metric::kL2, "About"};
  for (const index::Operation& operation : {genesis, create, ExampleUpsert()}) {
    const index::LogIndex index = machine->next_index();
    index::Command command;
    command.operations.push_back(index::Prepare(operation));
    command.header.log_id = {0xa0, 0xa1, 0xa2};
    command.header.term = 1;
    command.header.timestamp_micros = static_cast<int64_t>(1'700'000'000'000'000 + index);
    command.header.clock_micros = command.header.timestamp_micros;
    if (index == 2) {
      command.header.actor = "alice";
      command.header.request_id = "r-1";
      command.header.known_index = 1;
      command.header.expected_state_index = 1;
    }
    index::Seal(command);
    const index::ApplyResult result = machine->Apply(index, command);
    log_tree->Append(index::LogLeaf(index::EncodeCommitRecord(result.commit)));
    see(command, result);
  }
}

}  // namespace stele::golden
