#include "server/checkpointer.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "index/commit_record.h"
#include "server/data_directory.h"
#include "server/errors.h"
#include "server/recovery.h"
#include "storage/atomic_file.h"

namespace stele::server {
namespace {

constexpr std::chrono::seconds kPeriod{1};
constexpr int kRootAttemptsMax = 1000;

std::string KeyPath(const Checkpointer::Options& options) {
  return options.key_file.empty() ? options.data_directory + "/" + std::string(kCheckpointKeyName)
                                  : options.key_file;
}

absl::Status OutOfRange(uint64_t from, uint64_t to, absl::string_view what) {
  return MakeError(absl::StatusCode::kOutOfRange, "LOG_SIZE_OUT_OF_RANGE", std::string(what),
                   {{"smallest", absl::StrCat(from)}, {"largest", absl::StrCat(to)}});
}

// Why nodes could not be had.
absl::Status NodesMissing(const absl::Status& error) {
  return error.ok() ? absl::InternalError("nodes of the log tree are missing") : error;
}

absl::Status Contradiction(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("nothing is signed: ", what));
}

}  // namespace

Checkpointer::Checkpointer(const Engine* engine, Options options,
                           std::unique_ptr<SigningKey> signing_key, Cosignatures cosignatures)
    : engine_(engine),
      options_(std::move(options)),
      signing_key_(std::move(signing_key)),
      key_(index::MakeVerifierKey(LogOrigin(engine->log_id().bytes), signing_key_->public_key())),
      nodes_(&engine->journal(), engine->base_tree()),
      cosignatures_(std::move(cosignatures)) {}

absl::StatusOr<std::unique_ptr<Checkpointer>> Checkpointer::Open(const Engine* engine,
                                                                 Options options) {
  absl::StatusOr<std::unique_ptr<SigningKey>> key = options.key_file.empty()
                                                        ? SigningKey::LoadOrCreate(KeyPath(options))
                                                        : SigningKey::Load(options.key_file);
  if (!key.ok()) return key.status();
  absl::StatusOr<Cosignatures> cosignatures = Cosignatures::Open(
      options.data_directory + "/" + std::string(kCosignaturesName), options.witnesses);
  if (!cosignatures.ok()) return cosignatures.status();
  std::unique_ptr<Checkpointer> made(
      new Checkpointer(engine, std::move(options), *std::move(key), *std::move(cosignatures)));
  const absl::Status status = made->LoadLast();
  if (!status.ok()) return status;
  if (made->options_.entries != 0 || made->options_.seconds != 0) {
    made->thread_ = std::thread([checkpointer = made.get()] { checkpointer->Loop(); });
  }
  return made;
}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(closing_mutex_);
    closing_ = true;
  }
  closing_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// The log must begin with what was signed last, also if an older key signed it.
