// Signs the log: makes checkpoints (c2sp.org/tlog-checkpoint) of what it has read back from storage
// and recomputed itself, and proofs about the log under them.
//
// Before it signs a size it reads every entry since the last size it signed from the journal,
// checks what the entry row says of itself, computes the leaves and the tree anew, and compares the
// root with the one that the engine computed when it applied the entries, and the tiles with those
// that were stored. What it signed last lies in the file `checkpoint` of the data directory, and at
// start the log must still be one that begins with that.
//
// It does not read what entries hold (documents, vectors): replaying the log does.
//
// Thread safety: all functions, from any thread; they block.
//
// Invariants:
//   1. Of two checkpoints that it signs in its life, and over restarts, the larger one's log begins
//      with the smaller one's.
//   2. No proof is given out that does not verify against the checkpoint that goes with it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/log_tiles.h"
#include "index/proof_text.h"
#include "server/cosignatures.h"
#include "server/engine.h"
#include "server/log_nodes.h"
#include "server/signing.h"

namespace stele::server {

struct SignedCheckpoint {
  index::Checkpoint checkpoint;
  std::string note;
};

struct Cosigned {
  SignedCheckpoint checkpoint;  // with all cosignatures that are kept
  uint32_t added = 0;
};

struct InclusionProof {
  SignedCheckpoint checkpoint;
  uint64_t index = 0;
  std::string commit_record;
  std::vector<index::Hash> hashes;
};

struct ConsistencyProof {
  SignedCheckpoint checkpoint;
  uint64_t old_size = 0;
  std::vector<index::Hash> hashes;
};

class Checkpointer {
 public:
  struct Options {
    std::string data_directory;
    std::string key_file;  // empty: checkpoint-key.pem in the data directory, made if missing
    uint64_t entries = 0;  // sign after so many new entries; 0: not by count
    uint64_t seconds = 0;  // sign after so long if there are new entries; 0: not by time
    std::vector<index::WitnessKey> witnesses;           // whose cosignatures are taken and served
    std::function<void(const absl::Status&)> on_error;  // of signing by itself; may be null
  };

  // Errors: those of the key; DATA_LOSS where the log does not begin with what was signed last.
  static absl::StatusOr<std::unique_ptr<Checkpointer>> Open(const Engine* engine, Options options);
  ~Checkpointer();

  // Whom auditors have to trust: name (also the origin of the checkpoints), id, public key.
  const index::VerifierKey& key() const { return key_; }

  // Signs the newest published entry, or, with a `size`, exactly so many entries: the same note
  // each time. OUT_OF_RANGE: more than are published, or fewer than base_index() of the log.
  absl::StatusOr<SignedCheckpoint> Make(uint64_t size = 0);
  // A note of this text, signed with the same key.
  absl::StatusOr<std::string> SignText(std::string text) const;
  // What was signed last, without signing, and without waiting for what is being signed; of size 0
  // where nothing was.
  SignedCheckpoint Last() const;
  // Takes the cosignatures of configured witnesses on a checkpoint that this server signed; notes
  // of that checkpoint carry them from then on. INVALID_ARGUMENT NOTE_MALFORMED,
  // CHECKPOINT_UNKNOWN, COSIGNATURE_MISSING, COSIGNATURE_INVALID; OUT_OF_RANGE as Make.
  absl::StatusOr<Cosigned> AddCosignatures(std::string_view note);
  // For other texts of this log.
  const SigningKey& signing_key() const { return *signing_key_; }

  // That entry `index` is in the log of the checkpoint with `size` entries; 0 takes what was signed
  // last if it reaches, else signs anew. OUT_OF_RANGE as above, and for entries below the base.
  absl::StatusOr<InclusionProof> ProveEntry(uint64_t index, uint64_t size = 0);
  // That the log of the checkpoint (as above) begins with the first `old_size` entries.
  absl::StatusOr<ConsistencyProof> ProveConsistency(uint64_t old_size, uint64_t new_size = 0);

 private:
  Checkpointer(const Engine* engine, Options options, std::unique_ptr<SigningKey> signing_key,
               Cosignatures cosignatures);

  absl::Status LoadLast();
  absl::Status CatchUp(uint64_t size);
  absl::StatusOr<SignedCheckpoint> SignNewest();
  absl::StatusOr<SignedCheckpoint> MakeLocked(uint64_t size);
  absl::StatusOr<SignedCheckpoint> MakeFor(uint64_t size, uint64_t at_least);
  absl::StatusOr<SignedCheckpoint> Sign(uint64_t size, const index::Hash& root) const;
  absl::Status Store(const SignedCheckpoint& checkpoint);
  void SetLast(SignedCheckpoint checkpoint);
  void Loop();

  const Engine* const engine_;
  const Options options_;
  const std::unique_ptr<SigningKey> signing_key_;
  const index::VerifierKey key_;
  const LogNodes nodes_;

  mutable std::mutex mutex_;
  index::LogTiles tiles_;  // of what was read back and recomputed
  Cosignatures cosignatures_;
  SignedCheckpoint last_;          // written under both mutexes, read under either
  mutable std::mutex last_mutex_;  // held for moments

  std::mutex closing_mutex_;
  std::condition_variable closing_changed_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace stele::server
