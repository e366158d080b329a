#include "server/logging.h"

#include <grpc/support/log.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

namespace stele::server {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%fZ %-7l %v";
constexpr char kJsonPattern[] = R"({"ts":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})";

std::atomic<LogFormat> g_format{LogFormat::kText};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

spdlog::logger& Logger() {
  // Never destroyed: threads of libraries may log until the process is gone.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("stele", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::info);
    made->set_formatter(
        std::make_unique<spdlog::pattern_formatter>(kTextPattern, spdlog::pattern_time_type::utc));
    return made;
  }();
  return *logger;
}

nlohmann::json ToJson(const LogField& field) {
  return std::visit([](const auto& value) { return nlohmann::json(value); }, field.value());
}

std::string Dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A text value stands bare where that is unambiguous, else quoted as in JSON: it can forge no
// second line.
std::string TextValue(const LogField& field) {
  const auto* text = std::get_if<std::string>(&field.value());
  const bool bare =
      text != nullptr && !text->empty() && std::all_of(text->begin(), text->end(), [](char c) {
        return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
      });
  return bare ? *text : Dump(ToJson(field));
}

void LogFromGrpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    Log(LogLevel::kWarn, "gRPC reports", {{"detail", args->message}});
  } else {
    Log(LogLevel::kDebug, "gRPC reports", {{"detail", args->message}});
  }
}

}  // namespace

void InitLogging(LogLevel level, LogFormat format) {
  g_format.store(format);
  Logger().set_level(ToSpdlog(level));
  Logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(
      format == LogFormat::kJson ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc));
  Logger().flush_on(spdlog::level::debug);
  gpr_set_log_function(LogFromGrpc);
}

std::string FormatLogLine(LogFormat format, std::string_view message,
                          std::initializer_list<LogField> fields) {
  if (format == LogFormat::kJson) {
    std::string line = "\"msg\":" + Dump(nlohmann::json(message));
    for (const LogField& field : fields) {
      line += ',' + Dump(nlohmann::json(field.key())) + ':' + Dump(ToJson(field));
    }
    return line;
  }
  std::string line(message);
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key();
    line += '=' + TextValue(field);
  }
  return line;
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!Logger().should_log(ToSpdlog(level))) return;
  const std::string line = FormatLogLine(g_format.load(), message, fields);
  Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace stele::server
