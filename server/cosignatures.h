// Cosignatures of configured witnesses, by the checkpoint that they are on, in the file
// `cosignatures` of the data directory.
//
// It does not know which checkpoints are this log's: the caller gives it none that is not. The file
// is a help and no evidence: what in it does not verify when it is read is left out.
//
// Thread safety: one thread at a time.
//
// Invariant: every signature line that it gives out is a good one of a configured witness.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/cosignature.h"

namespace stele::server {

// The newest checkpoints with cosignatures are kept, and so many.
inline constexpr size_t kCosignedKept = 64;

// Reads a file of witness keys: one a line, empty lines and lines that begin with # aside.
absl::StatusOr<std::vector<index::WitnessKey>> ReadWitnessKeys(const std::string& path);

class Cosignatures {
 public:
  // Errors of reading the file; one that is not there is empty.
  static absl::StatusOr<Cosignatures> Open(const std::string& path,
                                           std::vector<index::WitnessKey> witnesses);

  const std::vector<index::WitnessKey>& witnesses() const { return witnesses_; }
  // Adds those of configured witnesses that `note` carries and stores them; of one witness the
  // newest stays. Gives how many are new. INVALID_ARGUMENT COSIGNATURE_MISSING,
  // COSIGNATURE_INVALID (which). REQUIRES: the note's text is `checkpoint`.
  absl::StatusOr<uint32_t> Add(const index::Checkpoint& checkpoint, const index::SignedNote& note);
  // Appends the lines that are kept for this checkpoint.
  void AppendTo(const index::Checkpoint& checkpoint, index::SignedNote* note) const;

 private:
  using Lines = std::map<size_t, index::Cosignature>;  // by number of the witness
  struct Kept {
    index::Checkpoint checkpoint;
    Lines lines;
  };

  Cosignatures(std::string path, std::vector<index::WitnessKey> witnesses)
      : path_(std::move(path)), witnesses_(std::move(witnesses)) {}
  absl::Status Store() const;

  std::string path_;
  std::vector<index::WitnessKey> witnesses_;
  std::map<uint64_t, Kept> kept_;  // by size
};

}  // namespace stele::server
