#include "client/cli/context.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/files.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

constexpr absl::string_view kUsageUrl = "stele.cli/usage";
constexpr absl::string_view kForkUrl = "stele.cli/fork";
constexpr absl::string_view kDifferenceUrl = "stele.cli/difference";
constexpr absl::string_view kPartlyUrl = "stele.cli/partly";
constexpr size_t kKeyFileBytesMax = 4096;

absl::StatusOr<std::string> ApiKey(const std::string& file) {
  std::string key;
  if (!file.empty()) {
    absl::StatusOr<std::string> content = ReadFile(file, kKeyFileBytesMax);
    if (!content.ok()) return content.status();
    key = *std::move(content);
  } else if (const char* variable = std::getenv("STELE_API_KEY"); variable != nullptr) {
    key = variable;
  }
  return std::string(absl::StripAsciiWhitespace(key));
}

// Says after a second, and then now and again, why nothing happens.
std::function<void(const absl::Status&, absl::Duration)> RetryNotice(const std::string& address) {
  auto next = std::make_shared<absl::Time>(absl::Now() + absl::Seconds(1));
  return [next, address](const absl::Status& error, absl::Duration /*wait*/) {
    if (absl::Now() < *next) return;
    *next = absl::Now() + absl::Seconds(15);
    std::fprintf(stderr, "stele: %s is unavailable, trying again: %s\n", address.c_str(),
                 Printable(error.message(), 200).c_str());
  };
}

const char* Advice(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "Is the server running there? Give --address HOST:PORT or set STELE_ADDRESS.";
    case absl::StatusCode::kDeadlineExceeded:
      return "Give a longer --timeout.";
    case absl::StatusCode::kUnauthenticated:
      return "Give the API key with --api-key-file or STELE_API_KEY.";
    case absl::StatusCode::kPermissionDenied:
      return "The API key does not allow this.";
    default:
      return nullptr;
  }
}

}  // namespace

ExitCode ExitCodeFor(const absl::Status& status) {
  if (status.GetPayload(kUsageUrl).has_value()) return kExitUsage;
  if (status.GetPayload(kForkUrl).has_value()) return kExitFork;
  if (status.GetPayload(kDifferenceUrl).has_value()) return kExitDifferent;
  if (status.GetPayload(kPartlyUrl).has_value()) return kExitPartly;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return kExitConflict;
    case absl::StatusCode::kDataLoss:
      return kExitDataLoss;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitAuthentication;
    default:
      return kExitError;
  }
}

absl::Status AsUsageError(absl::Status status) {
  if (!status.ok()) status.SetPayload(kUsageUrl, absl::Cord("1"));
  return status;
}

absl::Status ForkError(absl::string_view message) {
  absl::Status status = absl::DataLossError(message);
  status.SetPayload(kForkUrl, absl::Cord("1"));
  return status;
}

absl::Status DifferenceError(absl::string_view message) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(kDifferenceUrl, absl::Cord("1"));
  return status;
}

absl::Status PartlyError(absl::string_view message) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(kPartlyUrl, absl::Cord("1"));
  return status;
}

absl::Status UsageError(absl::string_view message) {
  return AsUsageError(absl::InvalidArgumentError(message));
}

absl::StatusOr<Client> Context::Connect(absl::Duration default_timeout) const {
  const absl::StatusOr<std::string> key = ApiKey(api_key_file);
  if (!key.ok()) return key.status();
  Options options;
  options.address = address;
  options.api_key = *key;
  options.tls = tls;
  options.timeout = timeout_seconds > 0 ? absl::Seconds(timeout_seconds) : default_timeout;
  options.on_retry = RetryNotice(address);
  return Client::Connect(options);
}

void Context::Print(const Json& result, const std::string& text) const {
  // Bytes that are no UTF-8 do not come out of protobuf strings; replacing is for the impossible.
  const std::string output =
      json ? result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text;
  std::fwrite(output.data(), 1, output.size(), stdout);
}

CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& description) {
  CLI::App* command = parent->add_subcommand(name, description);
  // Global options may stand after the command.
  command->fallthrough();
  return command;
}

void SetRun(CLI::App* command, Context* context, std::function<absl::Status(Context&)> run) {
  command->callback(
      [context, run = std::move(run)] { context->run = [context, run] { return run(*context); }; });
}

void PrintError(const absl::Status& status, bool json) {
  const ErrorDetails details = GetErrorDetails(status);
  if (json) {
    Json error;
    error["code"] = absl::StatusCodeToString(status.code());
    error["message"] = std::string(status.message());
    if (!details.reason.empty()) error["reason"] = details.reason;
    if (!details.metadata.empty()) error["metadata"] = details.metadata;
    for (const FieldViolation& violation : details.field_violations) {
      error["field_violations"].push_back(
          {{"field", violation.field}, {"description", violation.description}});
    }
    if (!details.request_id.empty()) error["request_id"] = details.request_id;
    const std::string text =
        Json{{"error", error}}.dump(2, ' ', false, Json::error_handler_t::replace);
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  std::string text = absl::StrCat("stele: ", Printable(status.message(), 2000));
  if (!details.reason.empty()) absl::StrAppend(&text, " [", Printable(details.reason, 100), "]");
  absl::StrAppend(&text, "\n");
  for (const FieldViolation& violation : details.field_violations) {
    // The message often is the description with the field before it.
    if (absl::StrContains(status.message(), violation.field) &&
        absl::StrContains(status.message(), violation.description)) {
      continue;
    }
    absl::StrAppend(&text, "  ", Printable(violation.field, 200), ": ",
                    Printable(violation.description, 500), "\n");
  }
  for (const auto& [key, value] : details.metadata) {
    absl::StrAppend(&text, "  ", Printable(key, 100), " = ", Printable(value, 500), "\n");
  }
  const bool outcome_unknown = status.code() == absl::StatusCode::kUnavailable ||
                               status.code() == absl::StatusCode::kDeadlineExceeded ||
                               status.code() == absl::StatusCode::kCancelled;
  if (!details.request_id.empty() && outcome_unknown) {
    absl::StrAppend(&text, "Whether it was executed is unknown: ask with 'stele outcome ",
                    Printable(details.request_id, 100), "'.\n");
  }
  if (const char* advice = Advice(status)) absl::StrAppend(&text, advice, "\n");
  std::fprintf(stderr, "%s", text.c_str());
}

Json PositionToJson(const v1::Position& position) {
  Json json;
  json["log_index"] = position.log_index();
  json["state_index"] = position.state_index();
  json["state_root"] = Hex(position.state_root());
  return json;
}

std::string PositionToText(const v1::Position& position) {
  return absl::StrCat("log index ", position.log_index(), ", state root ",
                      Hex(position.state_root()));
}

}  // namespace stele::client::cli
