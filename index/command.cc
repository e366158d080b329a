#include "index/command.h"

#include <algorithm>

#include "index/arithmetic.h"
#include "index/holds.h"

namespace stele::index {
namespace {

constexpr uint8_t kHeaderFormat = 1;

// FROZEN: on disk. The kind as its bytes tell it.
OperationKind FormOf(const Operation& operation) {
  if (operation.kind == OperationKind::kCreateCollection && !IsPlain(operation.config)) {
    return OperationKind::kCreateWithOptions;
  }
  if (!operation.salted) return operation.kind;
  switch (operation.kind) {
    case OperationKind::kUpsert:
      return OperationKind::kSaltedUpsert;
    case OperationKind::kInsert:
      return OperationKind::kSaltedInsert;
    case OperationKind::kUpdateAttributes:
      return OperationKind::kSaltedUpdate;
    case OperationKind::kDeleteByFilter:
      return OperationKind::kSaltedDeleteByFilter;
    default:
      return operation.kind;
  }
}

OperationKind FormOf(uint8_t first_byte) {
  return static_cast<OperationKind>(first_byte & (kErasedBit - 1));
}

// The other way: what an Operation calls the form, and whether it is salted.
OperationKind KindOf(OperationKind form, bool* salted) {
  *salted = true;
  switch (form) {
    case OperationKind::kSaltedUpsert:
      return OperationKind::kUpsert;
    case OperationKind::kSaltedInsert:
      return OperationKind::kInsert;
    case OperationKind::kSaltedUpdate:
      return OperationKind::kUpdateAttributes;
    case OperationKind::kSaltedDeleteByFilter:
      return OperationKind::kDeleteByFilter;
    case OperationKind::kEraseByFilter:
      return form;
    default:
      *salted = false;
      return form == OperationKind::kCreateWithOptions ? OperationKind::kCreateCollection : form;
  }
}

// Kind, collection and, for record operations, precondition and id, for those by filter the limit:
// what precedes the content, and stays when that is erased.
void EncodeHead(const Operation& operation, Encoder& encoder) {
  encoder.U8(static_cast<uint8_t>(FormOf(operation))).Sized(operation.collection);
  if (IsByFilter(operation.kind)) encoder.U32(operation.limit);
  if (!IsRecordKind(operation.kind)) return;
  encoder.U8(static_cast<uint8_t>(operation.precondition.kind));
  encoder.U64(operation.precondition.version);
  encoder.Sized(operation.id);
}

void DecodePrecondition(Decoder& decoder, Precondition* precondition) {
  precondition->kind = static_cast<Precondition::Kind>(decoder.U8());
  precondition->version = decoder.U64();
  if (precondition->kind > Precondition::Kind::kExpectedVersion) decoder.Fail();
  if (precondition->kind != Precondition::Kind::kExpectedVersion && precondition->version != 0) {
    decoder.Fail();
  }
}

void DecodeRecordContent(Decoder& decoder, Operation* operation) {
  const uint32_t dimension = decoder.U32();
  if (dimension == 0 || dimension > kDimensionMax) return decoder.Fail();
  operation->vector = decoder.Components(dimension);
  if (!CheckAdmitted(operation->vector).ok()) return decoder.Fail();
  operation->attributes = decoder.Sized(kAttributesBytesMax);
  operation->document = decoder.Sized(kDocumentBytesMax);
}

void DecodeRemoved(Decoder& decoder, Operation* operation) {
  operation->attributes = decoder.Sized(kAttributesBytesMax);
  const uint32_t count = decoder.U32();
  if (count > kAttributesMax) return decoder.Fail();
  for (uint32_t i = 0; i < count && decoder.ok(); ++i) {
    std::string name(decoder.Sized(kAttributeNameBytesMax));
    if (name.empty() || !IsUtf8(name) || (i > 0 && name <= operation->removed.back())) {
      return decoder.Fail();
    }
    operation->removed.push_back(std::move(name));
  }
}

void DecodeConfig(Decoder& decoder, bool with_options, CollectionConfig* config) {
  config->dimension = decoder.U32();
  config->metric = static_cast<Metric>(decoder.U8());
  config->description = decoder.Sized(kDescriptionBytesMax);
  if (config->dimension == 0 || config->dimension > kDimensionMax || config->metric < Metric::kL2 ||
      config->metric > Metric::kCosine || !IsUtf8(config->description)) {
    decoder.Fail();
  }
  if (!with_options) return;
  config->receipts = static_cast<ReceiptPolicy>(decoder.U8());
  config->erasable = decoder.Bool();
  if (config->receipts > ReceiptPolicy::kLogged || IsPlain(*config)) decoder.Fail();
}

void DecodeReceipts(Decoder& decoder, std::vector<Hash>* receipts) {
  const uint32_t count = decoder.U32();
  if (count == 0 || count > kLoggedReceiptsMax) return decoder.Fail();
  for (uint32_t i = 0; i < count && decoder.ok(); ++i) {
    const Hash digest = decoder.Digest();
    if (i > 0 && digest <= receipts->back()) return decoder.Fail();
    receipts->push_back(digest);
  }
}

void DecodeHoldContent(Decoder& decoder, Operation* operation) {
  operation->hold = decoder.Sized(kHoldNameBytesMax);
  if (operation->hold.empty() || !IsUtf8(operation->hold)) return decoder.Fail();
  if (operation->kind == OperationKind::kReleaseHold) return;
  operation->reason = decoder.Sized(kHoldReasonBytesMax);
  if (!IsUtf8(operation->reason)) decoder.Fail();
  operation->ids = DecodeIds(decoder);
}

void DecodeContent(Decoder& decoder, OperationKind form, Operation* operation) {
  switch (operation->kind) {
    case OperationKind::kUpsert:
    case OperationKind::kInsert:
      return DecodeRecordContent(decoder, operation);
    case OperationKind::kUpdateAttributes:
      return DecodeRemoved(decoder, operation);
    case OperationKind::kDelete:
    case OperationKind::kDropCollection:
    case OperationKind::kErase:
      return;
    case OperationKind::kDeleteByFilter:
    case OperationKind::kEraseByFilter:
      operation->filter = DecodeFilter(decoder);
      return;
    case OperationKind::kCreateCollection:
      return DecodeConfig(decoder, form == OperationKind::kCreateWithOptions, &operation->config);
    case OperationKind::kGenesis:
    case OperationKind::kUpgrade:
      operation->rules_version = decoder.U32();
      return;
    case OperationKind::kRestore:
      operation->rules_version = decoder.U32();
      operation->parent_log = decoder.Id();
      operation->index = decoder.U64();
      operation->log_root = decoder.Digest();
      operation->snapshot_hash = decoder.Digest();
      return;
    case OperationKind::kSnapshotSealed:
      operation->index = decoder.U64();
      operation->snapshot_hash = decoder.Digest();
      return;
    case OperationKind::kSetHold:
    case OperationKind::kReleaseHold:
      return DecodeHoldContent(decoder, operation);
    case OperationKind::kSetHistory:
      operation->history_entries = decoder.U64();
      if (operation->history_entries > kHistoryEntriesMax) decoder.Fail();
      return;
    case OperationKind::kErasureCompleted:
      operation->index = decoder.U64();
      operation->items_count = decoder.U64();
      operation->snapshots_count = decoder.U64();
      return;
    case OperationKind::kReceipts:
      return DecodeReceipts(decoder, &operation->receipts);
    default:
      break;
  }
  decoder.Fail();
}

bool NamesCollection(OperationKind kind) {
  return (kind >= OperationKind::kUpsert && kind <= OperationKind::kDropCollection) ||
         Erases(kind) || kind == OperationKind::kSetHold || kind == OperationKind::kReleaseHold;
}

void EncodeContent(const Operation& operation, Encoder& encoder) {
  switch (operation.kind) {
    case OperationKind::kUpsert:
    case OperationKind::kInsert:
      encoder.U32(static_cast<uint32_t>(operation.vector.size())).Components(operation.vector);
      encoder.Sized(operation.attributes).Sized(operation.document);
      break;
    case OperationKind::kUpdateAttributes:
      encoder.Sized(operation.attributes);
      encoder.U32(static_cast<uint32_t>(operation.removed.size()));
      for (const std::string& name : operation.removed) encoder.Sized(name);
      break;
    case OperationKind::kDeleteByFilter:
    case OperationKind::kEraseByFilter:
      EncodeFilter(operation.filter, encoder);
      break;
    case OperationKind::kCreateCollection:
      encoder.U32(operation.config.dimension).U8(static_cast<uint8_t>(operation.config.metric));
      encoder.Sized(operation.config.description);
      if (!IsPlain(operation.config)) {
        encoder.U8(static_cast<uint8_t>(operation.config.receipts));
        encoder.U8(operation.config.erasable ? 1 : 0);
      }
      break;
    case OperationKind::kGenesis:
    case OperationKind::kUpgrade:
      encoder.U32(operation.rules_version);
      break;
    case OperationKind::kRestore:
      encoder.U32(operation.rules_version).Id(operation.parent_log);
      encoder.U64(operation.index).Digest(operation.log_root).Digest(operation.snapshot_hash);
      break;
    case OperationKind::kSnapshotSealed:
      encoder.U64(operation.index).Digest(operation.snapshot_hash);
      break;
    case OperationKind::kSetHold:
      encoder.Sized(operation.hold).Sized(operation.reason);
      EncodeIds(operation.ids, encoder);
      break;
    case OperationKind::kReleaseHold:
      encoder.Sized(operation.hold);
      break;
    case OperationKind::kSetHistory:
      encoder.U64(operation.history_entries);
      break;
    case OperationKind::kErasureCompleted:
      encoder.U64(operation.index).U64(operation.items_count).U64(operation.snapshots_count);
      break;
    case OperationKind::kReceipts:
      encoder.U32(static_cast<uint32_t>(operation.receipts.size()));
      for (const Hash& digest : operation.receipts) encoder.Digest(digest);
      break;
    default:
      break;
  }
}

// Reads what a decoder expects of the form: everything behind the kind.
void DecodeFields(Decoder& decoder, OperationKind form, Operation* operation) {
  operation->collection = decoder.Sized(kCollectionNameBytesMax);
  if (NamesCollection(operation->kind) == operation->collection.empty()) return decoder.Fail();
  if (IsByFilter(operation->kind)) {
    operation->limit = decoder.U32();
    if (operation->limit == 0 || operation->limit > kDeleteByFilterMax) return decoder.Fail();
  }
  if (IsRecordKind(operation->kind)) {
    DecodePrecondition(decoder, &operation->precondition);
    operation->id = decoder.Sized(kIdBytesMax);
    if (operation->id.empty()) return decoder.Fail();
  }
  if (operation->erased) {
    if (!operation->salted) return decoder.Fail();
    operation->digest = decoder.Digest();
    return;
  }
  if (operation->salted) operation->salt = decoder.Digest();
  DecodeContent(decoder, form, operation);
}

}  // namespace

bool IsRecordKind(OperationKind kind) {
  return (kind >= OperationKind::kUpsert && kind <= OperationKind::kDelete) ||
         kind == OperationKind::kErase;
}

bool IsWholeRecord(OperationKind kind) {
  return kind == OperationKind::kUpsert || kind == OperationKind::kInsert;
}

bool IsByFilter(OperationKind kind) {
  return kind == OperationKind::kDeleteByFilter || kind == OperationKind::kEraseByFilter;
}

bool Erases(OperationKind kind) {
  return kind == OperationKind::kErase || kind == OperationKind::kEraseByFilter;
}

bool TakesSalt(OperationKind kind) {
  return IsWholeRecord(kind) || kind == OperationKind::kUpdateAttributes ||
         kind == OperationKind::kDeleteByFilter;
}

std::string EncodeOperation(const Operation& operation) {
  Encoder encoder;
  EncodeHead(operation, encoder);
  if (operation.erased) {
    std::string bytes = encoder.Digest(operation.digest).Take();
    bytes[0] = static_cast<char>(static_cast<uint8_t>(bytes[0]) | kErasedBit);
    return bytes;
  }
  if (operation.salted) encoder.Digest(operation.salt);
  EncodeContent(operation, encoder);
  return encoder.Take();
}

std::optional<Operation> DecodeOperation(std::string_view bytes) {
  Decoder decoder(bytes);
  Operation operation;
  const uint8_t first = decoder.U8();
  operation.erased = (first & kErasedBit) != 0;
  const OperationKind form = FormOf(first);
  operation.kind = KindOf(form, &operation.salted);
  DecodeFields(decoder, form, &operation);
  AttributeMap attributes;
  if (!decoder.Done() || !IsUtf8(operation.collection) || !IsUtf8(operation.id) ||
      !DecodeAttributes(operation.attributes, &attributes)) {
    return std::nullopt;
  }
  return operation;
}

bool IsSalted(std::string_view bytes) {
  bool salted = false;
  if (!bytes.empty()) KindOf(FormOf(static_cast<uint8_t>(bytes.front())), &salted);
  return salted;
}

namespace {

// Stands for the content in the item's commitment: of an upsert the commitment of its record, so
// that content is hashed once.
Hash ContentDigest(const Operation& operation, const Hash& record) {
  if (operation.erased) return operation.digest;
  if (IsWholeRecord(operation.kind)) return record;
  Encoder content;
  EncodeContent(operation, content);
  return Hasher(Label::kSaltedContent).Digest(operation.salt).Bytes(content.bytes()).Finish();
}

}  // namespace

PreparedOperation Prepare(Operation operation) {
  PreparedOperation prepared;
  prepared.bytes = EncodeOperation(operation);
  if (IsRecordKind(operation.kind)) {
    prepared.key = RecordKey(operation.collection, operation.id);
  }
  const bool whole = IsWholeRecord(operation.kind);
  if (whole && operation.erased) {
    prepared.record = operation.digest;
  } else if (whole) {
    const Salt* const salt = operation.salted ? &operation.salt : nullptr;
    if (!operation.document.empty()) {
      Salt part{};
      if (salt != nullptr) part = PartSalt(*salt, PartKind::kDocument);
      prepared.document_part = DocumentPart(operation.document, salt != nullptr ? &part : nullptr);
    }
    prepared.record = RecordCommitment(
        {operation.id, operation.vector, operation.attributes, prepared.document_part, salt});
  }
  if (whole || operation.salted) {
    Encoder head;
    EncodeHead(operation, head);
    prepared.item = Hasher(Label::kItem)
                        .Bytes(head.bytes())
                        .Digest(ContentDigest(operation, prepared.record))
                        .Finish();
  } else {
    prepared.item = Hasher(Label::kItem).Bytes(prepared.bytes).Finish();
  }
  prepared.operation = std::move(operation);
  return prepared;
}

Operation WithoutContent(const Operation& operation) {
  Operation stub;
  stub.kind = operation.kind;
  stub.collection = operation.collection;
  stub.id = operation.id;
  stub.precondition = operation.precondition;
  stub.limit = operation.limit;
  stub.salted = true;
  stub.erased = true;
  stub.digest = ContentDigest(operation, operation.erased ? Hash{} : Prepare(operation).record);
  return stub;
}

std::string EncodeHeader(const CommandHeader& header) {
  Encoder encoder;
  encoder.U8(kHeaderFormat).Id(header.log_id).U64(header.term);
  encoder.U32(header.rules_version).Sized(header.request_id).Sized(header.actor);
  encoder.I64(header.timestamp_micros).I64(header.clock_micros).U64(header.known_index);
  encoder.U8(header.expected_state_index.has_value() ? 1 : 0);
  encoder.U64(header.expected_state_index.value_or(0));
  encoder.U32(header.item_count).Digest(header.items_root);
  return encoder.Take();
}

std::optional<CommandHeader> DecodeHeader(std::string_view bytes) {
  Decoder decoder(bytes);
  CommandHeader header;
  if (decoder.U8() != kHeaderFormat) return std::nullopt;
  header.log_id = decoder.Id();
  header.term = decoder.U64();
  header.rules_version = decoder.U32();
  header.request_id = decoder.Sized(kRequestIdBytesMax);
  header.actor = decoder.Sized(kActorBytesMax);
  header.timestamp_micros = decoder.I64();
  header.clock_micros = decoder.I64();
  header.known_index = decoder.U64();
  const bool has_expected = decoder.Bool();
  const LogIndex expected = decoder.U64();
  if (has_expected) header.expected_state_index = expected;
  header.item_count = decoder.U32();
  header.items_root = decoder.Digest();
  if (!decoder.Done() || (!has_expected && expected != 0) || header.item_count == 0 ||
      header.item_count > kOperationsMax) {
    return std::nullopt;
  }
  return header;
}

void Seal(Command& command) {
  std::vector<Hash> items;
  items.reserve(command.operations.size());
  for (const PreparedOperation& operation : command.operations) items.push_back(operation.item);
  command.header.item_count = static_cast<uint32_t>(items.size());
  command.header.items_root = MerkleRoot(Label::kItemNode, items);
}

Hash CommandCommitment(const CommandHeader& header) {
  return Hasher(Label::kCommand).Bytes(EncodeHeader(header)).Finish();
}

RequestKey MakeRequestKey(std::string_view actor, std::string_view request_id) {
  const Hash hash = Hasher(Label::kRequestKey).Sized(actor).Sized(request_id).Finish();
  RequestKey key;
  std::copy(hash.begin(), hash.begin() + key.size(), key.begin());
  return key;
}

Hash RequestBody(const CommandHeader& header) {
  Hasher hasher(Label::kRequestBody);
  hasher.U8(header.expected_state_index.has_value() ? 1 : 0);
  hasher.U64(header.expected_state_index.value_or(0));
  return hasher.Digest(header.items_root).Finish();
}

bool IsWellFormed(const Command& command) {
  const auto& operations = command.operations;
  if (operations.empty() || operations.size() > kOperationsMax) return false;
  if (operations.size() == 1) return true;
  std::vector<Hash> keys;
  keys.reserve(operations.size());
  for (const PreparedOperation& operation : operations) {
    if (!IsRecordKind(operation.operation.kind)) return false;
    keys.push_back(operation.key);
  }
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

}  // namespace stele::index
