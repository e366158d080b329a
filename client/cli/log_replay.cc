#include "client/cli/log_replay.h"

#include <algorithm>
#include <bit>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/audit_verify.h"
#include "client/cli/files.h"
#include "index/codec.h"
#include "index/commit_record.h"

namespace stele::client::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSmallFileBytesMax = 1 << 20;
// 256 entries of at most 32 MiB of operations each, and what stands beside them.
constexpr size_t kBundleBytesMax = size_t{10} << 30;

absl::Status Damaged(const std::string& name, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(name, ": ", what));
}

absl::StatusOr<std::string> ReadPart(const std::string& directory, const std::string& name,
                                     size_t bytes_max = kSmallFileBytesMax) {
  auto bytes = ReadFile((fs::path(directory) / name).string(), bytes_max);
  if (bytes.ok()) return bytes;
  return Damaged(name, bytes.status().message());
}

absl::StatusOr<index::LogId> LogIdOf(const std::string& origin) {
  const size_t slash = origin.rfind('/');
  const std::string hex = slash == std::string::npos ? "" : origin.substr(slash + 1);
  const std::string bytes = absl::HexStringToBytes(hex);
  index::LogId id;
  if (bytes.size() != id.size() || absl::BytesToHexString(bytes) != hex) {
    return absl::DataLossError(absl::StrCat("the key ", origin, " is not that of a log of Stele"));
  }
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

// The file `base`: the frontier of the log tree before the first entry.
absl::StatusOr<index::LogTree> ReadBase(const std::string& directory) {
  if (!fs::exists(fs::path(directory) / "base")) return index::LogTree();
  const auto text = ReadPart(directory, "base");
  if (!text.ok()) return text.status();
  index::LineParser lines(*text);
  const auto header = lines.Next("the first line");
  if (header.has_value() && *header != "stele/log-base@v1") {
    lines.Fail("it is not the base of a log");
  }
  const auto field = lines.error().empty() ? lines.Field("size") : std::nullopt;
  const auto size = index::ParseDecimal(field.value_or(""));
  if (field.has_value() && size.value_or(0) == 0) lines.Fail("it is not the size of a log");
  const auto frontier = lines.error().empty() ? lines.Hashes() : std::nullopt;
  if (frontier.has_value() &&
      (!lines.rest().empty() || std::popcount(*size) != static_cast<int>(frontier->size()))) {
    lines.Fail("it holds another number of hashes");
  }
  if (!lines.error().empty()) return Damaged("base", lines.error());
  return index::LogTree(*size, *frontier);
}

// Entries of one bundle, in order.
class Bundle {
 public:
  static absl::StatusOr<Bundle> Read(const std::string& directory, uint64_t number,
                                     uint64_t width) {
    Bundle bundle;
    bundle.name_ = TilePath(number, width);
    auto records = ReadPart(directory, absl::StrCat("tile/entries/", bundle.name_));
    if (!records.ok()) return records.status();
    bundle.records_ = *std::move(records);
    auto bodies = ReadPart(directory, absl::StrCat("body/", bundle.name_), kBundleBytesMax);
    if (!bodies.ok()) return bodies.status();
    bundle.bodies_ = *std::move(bodies);
    return bundle;
  }

  struct Entry {
    std::string commit;
    std::string row;  // index::EntryRow
    std::vector<std::string_view> items;
  };
  absl::StatusOr<Entry> Next() {
    Entry entry;
    index::Decoder records(std::string_view(records_).substr(record_at_));
    const uint32_t high = records.U8();
    const uint32_t size = high << 8 | records.U8();
    entry.commit = std::string(records.Raw(size));
    if (!records.ok()) return Damaged(absl::StrCat("tile/entries/", name_), "it is cut off");
    record_at_ = records_.size() - records.remaining();
    index::Decoder body(std::string_view(bodies_).substr(body_at_));
    const std::string_view header = body.Sized(UINT32_MAX);
    const std::string_view effects = body.Sized(UINT32_MAX);
    const uint32_t count = body.U32();
    for (uint32_t i = 0; i < count && body.ok(); ++i) {
      entry.items.push_back(body.Sized(UINT32_MAX));
    }
    if (!body.ok()) return Damaged(absl::StrCat("body/", name_), "it is cut off");
    body_at_ = bodies_.size() - body.remaining();
    entry.row = index::EncodeEntryRow({std::string(header), entry.commit, std::string(effects)});
    return entry;
  }
  absl::Status End() const {
    if (record_at_ != records_.size()) {
      return Damaged(absl::StrCat("tile/entries/", name_), "more follows its last entry");
    }
    if (body_at_ != bodies_.size()) {
      return Damaged(absl::StrCat("body/", name_), "more follows its last entry");
    }
    return absl::OkStatus();
  }

 private:
  std::string name_;
  std::string records_;
  std::string bodies_;
  size_t record_at_ = 0;
  size_t body_at_ = 0;
};

absl::StatusOr<server::OfflineState> StateBefore(const index::LogTree& base, const index::LogId& id,
                                                 const LogReplayOptions& options) {
  if (base.size() == 0) {
    server::OfflineState empty;
    empty.recovered.state = std::make_unique<index::StateMachine>(server::SeedOf(id));
    return empty;
  }
  if (options.base_snapshot.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the log begins at entry ", base.size(),
                                                   ": give the snapshot that it continues"));
  }
  absl::StatusOr<server::OfflineState> snapshot = server::LoadSnapshotState(options.base_snapshot);
  if (!snapshot.ok()) return snapshot.status();
  if (snapshot->recovered.log_tree.Root() != base.Root() ||
      snapshot->recovered.log_tree.size() != base.size()) {
    return Damaged("base", "the snapshot is not the one that the log continues");
  }
  return snapshot;
}

