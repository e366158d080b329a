// What the state machine proves about its state.
#include "index/check.h"
#include "index/state_machine.h"

namespace stele::index {

RecordProof StateMachine::ProveRecord(std::string_view collection, std::string_view id) const {
  RecordProof proof;
  proof.collection = std::string(collection);
  proof.id = std::string(id);
  proof.rules_version = rules_version_;
  proof.history_entries = history_entries_;
  proof.collection_path = collections_tree_.Prove(CollectionKey(collection));
  const auto* head = collections_.Find(collection);
  const Collection* newest = head != nullptr ? head->payload.newest.Get() : nullptr;
  if (newest == nullptr || newest->died.Get() != kNever) {
    Check(proof.collection_path.end != SparseProof::End::kKey);
    return proof;
  }
  proof.config = newest->config();
  proof.holds = newest->HoldsValue();
  proof.record_path = newest->tree().Prove(RecordKey(collection, id));
  const RecordVersion* live = Collection::Live(newest->records().Find(id));
  if (live == nullptr) {
    Check(proof.record_path.end != SparseProof::End::kKey);
    return proof;
  }
  if (live->erased()) {
    proof.commitment = live->commitment();
    return proof;
  }
  RecordContent content;
  const std::vector<int32_t> vector = newest->vectors().Row(live->slot());
  content.vector = Encoder().Components(vector).Take();
  content.attributes = std::string(live->attributes());
  content.document = PartOf(live->document());
  proof.commitment =
      RecordCommitment({id, vector, content.attributes, content.document, live->salt()});
  if (live->salt() != nullptr) content.salts = PartSalts(*live->salt(), content.attributes);
  proof.content = std::move(content);
  return proof;
}

bool StateMachine::ReadTree(std::string_view collection, const Hash& prefix, uint32_t bits,
                            uint32_t levels, std::vector<TreeNode>* nodes) const {
  if (collection.empty()) {
    *nodes = collections_tree_.Read(prefix, bits, levels);
    return true;
  }
  const auto* head = collections_.Find(collection);
  const Collection* newest = head != nullptr ? head->payload.newest.Get() : nullptr;
  if (newest == nullptr || newest->died.Get() != kNever) return false;
  *nodes = newest->tree().Read(prefix, bits, levels);
  return true;
}

}  // namespace stele::index
