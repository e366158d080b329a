#include "index/codec.h"

#include <bit>
#include <cstring>

namespace stele::index {
namespace {

template <typename T>
void AppendLittleEndian(std::string& out, T value) {
  char bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>((value >> (8 * i)) & 0xff);
  out.append(bytes, sizeof(T));
}

template <typename T>
T LittleEndian(std::string_view bytes) {
  T value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i));
  }
  return value;
}

}  // namespace

Encoder& Encoder::U8(uint8_t value) {
  bytes_.push_back(static_cast<char>(value));
  return *this;
}

Encoder& Encoder::U32(uint32_t value) {
  AppendLittleEndian(bytes_, value);
  return *this;
}

Encoder& Encoder::U64(uint64_t value) {
  AppendLittleEndian(bytes_, value);
  return *this;
}

Encoder& Encoder::Raw(std::string_view bytes) {
  bytes_.append(bytes);
  return *this;
}

Encoder& Encoder::Sized(std::string_view bytes) {
  return U32(static_cast<uint32_t>(bytes.size())).Raw(bytes);
}

Encoder& Encoder::Id(const LogId& id) {
  return Raw({reinterpret_cast<const char*>(id.data()), id.size()});
}

Encoder& Encoder::Components(std::span<const int32_t> components) {
  if constexpr (std::endian::native == std::endian::little) {
    bytes_.append(reinterpret_cast<const char*>(components.data()), components.size_bytes());
  } else {
    for (int32_t component : components) U32(static_cast<uint32_t>(component));
  }
  return *this;
}

std::string_view Decoder::Raw(size_t size) {
  if (size > rest_.size()) {
    Fail();
    return {};
  }
  std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

uint8_t Decoder::U8() { return LittleEndian<uint8_t>(Raw(1)); }
uint32_t Decoder::U32() { return LittleEndian<uint32_t>(Raw(4)); }
uint64_t Decoder::U64() { return LittleEndian<uint64_t>(Raw(8)); }

bool Decoder::Bool() {
  uint8_t value = U8();
  if (value > 1) Fail();
  return value == 1;
}

std::string_view Decoder::Sized(size_t size_max) {
  uint32_t size = U32();
  if (size > size_max) {
    Fail();
    return {};
  }
  return Raw(size);
}

Hash Decoder::Digest() {
  Hash hash{};
  std::string_view bytes = Raw(hash.size());
  if (bytes.size() == hash.size()) std::memcpy(hash.data(), bytes.data(), hash.size());
  return hash;
}

LogId Decoder::Id() {
  LogId id{};
  std::string_view bytes = Raw(id.size());
  if (bytes.size() == id.size()) std::memcpy(id.data(), bytes.data(), id.size());
  return id;
}

std::vector<int32_t> Decoder::Components(uint32_t count) {
  std::string_view bytes = Raw(size_t{count} * 4);
  std::vector<int32_t> components(bytes.size() / 4);
  if constexpr (std::endian::native == std::endian::little) {
    if (!bytes.empty()) std::memcpy(components.data(), bytes.data(), bytes.size());
  } else {
    for (size_t i = 0; i < components.size(); ++i) {
      components[i] = static_cast<int32_t>(LittleEndian<uint32_t>(bytes.substr(4 * i, 4)));
    }
  }
  return components;
}

bool IsUtf8(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  size_t i = 0;
  while (i < bytes.size()) {
    unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + length > bytes.size()) return false;
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (byte(i + 1) < low || byte(i + 1) > high) return false;
    for (size_t j = 2; j < length; ++j) {
      if (byte(i + j) < 0x80 || byte(i + j) > 0xbf) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace stele::index
