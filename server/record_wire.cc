#include "server/record_wire.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "index/codec.h"
#include "server/attributes_wire.h"
#include "server/errors.h"
#include "server/quote.h"

namespace stele::server {
namespace {

// Of the messages around a record: lengths, tags, a hit's numbers.
constexpr uint64_t kFramingBytes = 40;

}  // namespace

RecordFiller::RecordFiller(const ReadView& view, const index::Collection& collection,
                           const v1::Selector& selector, uint64_t bytes_max)
    : view_(view), collection_(collection), selector_(selector), bytes_max_(bytes_max) {}

absl::Status RecordFiller::CheckRoom(uint64_t more) const {
  if (bytes_ + more <= bytes_max_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "RESPONSE_TOO_LARGE",
                   absl::StrCat("the reply would exceed ", bytes_max_,
                                " bytes; ask for fewer records, or select less of each"),
                   {{"limit", absl::StrCat(bytes_max_)}});
}

absl::Status RecordFiller::Count(uint64_t bytes) {
  if (absl::Status status = CheckRoom(bytes); !status.ok()) return status;
  bytes_ += bytes;
  return absl::OkStatus();
}

absl::Status RecordFiller::Fill(const index::RecordVersion& version, v1::Record* record) {
  const index::DocumentRef* document = selector_.document() ? version.document() : nullptr;
  // Before anything is copied or read.
  const uint64_t vector_bytes =
      selector_.vector() ? uint64_t{collection_.config().dimension} * sizeof(int32_t) : 0;
  const uint64_t document_bytes = document != nullptr ? document->size_bytes : 0;
  if (absl::Status status = CheckRoom(vector_bytes + document_bytes); !status.ok()) return status;

  record->set_id(std::string(version.id()));
  record->set_version(version.born());
  if (selector_.vector()) {
    record->set_vector_q16(
        index::Encoder().Components(collection_.vectors().Row(version.slot())).Take());
  }
  if (selector_.attributes()) {
    DecodeAttributes(version.attributes(), record->mutable_attributes());
  }
  if (document != nullptr) {
    absl::StatusOr<std::string> bytes = view_.ReadDocument(*document);
    if (!bytes.ok()) {
      return MakeError(bytes.status().code(), "DOCUMENT_UNREADABLE",
                       absl::StrCat("the document of ", Quote(version.id()),
                                    " cannot be read: ", bytes.status().message()));
    }
    record->set_document(*std::move(bytes));
  }
  const uint64_t size = record->ByteSizeLong() + kFramingBytes;
  if (absl::Status status = CheckRoom(size); !status.ok()) return status;
  bytes_ += size;
  return absl::OkStatus();
}

}  // namespace stele::server
