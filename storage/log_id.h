// LogId: the name of one log, 16 bytes drawn at random when the log is created.
//
// It does not say how the bytes are drawn; the caller does. Two logs with the same id are one log.
//
// Thread safety: plain data.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stele::storage {

struct LogId {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const LogId&) const = default;

  // 32 lower-case hexadecimal digits.
  std::string ToHex() const;

  // The inverse of ToHex; nullopt for anything else.
  static std::optional<LogId> FromHex(std::string_view hex);
};

}  // namespace stele::storage
