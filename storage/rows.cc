#include "storage/rows.h"

#include <cstring>

#include "storage/bytes.h"

namespace stele::storage {
namespace {

// FROZEN: on disk. The first byte under a row's checksum.
constexpr char kEntryKind = 1;
constexpr char kItemKind = 2;
constexpr char kTileKind = 3;
constexpr char kHistoryKind = 4;

// What a checksum covers before the bytes: kind, log id, index, two u32.
std::array<char, 33> Prefix(char kind, const LogId& log_id, uint64_t index, uint32_t first,
                            uint32_t second) {
  std::array<char, 33> prefix;
  prefix[0] = kind;
  std::memcpy(prefix.data() + 1, log_id.bytes.data(), log_id.bytes.size());
  StoreBigEndian64(index, prefix.data() + 17);
  StoreBigEndian32(first, prefix.data() + 25);
  StoreBigEndian32(second, prefix.data() + 29);
  return prefix;
}

template <size_t size>
std::string_view View(const std::array<char, size>& bytes) {
  return {bytes.data(), size};
}

}  // namespace

EntryKey EncodeEntryKey(uint64_t index) {
  EntryKey key;
  StoreBigEndian64(index, key.data());
  return key;
}

ItemKey EncodeItemKey(uint64_t index, uint32_t ordinal) {
  ItemKey key;
  StoreBigEndian64(index, key.data());
  StoreBigEndian32(ordinal, key.data() + 8);
  return key;
}

TileKey EncodeTileKey(uint64_t last_leaf, uint8_t level) {
  TileKey key;
  StoreBigEndian64(last_leaf, key.data());
  key[8] = static_cast<char>(level);
  return key;
}

HistoryKey EncodeHistoryKey(const HistoryKeyPrefix& prefix, uint64_t index) {
  HistoryKey key;
  std::memcpy(key.data(), prefix.data(), prefix.size());
  StoreBigEndian64(index, key.data() + prefix.size());
  return key;
}

std::optional<uint64_t> DecodeHistoryKey(std::string_view key) {
  if (key.size() != sizeof(HistoryKey)) return std::nullopt;
  return LoadBigEndian64(key.data() + sizeof(HistoryKeyPrefix));
}

HistoryValue EncodeHistoryValue(const LogId& log_id, const HistoryKey& key, uint32_t effect) {
  const auto prefix =
      Prefix(kHistoryKind, log_id, *DecodeHistoryKey(View(key)), sizeof(HistoryKeyPrefix), effect);
  const Checksum checksum =
      ComputeChecksum(View(prefix), View(key).substr(0, sizeof(HistoryKeyPrefix)));
  HistoryValue value;
  StoreBigEndian32(effect, value.data());
  std::memcpy(value.data() + 4, checksum.data(), kHistoryChecksumSize);
  return value;
}

std::optional<uint32_t> DecodeHistoryRow(const LogId& log_id, const HistoryKey& key,
                                         std::string_view value) {
  if (value.size() != sizeof(HistoryValue)) return std::nullopt;
  const uint32_t effect = LoadBigEndian32(value.data());
  const HistoryValue expected = EncodeHistoryValue(log_id, key, effect);
  if (std::memcmp(expected.data(), value.data(), expected.size()) != 0) return std::nullopt;
  return effect;
}

std::optional<uint64_t> DecodeTileKey(std::string_view key) {
  if (key.size() != sizeof(TileKey)) return std::nullopt;
  return LoadBigEndian64(key.data());
}

std::optional<uint64_t> DecodeEntryKey(std::string_view key) {
  if (key.size() != sizeof(EntryKey)) return std::nullopt;
  return LoadBigEndian64(key.data());
}

std::optional<ItemPosition> DecodeItemKey(std::string_view key) {
  if (key.size() != sizeof(ItemKey)) return std::nullopt;
  return ItemPosition{LoadBigEndian64(key.data()), LoadBigEndian32(key.data() + 8)};
}

EntryHeader EncodeEntryHeader(const LogId& log_id, uint64_t index, uint32_t item_count,
                              std::string_view bytes) {
  const auto prefix =
      Prefix(kEntryKind, log_id, index, static_cast<uint32_t>(bytes.size()), item_count);
  const Checksum checksum = ComputeChecksum(View(prefix), bytes);
  EntryHeader header;
  std::memcpy(header.data(), checksum.data(), kChecksumSize);
  StoreBigEndian32(item_count, header.data() + kChecksumSize);
  return header;
}

ItemHeader EncodeItemHeader(const LogId& log_id, uint64_t index, uint32_t ordinal,
                            std::string_view bytes) {
  const auto prefix =
      Prefix(kItemKind, log_id, index, static_cast<uint32_t>(bytes.size()), ordinal);
  return ComputeChecksum(View(prefix), bytes);
}

TileHeader EncodeTileHeader(const LogId& log_id, uint64_t last_leaf, uint8_t level,
                            std::string_view bytes) {
  const auto prefix =
      Prefix(kTileKind, log_id, last_leaf, static_cast<uint32_t>(bytes.size()), level);
  return ComputeChecksum(View(prefix), bytes);
}

std::optional<std::string_view> DecodeTileRow(const LogId& log_id, uint64_t last_leaf,
                                              uint8_t level, std::string_view value) {
  if (value.size() < kChecksumSize) return std::nullopt;
  const std::string_view bytes = value.substr(kChecksumSize);
  const TileHeader header = EncodeTileHeader(log_id, last_leaf, level, bytes);
  if (std::memcmp(header.data(), value.data(), kChecksumSize) != 0) return std::nullopt;
  return bytes;
}

std::optional<EntryRow> DecodeEntryRow(const LogId& log_id, uint64_t index,
                                       std::string_view value) {
  if (value.size() < kEntryHeaderSize) return std::nullopt;
  EntryRow row;
  row.item_count = LoadBigEndian32(value.data() + kChecksumSize);
  row.bytes = value.substr(kEntryHeaderSize);
  const EntryHeader header = EncodeEntryHeader(log_id, index, row.item_count, row.bytes);
  if (std::memcmp(header.data(), value.data(), kEntryHeaderSize) != 0) return std::nullopt;
  return row;
}

std::optional<std::string_view> DecodeItemRow(const LogId& log_id, uint64_t index, uint32_t ordinal,
                                              std::string_view value) {
  if (value.size() < kItemHeaderSize) return std::nullopt;
  const std::string_view bytes = value.substr(kItemHeaderSize);
  const ItemHeader header = EncodeItemHeader(log_id, index, ordinal, bytes);
  if (std::memcmp(header.data(), value.data(), kItemHeaderSize) != 0) return std::nullopt;
  return bytes;
}

}  // namespace stele::storage
