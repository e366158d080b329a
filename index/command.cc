#include "index/command.h"

#include <algorithm>

#include "index/arithmetic.h"

namespace stele::index {
namespace {

constexpr uint8_t kHeaderFormat = 1;

bool HasPrecondition(OperationKind kind) {
  return kind >= OperationKind::kUpsert && kind <= OperationKind::kDelete;
}

// FROZEN: on disk. The kind as its bytes tell it.
OperationKind FormOf(const Operation& operation) {
  if (operation.kind == OperationKind::kCreateCollection && !IsPlain(operation.config)) {
    return OperationKind::kCreateWithOptions;
  }
  return operation.kind;
}

// Kind, collection and, for record operations, precondition and id: what precedes the content.
void EncodePrefix(const Operation& operation, Encoder& encoder) {
  encoder.U8(static_cast<uint8_t>(FormOf(operation))).Sized(operation.collection);
  if (!HasPrecondition(operation.kind)) return;
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

void DecodeContent(Decoder& decoder, OperationKind form, Operation* operation) {
  switch (form) {
    case OperationKind::kUpsert:
    case OperationKind::kInsert:
      return DecodeRecordContent(decoder, operation);
    case OperationKind::kUpdateAttributes:
      return DecodeRemoved(decoder, operation);
    case OperationKind::kDelete:
    case OperationKind::kDropCollection:
      return;
    case OperationKind::kDeleteByFilter:
      operation->limit = decoder.U32();
      operation->filter = DecodeFilter(decoder);
      if (operation->limit == 0 || operation->limit > kDeleteByFilterMax) decoder.Fail();
      return;
    case OperationKind::kCreateCollection:
    case OperationKind::kCreateWithOptions:
      operation->kind = OperationKind::kCreateCollection;
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
    case OperationKind::kContinuation:
      break;
  }
  decoder.Fail();
}

bool NamesCollection(OperationKind kind) {
  return (kind >= OperationKind::kUpsert && kind <= OperationKind::kDropCollection) ||
         kind == OperationKind::kCreateWithOptions;
}

}  // namespace

std::string EncodeOperation(const Operation& operation) {
  Encoder encoder;
  EncodePrefix(operation, encoder);
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
      encoder.U32(operation.limit);
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
    case OperationKind::kDelete:
    case OperationKind::kDropCollection:
    case OperationKind::kContinuation:
    case OperationKind::kCreateWithOptions:
      break;
  }
  return encoder.Take();
}

std::optional<Operation> DecodeOperation(std::string_view bytes) {
  Decoder decoder(bytes);
  Operation operation;
  operation.kind = static_cast<OperationKind>(decoder.U8());
  operation.collection = decoder.Sized(kCollectionNameBytesMax);
  if (NamesCollection(operation.kind) == operation.collection.empty()) return std::nullopt;
  if (HasPrecondition(operation.kind)) {
    DecodePrecondition(decoder, &operation.precondition);
    operation.id = decoder.Sized(kIdBytesMax);
    if (operation.id.empty()) return std::nullopt;
  }
  DecodeContent(decoder, operation.kind, &operation);
  AttributeMap attributes;
  if (!decoder.Done() || !IsUtf8(operation.collection) || !IsUtf8(operation.id) ||
      !DecodeAttributes(operation.attributes, &attributes)) {
    return std::nullopt;
  }
  return operation;
}

PreparedOperation Prepare(Operation operation) {
  PreparedOperation prepared;
  prepared.bytes = EncodeOperation(operation);
  if (HasPrecondition(operation.kind)) {
    prepared.key = RecordKey(operation.collection, operation.id);
  }
  if (operation.kind == OperationKind::kUpsert || operation.kind == OperationKind::kInsert) {
    if (!operation.document.empty()) prepared.document_part = DocumentPart(operation.document);
    prepared.record = RecordCommitment(
        {operation.id, operation.vector, operation.attributes, prepared.document_part});
    Encoder prefix;
    EncodePrefix(operation, prefix);
    prepared.item = Hasher(Label::kItem).Bytes(prefix.bytes()).Digest(prepared.record).Finish();
  } else {
    prepared.item = Hasher(Label::kItem).Bytes(prepared.bytes).Finish();
  }
  prepared.operation = std::move(operation);
  return prepared;
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
    if (!HasPrecondition(operation.operation.kind)) return false;
    keys.push_back(operation.key);
  }
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

}  // namespace stele::index
