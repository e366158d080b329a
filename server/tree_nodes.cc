#include "server/tree_nodes.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "index/codec.h"
#include "index/state_machine.h"
#include "server/errors.h"
#include "server/history_index.h"
#include "server/limits.h"
#include "server/memory_history.h"
#include "server/outcomes.h"
#include "server/requests.h"
#include "server/state_diff.h"
#include "server/views.h"

namespace stele::server {
namespace {

constexpr uint32_t kTreeLevelsMax = 10;

std::string Text(const index::Hash& hash) { return std::string(index::AsBytes(hash)); }

v1::DiffKind KindToWire(DiffKind kind) {
  switch (kind) {
    case DiffKind::kAdded:
      return v1::DIFF_KIND_ADDED;
    case DiffKind::kRemoved:
      return v1::DIFF_KIND_REMOVED;
    case DiffKind::kChanged:
      return v1::DIFF_KIND_CHANGED;
    case DiffKind::kReplaced:
      return v1::DIFF_KIND_REPLACED;
    case DiffKind::kWritten:
      return v1::DIFF_KIND_WRITTEN;
    case DiffKind::kSame:
      break;
  }
  return v1::DIFF_KIND_UNSPECIFIED;
}

void FillRecord(const RecordDifference& record, v1::RecordDiff* wire) {
  wire->set_kind(KindToWire(record.kind));
  wire->set_id(record.id);
  wire->set_key(Text(record.key));
  if (record.before.has_value()) {
    wire->set_before_version(record.before->version);
    wire->set_before_commitment(Text(record.before->commitment));
  }
  if (record.after.has_value()) {
    wire->set_after_version(record.after->version);
    wire->set_after_commitment(Text(record.after->commitment));
  }
}

absl::Status CheckRequest(const v1::GetTreeNodesRequest& request) {
  if (!request.collection().empty()) {
    absl::Status status = CheckCollectionName(request.collection(), "collection");
    if (!status.ok()) return status;
  }
  if (request.prefix_bits() > 256 || request.prefix().size() != (request.prefix_bits() + 7) / 8) {
    return BadField(
        "TREE_PREFIX", "prefix",
        absl::StrCat("it has ", request.prefix().size(), " bytes for ", request.prefix_bits(),
                     " bits; at most 256 bits, in as many bytes ", "as they need"));
  }
  if (request.levels() == 0 || request.levels() > kTreeLevelsMax) {
    return BadField("TREE_LEVELS", "levels",
                    absl::StrCat("it is ", request.levels(), ", it must be 1 to ", kTreeLevelsMax),
                    {{"limit", absl::StrCat(kTreeLevelsMax)}});
  }
  return absl::OkStatus();
}

// The id of the record that a key stands for, as far as the log tells it.
std::string IdOf(const storage::Journal& journal, const std::string& collection,
                 const index::Hash& key) {
  std::string id;
  const auto look = [&](uint64_t index, uint32_t effect) -> absl::Status {
    for (uint32_t ordinal = effect;; ++ordinal) {
      const absl::StatusOr<std::string> item = journal.ReadItem(index, ordinal);
      if (!item.ok()) return absl::OkStatus();
      const auto operation = index::DecodeOperation(*item);
      if (!operation.has_value() || operation->id.empty() ||
          index::RecordKey(collection, operation->id) != key) {
        continue;
      }
      id = operation->id;
      return absl::CancelledError("found");
    }
  };
  journal.ScanHistory(HistoryKeyOf(key), UINT64_MAX, look).IgnoreError();
  return id;
}

// Of the collections that there are, by key. One that came or went in this moment is not told.
std::map<index::Hash, std::string> CollectionNames(const Engine& engine) {
  std::map<index::Hash, std::string> names;
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return names;
  for (const index::Collection* collection = view->SeekCollection({}); collection != nullptr;
       collection = view->SeekCollection(collection->name() + '\0')) {
    names.emplace(index::CollectionKey(collection->name()), collection->name());
  }
  return names;
}

struct Seen {
  Position position;
  bool exists = false;
  std::vector<index::TreeNode> nodes;
};

void FillNodes(const Engine& engine, const v1::GetTreeNodesRequest& request, const Seen& seen,
               v1::GetTreeNodesResponse* response) {
  FillPosition(seen.position, response->mutable_position());
  response->set_exists(seen.exists);
  std::map<index::Hash, std::string> names;
  if (request.collection().empty()) names = CollectionNames(engine);
  for (const index::TreeNode& node : seen.nodes) {
    v1::TreeNode* wire = response->add_nodes();
    wire->set_path(Text(node.path));
    wire->set_depth(node.depth);
    if (!node.is_leaf) {
      wire->set_hash(Text(node.hash));
      continue;
    }
    wire->set_key(Text(node.path));
    wire->set_value(Text(node.hash));
    if (request.collection().empty()) {
      wire->set_name(names[node.path]);
    } else if (request.with_ids()) {
      wire->set_name(IdOf(engine.journal(), request.collection(), node.path));
    }
  }
}

}  // namespace

void ReadTreeNodes(const Parts& parts, Call* call, const v1::GetTreeNodesRequest* request,
                   v1::GetTreeNodesResponse* response) {
  if (absl::Status status = CheckRequest(*request); !status.ok()) return call->Done(status);
  const auto seen = std::make_shared<Seen>();
  const auto look = [seen, request](const index::StateMachine& state) {
    index::Hash prefix{};
    std::copy(request->prefix().begin(), request->prefix().end(), prefix.begin());
    seen->position = {state.next_index() - 1, state.state_index(), state.state_root()};
    seen->exists = state.ReadTree(request->collection(), prefix, request->prefix_bits(),
                                  request->levels(), &seen->nodes);
  };
  WhenReached(parts.engine, request->min_index(), call,
              [parts, call, seen, look, request, response](const absl::Status& reached) {
                if (!reached.ok()) return call->Done(reached);
                parts.engine->Inspect(
                    look, [parts, call, seen, request, response](const absl::Status& status) {
                      if (!status.ok()) {
                        return call->Done(MakeError(absl::StatusCode::kUnavailable, "STOPPING",
                                                    std::string(status.message())));
                      }
                      RunOnExecutor(parts.executor, call, [parts, seen, request, response] {
                        FillNodes(*parts.engine, *request, *seen, response);
                        return absl::OkStatus();
                      });
                    });
              });
}

absl::StatusOr<DiffStatesPlan> DiffStatesPlan::Make(const v1::DiffStatesRequest& request) {
  if (!request.collection().empty()) {
    absl::Status status = CheckCollectionName(request.collection(), "collection");
    if (!status.ok()) return status;
  }
  if (request.from_index() > request.to_index()) {
    return BadField("INDEX_RANGE", "from_index", "it must not be larger than to_index");
  }
  const absl::StatusOr<int32_t> page_size = PageSizeOf(request.page_size());
  if (!page_size.ok()) return page_size.status();
  DiffStatesPlan plan;
  plan.request_ = &request;
  plan.page_size_ = *page_size;
  index::Encoder encoder;
  encoder.Sized("DiffStates").Sized(request.collection());
  encoder.U64(request.from_index()).U64(request.to_index());
  plan.arguments_ = encoder.Take();
  return plan;
}

absl::Status DiffStatesPlan::Run(const Engine& engine, const Stopped& stopped,
                                 v1::DiffStatesResponse* response) const {
  const absl::StatusOr<ReadView> view = OpenView(engine);
  if (!view.ok()) return view.status();
  const index::LogIndex base = engine.base_index();
  if (request_->from_index() < base || request_->to_index() > view->n()) {
    return EntryOutOfRange(absl::StrCat("this log holds entries ", base, " to ", view->n()), base,
                           view->n());
  }
  std::optional<std::string> last;
  if (!request_->page_token().empty()) {
    absl::StatusOr<PageToken> token = ReadPageToken(engine, request_->page_token(), arguments_);
    if (!token.ok()) return token.status();
    last = std::move(token->last);
  }
  std::optional<std::string_view> collection;
  if (!request_->collection().empty()) collection = request_->collection();
  const absl::StatusOr<StateDifference> made = CompareStates(
      engine.journal(), request_->from_index(), request_->to_index(), collection, stopped);
  if (absl::IsCancelled(made.status())) return made.status();
  if (absl::IsResourceExhausted(made.status())) {
    return MakeError(absl::StatusCode::kResourceExhausted, "DIFF_TOO_LARGE",
                     std::string(made.status().message()),
                     {{"limit", absl::StrCat(kDiffRecordsMax)}});
  }
  if (!made.ok()) return HistoryFailed(made.status());
  FillPosition(view->position(), response->mutable_position());
  response->set_entries_read(made->entries_read);
  for (const auto& [name, difference] : made->collections) {
    v1::CollectionDiff* wire = response->add_collections();
    wire->set_name(name);
    wire->set_kind(KindToWire(difference.kind));
    wire->set_added_count(difference.added_count);
    wire->set_removed_count(difference.removed_count);
    wire->set_changed_count(difference.changed_count);
    for (const RecordDifference& record : difference.records) {
      // Those without an id come first, and all on the first page.
      if (last.has_value() && record.id <= *last) continue;
      if (response->records_size() >= page_size_ && !record.id.empty()) {
        response->set_next_page_token(
            EncodePageToken({engine.log_id(), request_->to_index(), HashArguments(arguments_),
                             response->records().rbegin()->id()}));
        break;
      }
      FillRecord(record, response->add_records());
    }
  }
  return absl::OkStatus();
}

}  // namespace stele::server
