// Structured logs on standard error: one line for one event, a fixed message and named fields.
//
// JSON:
// {"ts":"2025-01-31T12:00:00.123456Z","level":"info","msg":"serving","address":"127.0.0.1:7420"}
// Text: 2025-01-31T12:00:00.123456Z info  serving address=127.0.0.1:7420
//
// The message is a constant that can be searched for; what varies stands in the fields. Never log
// API keys, metadata of calls, vectors, attributes or documents.
//
// Thread safety: all functions, from any thread; InitLogging once, before other threads log.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace stele::server {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : uint8_t { kText, kJson };

// Messages below `level` are dropped from now on. Also takes over what gRPC logs. Before it is
// called, text from kInfo on is written.
void InitLogging(LogLevel level, LogFormat format);

class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(std::string(value)) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value)
      : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value) {}
  LogField(std::string_view key, double value) : key_(key), value_(value) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) LogField(std::string_view key, T value)
      : key_(key), value_(static_cast<uint64_t>(value)) {}
  template <std::signed_integral T>
  LogField(std::string_view key, T value) : key_(key), value_(static_cast<int64_t>(value)) {}

  std::string_view key() const { return key_; }
  const std::variant<std::string, bool, double, uint64_t, int64_t>& value() const { return value_; }

 private:
  std::string_view key_;
  std::variant<std::string, bool, double, uint64_t, int64_t> value_;
};

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

inline void LogInfo(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarn(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarn, message, fields);
}
inline void LogError(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, message, fields);
}

// One event without its time and level, as the formats show it. For tests.
std::string FormatLogLine(LogFormat format, std::string_view message,
                          std::initializer_list<LogField> fields);

}  // namespace stele::server
