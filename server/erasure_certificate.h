// Certificates of erasures: made when asked for, of what the log says.
//
// Thread safety: a pure function over thread-safe parts; it blocks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "index/erasure_text.h"
#include "server/checkpointer.h"
#include "server/engine.h"

namespace stele::server {

struct SignedCertificate {
  index::ErasureCertificate certificate;
  std::string note;
};

// Of the erasure that entry `index` ordered. OUT_OF_RANGE ENTRY_OUT_OF_RANGE; NOT_FOUND
// ERASURE_NOT_FOUND (it ordered none); UNAVAILABLE ERASURE_PENDING.
absl::StatusOr<SignedCertificate> MakeErasureCertificate(const Engine& engine,
                                                         Checkpointer* checkpointer,
                                                         index::LogIndex index);

}  // namespace stele::server
