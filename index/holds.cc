#include "index/holds.h"

#include <algorithm>

namespace stele::index {

const Hold* FindHold(const Holds* holds, std::string_view id) {
  if (holds == nullptr) return nullptr;
  for (const auto& [name, hold] : *holds) {
    if (id.empty() || hold.ids.empty() ||
        std::binary_search(hold.ids.begin(), hold.ids.end(), id)) {
      return &hold;
    }
  }
  return nullptr;
}

void EncodeIds(const std::vector<std::string>& ids, Encoder& encoder) {
  encoder.U32(static_cast<uint32_t>(ids.size()));
  for (const std::string& id : ids) encoder.Sized(id);
}

std::vector<std::string> DecodeIds(Decoder& decoder) {
  const uint32_t count = decoder.U32();
  std::vector<std::string> ids;
  if (count > kHoldIdsMax) decoder.Fail();
  for (uint32_t i = 0; i < count && decoder.ok(); ++i) {
    std::string id(decoder.Sized(kIdBytesMax));
    if (id.empty() || !IsUtf8(id) || (i > 0 && id <= ids.back())) decoder.Fail();
    ids.push_back(std::move(id));
  }
  return ids;
}

void EncodeHolds(const Holds& holds, Encoder& encoder) {
  encoder.U32(static_cast<uint32_t>(holds.size()));
  for (const auto& [name, hold] : holds) {
    encoder.Sized(name).U64(hold.index).Sized(hold.reason);
    EncodeIds(hold.ids, encoder);
  }
}

Holds DecodeHolds(Decoder& decoder) {
  const uint32_t count = decoder.U32();
  Holds holds;
  if (count == 0 || count > kHoldsMax) decoder.Fail();
  for (uint32_t i = 0; i < count && decoder.ok(); ++i) {
    std::string name(decoder.Sized(kHoldNameBytesMax));
    if (name.empty() || !IsUtf8(name) || (!holds.empty() && name <= holds.rbegin()->first)) {
      decoder.Fail();
    }
    Hold& hold = holds[std::move(name)];
    hold.index = decoder.U64();
    hold.reason = decoder.Sized(kHoldReasonBytesMax);
    if (!IsUtf8(hold.reason)) decoder.Fail();
    hold.ids = DecodeIds(decoder);
  }
  return holds;
}

Hash HoldsHash(const Holds& holds) {
  Encoder encoder;
  EncodeHolds(holds, encoder);
  return Hasher(Label::kHolds).Bytes(encoder.bytes()).Finish();
}

}  // namespace stele::index
