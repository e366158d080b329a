// The canonical codec: the only way to make bytes that are stored in the log or hashed. Fixed-width
// little-endian integers, byte strings behind a u32 length, nothing optional, no trailing bytes.
// For every accepted b, encode(decode(b)) == b. Formats made with it are FROZEN: docs/format.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/types.h"

namespace stele::index {

class Encoder {
 public:
  Encoder& U8(uint8_t value);
  Encoder& U32(uint32_t value);
  Encoder& U64(uint64_t value);
  Encoder& I64(int64_t value) { return U64(static_cast<uint64_t>(value)); }
  Encoder& Raw(std::string_view bytes);
  Encoder& Sized(std::string_view bytes);
  Encoder& Digest(const Hash& hash) { return Raw(AsBytes(hash)); }
  Encoder& Id(const LogId& id);
  // Components as little-endian int32, without a count.
  Encoder& Components(std::span<const int32_t> components);

  size_t size() const { return bytes_.size(); }
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what Encoder wrote. After the first error every read gives zero or empty, and ok() is
// false. Views point into the input.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  uint8_t U8();
  uint32_t U32();
  uint64_t U64();
  int64_t I64() { return static_cast<int64_t>(U64()); }
  bool Bool();  // exactly 0 or 1
  std::string_view Raw(size_t size);
  std::string_view Sized(size_t size_max);
  Hash Digest();
  LogId Id();
  std::vector<int32_t> Components(uint32_t count);

  void Fail() {
    ok_ = false;
    rest_ = {};
  }
  bool ok() const { return ok_; }
  // Everything was read and nothing was wrong.
  bool Done() const { return ok_ && rest_.empty(); }
  size_t remaining() const { return rest_.size(); }
  const char* position() const { return rest_.data(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Well-formed UTF-8 without overlong forms or surrogates (Unicode 15, table 3-7).
bool IsUtf8(std::string_view bytes);

}  // namespace stele::index