class Replayer {
 public:
  Replayer(const std::string& directory, const LogReplayOptions& options, LogReplay* replay)
      : directory_(directory), options_(options), replay_(replay) {}

  absl::Status Run(const index::LogTree& base) {
    tree_ = base;
    NoteRoot();
    const uint64_t size = replay_->checkpoint.size;
    for (uint64_t number = base.size() / kTileWidth; number * kTileWidth < size; ++number) {
      const uint64_t end = std::min((number + 1) * kTileWidth, size);
      absl::StatusOr<Bundle> bundle = Bundle::Read(directory_, number, end - number * kTileWidth);
      if (!bundle.ok()) return bundle.status();
      while (tree_.size() < end) {
        const absl::Status status = Take(*bundle);
        if (!status.ok()) return status;
      }
      const absl::Status status = bundle->End();
      if (!status.ok()) return status;
    }
    if (tree_.Root() == replay_->checkpoint.root) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("the root over the ", tree_.size(),
                                            " entries of the log is not the one that was signed"));
  }

 private:
  void NoteRoot() {
    if (options_.root_of == tree_.size()) replay_->root = tree_.Root();
  }

  absl::Status Take(Bundle& bundle) {
    const uint64_t index = tree_.size();
    const auto entry = bundle.Next();
    if (!entry.ok()) return entry.status();
    if (index <= options_.at_index.value_or(UINT64_MAX)) {
      const auto decoded =
          server::DecodeEntry(replay_->state.log_id, index, entry->row, entry->items);
      if (!decoded.ok()) return decoded.status();
      if (index == replay_->base && index > 0) {
        const index::Operation& first = decoded->command.operations[0].operation;
        if (first.kind != index::OperationKind::kRestore || first.log_root != tree_.Root() ||
            first.snapshot_hash != replay_->base_snapshot) {
          return absl::DataLossError(
              absl::StrCat("entry ", index, ": it does not continue this snapshot"));
        }
      }
      const absl::Status applied =
          server::ApplyEntry(*decoded, &replay_->state.recovered, &report_);
      if (!applied.ok()) return applied;
      garbage_.clear();
      replay_->state.recovered.state->Reclaim(index, index, 1u << 14, &garbage_);
    }
    tree_.Append(index::LogLeaf(entry->commit));
    NoteRoot();
    return LookForReceipt(index, *entry);
  }

  // Of entries that are not applied, too: their commit record binds the header, and that the items.
  absl::Status LookForReceipt(uint64_t index, const Bundle::Entry& entry) {
    if (!options_.receipt.has_value() || replay_->receipt_entry.has_value() ||
        entry.items.size() != 1 || entry.items[0].empty() ||
        entry.items[0][0] != static_cast<char>(index::OperationKind::kReceipts)) {
      return absl::OkStatus();
    }
    const auto decoded = server::DecodeEntry(replay_->state.log_id, index, entry.row, entry.items);
    if (!decoded.ok()) return decoded.status();
    const auto commit = index::DecodeCommitRecord(entry.commit);
    if (!commit.has_value() ||
        commit->command != index::CommandCommitment(decoded->command.header)) {
      return absl::DataLossError(
          absl::StrCat("entry ", index, ": its commit record is of another command"));
    }
    const std::vector<index::Hash>& held = decoded->command.operations[0].operation.receipts;
    if (commit->outcome == index::Outcome::kOk &&
        std::binary_search(held.begin(), held.end(), *options_.receipt)) {
      replay_->receipt_entry = index;
    }
    return absl::OkStatus();
  }

  const std::string& directory_;
  const LogReplayOptions& options_;
  LogReplay* const replay_;
  index::LogTree tree_;
  server::RecoveryReport report_;
  std::vector<std::unique_ptr<index::Collection>> garbage_;
};

}  // namespace

std::string TilePath(uint64_t number, uint64_t width) {
  std::string path = absl::StrFormat("%03d", number % 1000);
  while (number >= 1000) {
    number /= 1000;
    path = absl::StrCat("x", absl::StrFormat("%03d", number % 1000), "/", path);
  }
  return width == kTileWidth ? path : absl::StrCat(path, ".p/", width);
}

absl::StatusOr<LogReplay> ReplayExport(const std::string& directory,
                                       const LogReplayOptions& options) {
  const auto note = ReadPart(directory, "checkpoint");
  if (!note.ok()) return note.status();
  const auto checkpoint = VerifyCheckpoint(*note, options.key);
  if (!checkpoint.ok()) return checkpoint.status();
  const auto log_id = LogIdOf(checkpoint->origin);
  if (!log_id.ok()) return log_id.status();
  const auto base = ReadBase(directory);
  if (!base.ok()) return base.status();
  LogReplay replay;
  replay.checkpoint = *checkpoint;
  replay.base = base->size();
  replay.state.log_id = *log_id;
  const uint64_t last = options.at_index.value_or(checkpoint->size - 1);
  if (checkpoint->size <= base->size() || last < base->size() || last >= checkpoint->size) {
    return absl::OutOfRangeError(absl::StrCat("the export holds the entries ", base->size(), " to ",
                                              checkpoint->size, "-1, not ", last));
  }
  auto before = StateBefore(*base, *log_id, options);
  if (!before.ok()) return before.status();
  replay.base_snapshot = before->snapshot_hash;
  replay.state.recovered = std::move(before->recovered);
  const absl::Status status = Replayer(directory, options, &replay).Run(*base);
  if (!status.ok()) return status;
  const index::StateMachine& state = *replay.state.recovered.state;
  replay.state.position = {state.next_index() - 1, state.state_index(), state.state_root()};
  return replay;
}

}  // namespace stele::client::cli
