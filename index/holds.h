// Legal holds: what may not be erased, by whose order, and why. Part of the state of a collection.
//
// Thread safety: values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "index/codec.h"
#include "index/hash.h"
#include "index/types.h"

namespace stele::index {

struct Hold {
  LogIndex index = 0;            // the entry that set it
  std::string reason;            // for people
  std::vector<std::string> ids;  // ascending; empty: the whole collection
};
using Holds = std::map<std::string, Hold>;  // by name
// Shared between the numbers of a collection that have the same; null: none.
using HoldsPointer = std::shared_ptr<const Holds>;

// Limits of rules version 1.
inline constexpr uint32_t kHoldNameBytesMax = 128;
inline constexpr uint32_t kHoldReasonBytesMax = 1024;
inline constexpr uint32_t kHoldIdsMax = 1000;
inline constexpr uint32_t kHoldsMax = 64;

// The first hold, by name, that covers the id; null if none does. An empty id asks for any hold.
const Hold* FindHold(const Holds* holds, std::string_view id);
void EncodeHolds(const Holds& holds, Encoder& encoder);
// Fails the decoder where they are malformed, empty, or not in order.
Holds DecodeHolds(Decoder& decoder);
// What stands for them in the collection's value.
Hash HoldsHash(const Holds& holds);

// Ids in ascending order, none twice, within their limits.
void EncodeIds(const std::vector<std::string>& ids, Encoder& encoder);
std::vector<std::string> DecodeIds(Decoder& decoder);

}  // namespace stele::index
