#include "server/receipts.h"

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace stele::server {

absl::StatusOr<std::string> Receipts::Make(const ReadView& view,
                                           const index::Collection& collection,
                                           const index::SearchQuery& query,
                                           std::span<const index::SearchHit> hits) const {
  index::SearchReceipt receipt = index::DescribeSearch(collection, query, hits);
  const Position& position = view.position();
  static_cast<index::ReceiptState&>(receipt) = {checkpointer_->key().name, position.log_index,
                                                position.state_index, position.state_root,
                                                index::kRulesVersion};
  SignedCheckpoint last = checkpointer_->Last();
  if (last.checkpoint.size != 0) {
    receipt.checkpoint = {last.checkpoint.size, last.checkpoint.root};
  } else {
    last.note.clear();
  }
  absl::StatusOr<index::SignedNote> note = SignReceipt(
      checkpointer_->signing_key(), checkpointer_->key().name, index::EncodeSearchReceipt(receipt));
  if (!note.ok()) return note.status();
  const index::Hash digest = index::ReceiptDigest(note->text);
  std::string text = index::EncodeSignedReceipt({*std::move(note), std::move(last.note)});
  if (text.size() <= index::kReceiptBytesMax) {
    const bool logged = collection.config().receipts == index::ReceiptPolicy::kLogged;
    if (logged && log_ != nullptr) log_->Add(digest);
    return text;
  }
  return MakeError(absl::StatusCode::kResourceExhausted, "RESPONSE_TOO_LARGE",
                   absl::StrCat("the receipt would be longer than ", index::kReceiptBytesMax,
                                " bytes; ask with a smaller filter"),
                   {{"limit", absl::StrCat(index::kReceiptBytesMax)}});
}

}  // namespace stele::server