absl::Status Checkpointer::LoadLast() {
  const std::lock_guard lock(mutex_);
  absl::StatusOr<std::optional<LastSigned>> last =
      ReadLastSigned(options_.data_directory, engine_->journal(), nodes_);
  if (!last.ok()) return last.status();
  if (last->has_value()) {
    const absl::Status good = VerifyNote((*last)->note, key_);
    if (absl::IsDataLoss(good)) {
      return absl::DataLossError(
          absl::StrCat(LastCheckpointPath(options_.data_directory), ": ", good.message()));
    }
    tiles_ = std::move((*last)->tiles);
  } else {
    absl::StatusOr<index::LogTiles> tiles = nodes_.OpenTiles(nodes_.base_size());
    if (!tiles.ok()) return tiles.status();
    tiles_ = *std::move(tiles);
  }
  if (tiles_.size() == 0) return absl::OkStatus();
  // Signed again, so that it is by the key of now.
  absl::StatusOr<SignedCheckpoint> again = Sign(tiles_.size(), tiles_.Root());
  if (!again.ok()) return again.status();
  SetLast(*std::move(again));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Checkpointer::SignText(std::string text) const {
  const absl::StatusOr<index::SignedNote> note =
      SignNote(*signing_key_, key_.name, std::move(text));
  if (!note.ok()) return note.status();
  return index::EncodeNote(*note);
}

absl::StatusOr<SignedCheckpoint> Checkpointer::Sign(uint64_t size, const index::Hash& root) const {
  SignedCheckpoint made;
  made.checkpoint = {key_.name, size, root};
  absl::StatusOr<index::SignedNote> note =
      SignNote(*signing_key_, key_.name, index::EncodeCheckpoint(made.checkpoint));
  if (!note.ok()) return note.status();
  cosignatures_.AppendTo(made.checkpoint, &*note);
  made.note = index::EncodeNote(*note);
  return made;
}

absl::Status Checkpointer::Store(const SignedCheckpoint& checkpoint) {
  auto file = storage::AtomicFileWriter::Create(LastCheckpointPath(options_.data_directory));
  if (!file.ok()) return file.status();
  const absl::Status status = (*file)->Append(checkpoint.note);
  return status.ok() ? (*file)->Commit() : status;
}

// Reads the entries up to `size` back and adds them to the tree.
absl::Status Checkpointer::CatchUp(uint64_t size) {
  std::vector<index::LogTile> complete;
  while (tiles_.size() < size) {
    const absl::StatusOr<index::Hash> leaf = nodes_.ReadLeaf(tiles_.size());
    if (!leaf.ok()) return Contradiction(leaf.status().message());
    complete.clear();
    tiles_.Append(*leaf, &complete);
    for (const index::LogTile& tile : complete) {
      const absl::StatusOr<LogNodes::Tile> stored = nodes_.ReadStoredTile(tile.level, tile.index);
      // A tile that cannot be read is computed anew whenever it is needed.
      if (!stored.ok() || *stored == tile.hashes) continue;
      return Contradiction(absl::StrCat("the tile of level ", tile.level, " at entry ",
                                        tiles_.size() - 1, " is not that of the entries"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SignedCheckpoint> Checkpointer::SignNewest() {
  for (int attempt = 0; attempt < kRootAttemptsMax; ++attempt) {
    const uint64_t size = engine_->published_index() + 1;
    if (size == last_.checkpoint.size) return last_;
    // The engine's root is of the entry that is published when it is asked.
    const index::Hash engine_root = engine_->log_root();
    if (engine_->published_index() + 1 != size) continue;
    const absl::Status status = CatchUp(size);
    if (!status.ok()) return status;
    if (tiles_.Root() != engine_root) {
      return Contradiction(
          "the root over the entries that are stored is not the one over those that were applied");
    }
    absl::StatusOr<SignedCheckpoint> made = Sign(size, engine_root);
    if (!made.ok()) return made.status();
    const absl::Status stored = Store(*made);
    if (!stored.ok()) return stored;
    SetLast(*made);
    return made;
  }
  return MakeError(absl::StatusCode::kUnavailable, "LOG_MOVING",
                   "the log moved on during every attempt to read its root; try again");
}

absl::StatusOr<SignedCheckpoint> Checkpointer::MakeLocked(uint64_t size) {
  const uint64_t base = nodes_.base_size();
  const uint64_t published = engine_->published_index() + 1;
  if (size > published || (size != 0 && size < base)) {
    return OutOfRange(base, published,
                      absl::StrCat("a checkpoint of ", size, " entries: this log can sign from ",
                                   base, " to ", published));
  }
  if (size == 0 || size > last_.checkpoint.size) {
    absl::StatusOr<SignedCheckpoint> newest = SignNewest();
    if (!newest.ok() || size == 0) return newest;
  }
  if (size == last_.checkpoint.size) return last_;
  // Of the past: the log that was signed last must begin with it.
  absl::Status error;
  const index::LogNodeReader node_at = nodes_.Reader(tiles_, &error);
  const std::optional<index::Hash> root = index::LogRootAt(size, node_at);
  const auto proof = index::MakeConsistencyProof(size, last_.checkpoint.size, node_at);
  if (!root.has_value() || !proof.has_value()) return NodesMissing(error);
  if (!index::VerifyConsistency(size, last_.checkpoint.size, *proof, *root,
                                last_.checkpoint.root)) {
    return Contradiction("stored nodes of the log tree do not fit together");
  }
  return Sign(size, *root);
}

absl::StatusOr<SignedCheckpoint> Checkpointer::Make(uint64_t size) {
  const std::lock_guard lock(mutex_);
  return MakeLocked(size);
}

absl::StatusOr<Cosigned> Checkpointer::AddCosignatures(std::string_view note) {
  std::string error;
  const auto parsed = index::ParseNote(note, &error);
  const auto checkpoint =
      parsed.has_value() ? index::ParseCheckpoint(parsed->text, &error) : std::nullopt;
  if (!checkpoint.has_value()) return BadField("NOTE_MALFORMED", "note", error);
  const absl::Status own = VerifyNote(*parsed, key_);
  if (!own.ok() || checkpoint->origin != key_.name) {
    return BadField("CHECKPOINT_UNKNOWN", "note",
                    absl::StrCat("it is no checkpoint that this server signed: ",
                                 own.ok() ? "it is of another log" : own.message()));
  }
  const std::lock_guard lock(mutex_);
  const absl::StatusOr<SignedCheckpoint> mine = MakeLocked(checkpoint->size);
  if (!mine.ok()) return mine.status();
  if (!(mine->checkpoint == *checkpoint)) {
    return BadField("CHECKPOINT_UNKNOWN", "note",
                    "it is signed by this server's key, and the log has another root at that size");
  }
  const absl::StatusOr<uint32_t> added = cosignatures_.Add(*checkpoint, *parsed);
  if (!added.ok()) return added.status();
  absl::StatusOr<SignedCheckpoint> again = Sign(checkpoint->size, checkpoint->root);
  if (!again.ok()) return again.status();
  if (checkpoint->size == last_.checkpoint.size) SetLast(*again);
  return Cosigned{*std::move(again), *added};
}

SignedCheckpoint Checkpointer::Last() const {
  const std::lock_guard lock(last_mutex_);
  return last_;
}

void Checkpointer::SetLast(SignedCheckpoint checkpoint) {
  const std::lock_guard lock(last_mutex_);
  last_ = std::move(checkpoint);
}

// The checkpoint of `size`, or, if that is 0, any that covers `at_least` entries.
absl::StatusOr<SignedCheckpoint> Checkpointer::MakeFor(uint64_t size, uint64_t at_least) {
  if (size == 0 && last_.checkpoint.size >= at_least && last_.checkpoint.size > 0) return last_;
  return MakeLocked(size);
}

absl::StatusOr<InclusionProof> Checkpointer::ProveEntry(uint64_t index, uint64_t size) {
  const std::lock_guard lock(mutex_);
  const uint64_t base = nodes_.base_size();
  const uint64_t end = size != 0 ? size : engine_->published_index() + 1;
  if (index < base || index >= end) {
    return EntryOutOfRange(absl::StrCat("entry ", index, " is not among the entries ", base, " to ",
                                        end - 1, " that can be proved"),
                           base, end - 1);
  }
  absl::StatusOr<SignedCheckpoint> checkpoint = MakeFor(size, index + 1);
  if (!checkpoint.ok()) return checkpoint.status();
  const absl::StatusOr<index::Hash> leaf = nodes_.ReadLeaf(index);
  if (!leaf.ok()) return leaf.status();
  absl::Status error;
  const auto hashes =
      index::MakeInclusionProof(index, checkpoint->checkpoint.size, nodes_.Reader(tiles_, &error));
  if (!hashes.has_value()) return NodesMissing(error);
  if (!index::VerifyInclusion(index, checkpoint->checkpoint.size, *leaf, *hashes,
                              checkpoint->checkpoint.root)) {
    return absl::DataLossError(absl::StrCat("entry ", index,
                                            " is not the one that was signed: it, or stored nodes "
                                            "of the log tree, were changed"));
  }
  const absl::StatusOr<std::string> bytes = engine_->journal().ReadEntry(index);
  if (!bytes.ok()) return bytes.status();
  std::optional<index::EntryRow> row = index::DecodeEntryRow(*bytes);
  if (!row.has_value() || index::LogLeaf(row->commit) != *leaf) {
    return absl::DataLossError(absl::StrCat("entry ", index, " reads differently each time"));
  }
  return InclusionProof{*std::move(checkpoint), index, std::move(row->commit), *hashes};
}

absl::StatusOr<ConsistencyProof> Checkpointer::ProveConsistency(uint64_t old_size,
                                                                uint64_t new_size) {
  const std::lock_guard lock(mutex_);
  const uint64_t base = nodes_.base_size();
  const uint64_t end = new_size != 0 ? new_size : engine_->published_index() + 1;
  if (old_size < base || old_size == 0 || old_size > end) {
    return OutOfRange(
        std::max<uint64_t>(base, 1), end,
        absl::StrCat("a log of ", old_size, " entries cannot be compared with one of ", end,
                     ": give a size from ", std::max<uint64_t>(base, 1)));
  }
  absl::StatusOr<SignedCheckpoint> checkpoint = MakeFor(new_size, old_size);
  if (!checkpoint.ok()) return checkpoint.status();
  absl::Status error;
  const index::LogNodeReader node_at = nodes_.Reader(tiles_, &error);
  const std::optional<index::Hash> old_root = index::LogRootAt(old_size, node_at);
  const auto hashes = index::MakeConsistencyProof(old_size, checkpoint->checkpoint.size, node_at);
  if (!old_root.has_value() || !hashes.has_value()) return NodesMissing(error);
  if (!index::VerifyConsistency(old_size, checkpoint->checkpoint.size, *hashes, *old_root,
                                checkpoint->checkpoint.root)) {
    return absl::DataLossError("stored nodes of the log tree do not fit together");
  }
  return ConsistencyProof{*std::move(checkpoint), old_size, *hashes};
}

void Checkpointer::Loop() {
  auto signed_at = std::chrono::steady_clock::now();
  std::string last_error;
  std::unique_lock lock(closing_mutex_);
  while (!closing_changed_.wait_for(lock, kPeriod, [this] { return closing_; })) {
    lock.unlock();
    const auto now = std::chrono::steady_clock::now();
    const uint64_t signed_size = Last().checkpoint.size;
    const uint64_t fresh = engine_->published_index() + 1 - signed_size;
    const bool by_count = options_.entries != 0 && fresh >= options_.entries;
    const bool by_time = options_.seconds != 0 && fresh > 0 &&
                         now - signed_at >= std::chrono::seconds(options_.seconds);
    if (by_count || by_time) {
      const absl::StatusOr<SignedCheckpoint> made = Make();
      signed_at = now;
      const std::string error(made.status().message());
      if (!made.ok() && error != last_error && options_.on_error) options_.on_error(made.status());
      last_error = error;
    }
    lock.lock();
  }
}

}  // namespace stele::server
