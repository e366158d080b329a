// The rows of the journal: their keys, and the envelope (checksum, item count) around their bytes.
//
// It knows no database. docs/format-storage.md, "rows", states the bytes.
//
// Thread safety: pure functions.
//
// Invariant: a decoded row was written for exactly this log id, index and ordinal, with exactly
// these bytes, up to the strength of XXH3-128.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "storage/checksum.h"
#include "storage/log_id.h"

namespace stele::storage {

using EntryKey = std::array<char, 8>;
using ItemKey = std::array<char, 12>;
constexpr size_t kEntryHeaderSize = kChecksumSize + 4;
constexpr size_t kItemHeaderSize = kChecksumSize;
using EntryHeader = std::array<char, kEntryHeaderSize>;
using ItemHeader = std::array<char, kItemHeaderSize>;

struct EntryRow {
  uint32_t item_count = 0;
  std::string_view bytes;
};

using TileKey = std::array<char, 9>;
using TileHeader = std::array<char, kChecksumSize>;

// The first bytes of a digest that names a record or a collection, and the entry that touched it.
using HistoryKeyPrefix = std::array<char, 16>;
using HistoryKey = std::array<char, 24>;
constexpr size_t kHistoryChecksumSize = 8;  // of kChecksumSize: the row says little
using HistoryValue = std::array<char, 4 + kHistoryChecksumSize>;

struct ItemPosition {
  uint64_t index = 0;
  uint32_t ordinal = 0;
};

EntryKey EncodeEntryKey(uint64_t index);
ItemKey EncodeItemKey(uint64_t index, uint32_t ordinal);
TileKey EncodeTileKey(uint64_t last_leaf, uint8_t level);
HistoryKey EncodeHistoryKey(const HistoryKeyPrefix& prefix, uint64_t index);
// nullopt: not a key of that kind.
std::optional<uint64_t> DecodeEntryKey(std::string_view key);
std::optional<ItemPosition> DecodeItemKey(std::string_view key);
// The index of the entry; the prefix is the key's first bytes.
std::optional<uint64_t> DecodeHistoryKey(std::string_view key);
// The last leaf of the tile.
std::optional<uint64_t> DecodeTileKey(std::string_view key);

// What stands before the bytes in the row's value. `bytes` are shorter than 4 GiB.
EntryHeader EncodeEntryHeader(const LogId& log_id, uint64_t index, uint32_t item_count,
                              std::string_view bytes);
ItemHeader EncodeItemHeader(const LogId& log_id, uint64_t index, uint32_t ordinal,
                            std::string_view bytes);
TileHeader EncodeTileHeader(const LogId& log_id, uint64_t last_leaf, uint8_t level,
                            std::string_view bytes);

HistoryValue EncodeHistoryValue(const LogId& log_id, const HistoryKey& key, uint32_t effect);

// nullopt: the value is damaged or was written for another place. The views point into `value`.
std::optional<EntryRow> DecodeEntryRow(const LogId& log_id, uint64_t index, std::string_view value);
std::optional<std::string_view> DecodeItemRow(const LogId& log_id, uint64_t index, uint32_t ordinal,
                                              std::string_view value);
std::optional<std::string_view> DecodeTileRow(const LogId& log_id, uint64_t last_leaf,
                                              uint8_t level, std::string_view value);
// The place of the effect.
std::optional<uint32_t> DecodeHistoryRow(const LogId& log_id, const HistoryKey& key,
                                         std::string_view value);

}  // namespace stele::storage
