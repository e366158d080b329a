// Small types shared by the deterministic island.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace stele::index {

// Position of an entry in the log; the genesis entry is 0. "State at n" is the state after entry n.
using LogIndex = uint64_t;

// "Never": the `died` of what is alive, the `born` of a slot that holds nothing.
inline constexpr LogIndex kNever = std::numeric_limits<LogIndex>::max();

// SHA-256 digest.
using Hash = std::array<uint8_t, 32>;
inline constexpr Hash kZeroHash{};

using LogId = std::array<uint8_t, 16>;

// A row of a collection's vector store. Slots are plan data: in no hash and no reply.
enum class Slot : uint32_t {};

// FROZEN: on disk.
enum class Metric : uint8_t { kL2 = 1, kDot = 2, kCosine = 3 };

// The behaviour of Apply. A change of behaviour is a new version beside the old one.
inline constexpr uint32_t kRulesVersion = 1;

// Limits of rules version 1. They decide outcomes, so they are constants, never configuration.
inline constexpr uint32_t kIdBytesMax = 256;
inline constexpr uint32_t kCollectionNameBytesMax = 128;
inline constexpr uint32_t kDescriptionBytesMax = 1024;
inline constexpr uint32_t kRequestIdBytesMax = 64;
inline constexpr uint32_t kActorBytesMax = 128;
inline constexpr uint32_t kOperationsMax = 4096;
inline constexpr uint32_t kAttributesMax = 256;
inline constexpr uint32_t kAttributeNameBytesMax = 128;
inline constexpr uint32_t kAttributesBytesMax = 64 * 1024;
inline constexpr uint32_t kDocumentBytesMax = 1024 * 1024;
inline constexpr uint32_t kFilterConditionsMax = 1024;
inline constexpr uint32_t kFilterDepthMax = 16;
inline constexpr uint32_t kDeleteByFilterMax = 10'000;
inline constexpr uint32_t kCollectionsMax = 65'536;
inline constexpr uint32_t kLoggedReceiptsMax = 65'536;  // in one entry
// A request id is remembered for this many entries.
inline constexpr uint64_t kDedupEntries = 1u << 18;

// How far back an entry may let history reach.
inline constexpr uint64_t kHistoryEntriesMax = kDedupEntries / 2;

inline std::string_view AsBytes(const Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

}  // namespace stele::index
