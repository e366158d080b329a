// Records as replies carry them.
//
// Thread safety: a RecordFiller belongs to one thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "index/collection.h"
#include "index/record.h"
#include "server/engine.h"
#include "stele/v1/types.pb.h"

namespace stele::server {

// Fills records of one reply and keeps it under a size. The view and the collection must outlive
// it.
class RecordFiller {
 public:
  RecordFiller(const ReadView& view, const index::Collection& collection,
               const v1::Selector& selector, uint64_t bytes_max);

  // Id, version and what is selected. Errors: RESOURCE_EXHAUSTED RESPONSE_TOO_LARGE, DATA_LOSS
  // (a document).
  absl::Status Fill(const index::RecordVersion& version, v1::Record* record);
  // Counts bytes of the reply that stand beside records. Errors: RESPONSE_TOO_LARGE.
  absl::Status Count(uint64_t bytes);
  // Bytes on the wire of what was filled.
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status CheckRoom(uint64_t more) const;

  const ReadView& view_;
  const index::Collection& collection_;
  const v1::Selector selector_;
  const uint64_t bytes_max_;
  uint64_t bytes_ = 0;
};

}  // namespace stele::server
