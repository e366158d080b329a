// Search receipts: what was asked and answered, signed by the key that signs checkpoints.
// docs/format.md, "Search receipts", states the text; index/search_receipt.h makes it.
//
// It does not search, and does not wait for checkpoints that are being made.
//
// Thread safety: all functions, from any thread.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "index/search_receipt.h"
#include "server/checkpointer.h"
#include "server/engine.h"
#include "server/receipt_log.h"

namespace stele::server {

class Receipts {
 public:
  // Both outlive it. Without a log the receipts of collections that log them are only signed.
  Receipts(const Checkpointer* checkpointer, ReceiptLog* log)
      : checkpointer_(checkpointer), log_(log) {}

  // Whether a search of the collection gets one that did not ask for it.
  static bool AlwaysGiven(const index::Collection& collection) {
    return collection.config().receipts != index::ReceiptPolicy::kOff;
  }

  // For an answer that was found on the view; its digest is logged if the collection asks for that.
  // RESOURCE_EXHAUSTED RESPONSE_TOO_LARGE: it would be
  // longer than a receipt may be.
  absl::StatusOr<std::string> Make(const ReadView& view, const index::Collection& collection,
                                   const index::SearchQuery& query,
                                   std::span<const index::SearchHit> hits) const;

 private:
  const Checkpointer* const checkpointer_;
  ReceiptLog* const log_;
};

}  // namespace stele::server
