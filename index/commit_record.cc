#include "index/commit_record.h"

#include <limits>

#include "index/codec.h"

namespace stele::index {
namespace {

constexpr uint8_t kCommitFormat = 1;
constexpr uint8_t kRowFormat = 1;
constexpr uint64_t kEffectBytes = 1 + 32 + 32;
constexpr size_t kAnySize = std::numeric_limits<uint32_t>::max();

}  // namespace

std::string EncodeCommitRecord(const CommitRecord& record) {
  Encoder encoder;
  encoder.U8(kCommitFormat).U64(record.index).Digest(record.command);
  encoder.U8(static_cast<uint8_t>(record.outcome)).U32(record.failed_item).U64(record.current);
  encoder.U64(record.inserted_count).U64(record.updated_count).U64(record.deleted_count);
  encoder.U64(record.missing_count).U8(record.more ? 1 : 0).U64(record.state_index);
  encoder.Digest(record.effects_root).Digest(record.state_root);
  return encoder.Take();
}

std::optional<CommitRecord> DecodeCommitRecord(std::string_view bytes) {
  Decoder decoder(bytes);
  CommitRecord record;
  if (decoder.U8() != kCommitFormat) return std::nullopt;
  record.index = decoder.U64();
  record.command = decoder.Digest();
  record.outcome = static_cast<Outcome>(decoder.U8());
  record.failed_item = decoder.U32();
  record.current = decoder.U64();
  record.inserted_count = decoder.U64();
  record.updated_count = decoder.U64();
  record.deleted_count = decoder.U64();
  record.missing_count = decoder.U64();
  record.more = decoder.Bool();
  record.state_index = decoder.U64();
  record.effects_root = decoder.Digest();
  record.state_root = decoder.Digest();
  if (!decoder.Done() || record.outcome > kLastOutcome) return std::nullopt;
  return record;
}

Hash LogLeaf(std::string_view encoded_commit_record) {
  return Hasher(Label::kLogLeaf).Bytes(encoded_commit_record).Finish();
}

std::string EncodeEffects(const std::vector<Effect>& effects) {
  Encoder encoder;
  encoder.U32(static_cast<uint32_t>(effects.size()));
  for (const Effect& effect : effects) {
    encoder.U8(static_cast<uint8_t>(effect.kind)).Digest(effect.key).Digest(effect.value);
  }
  return encoder.Take();
}

std::optional<std::vector<Effect>> DecodeEffects(std::string_view bytes) {
  Decoder decoder(bytes);
  const uint32_t count = decoder.U32();
  if (decoder.remaining() != count * kEffectBytes) return std::nullopt;
  std::vector<Effect> effects(count);
  for (Effect& effect : effects) {
    effect.kind = static_cast<Effect::Kind>(decoder.U8());
    effect.key = decoder.Digest();
    effect.value = decoder.Digest();
    if (effect.kind != Effect::Kind::kRecord && effect.kind != Effect::Kind::kCollection) {
      return std::nullopt;
    }
  }
  if (!decoder.Done()) return std::nullopt;
  return effects;
}

Hash EffectsRoot(const std::vector<Effect>& effects) {
  std::vector<Hash> leaves;
  leaves.reserve(effects.size());
  for (const Effect& effect : effects) {
    leaves.push_back(Hasher(Label::kEffect)
                         .U8(static_cast<uint8_t>(effect.kind))
                         .Digest(effect.key)
                         .Digest(effect.value)
                         .Finish());
  }
  return MerkleRoot(Label::kEffectNode, leaves);
}

std::string EncodeEntryRow(const EntryRow& row) {
  Encoder encoder;
  encoder.U8(kRowFormat).Sized(row.header).Sized(row.commit).Sized(row.effects);
  return encoder.Take();
}

std::optional<EntryRow> DecodeEntryRow(std::string_view bytes) {
  Decoder decoder(bytes);
  if (decoder.U8() != kRowFormat) return std::nullopt;
  EntryRow row;
  row.header = decoder.Sized(kAnySize);
  row.commit = decoder.Sized(kAnySize);
  row.effects = decoder.Sized(kAnySize);
  if (!decoder.Done()) return std::nullopt;
  return row;
}

}  // namespace stele::index
