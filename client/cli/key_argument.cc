#include "client/cli/key_argument.h"

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/files.h"

namespace stele::client::cli {
namespace {

constexpr size_t kKeyBytesMax = 64 * 1024;

absl::StatusOr<std::string> KeyText(const std::string& given) {
  if (given.find('+') != std::string::npos) return given;
  auto read = ReadFile(given, kKeyBytesMax);
  if (!read.ok()) return read.status();
  std::string text = *std::move(read);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

absl::StatusOr<index::VerifierKey> ReadKeyArgument(const std::string& given) {
  const absl::StatusOr<std::string> text = KeyText(given);
  if (!text.ok()) return text.status();
  std::string error;
  auto key = index::ParseVerifierKey(*text, &error);
  if (!key.has_value()) return UsageError(absl::StrCat("the key: ", error));
  return *std::move(key);
}

absl::StatusOr<index::WitnessKey> ReadWitnessArgument(const std::string& given) {
  const absl::StatusOr<std::string> text = KeyText(given);
  if (!text.ok()) return text.status();
  std::string error;
  auto key = index::ParseWitnessKey(*text, &error);
  if (!key.has_value()) return UsageError(absl::StrCat("--witness: ", error));
  return *std::move(key);
}

}  // namespace stele::client::cli
