#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/filter_json.h"
#include "client/cli/json_values.h"
#include "client/cli/record_source.h"
#include "client/cli/resume_file.h"
#include "client/cli/vector_file.h"
#include "index/codec.h"
#include "server/address.h"
#include "server/config.h"
#include "server/key_ring.h"
#include "server/page_token.h"
#include "server/requests.h"
#include "tests/fuzz/targets.h"

namespace stele::fuzz {
namespace {

namespace cli = client::cli;

bool PageToken(std::string_view bytes) {
  const auto token = server::DecodePageToken(bytes);
  if (!token.has_value()) return false;
  Demand(server::EncodePageToken(*token) == bytes, "page token");
  return true;
}

// A protobuf, as it comes from the wire, and what the log would hold of it.
bool WriteRequest(std::string_view bytes) {
  v1::WriteRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  const auto lookup = [](std::string_view name) -> std::optional<server::CollectionShape> {
    if (name.empty()) return std::nullopt;
    const auto metric = static_cast<index::Metric>(1 + name.size() % 3);
    return server::CollectionShape{static_cast<uint32_t>(1 + name.size() % 4), metric, 1};
  };
  const server::WriteDraft draft = server::DraftWrite(request, "fuzz", lookup);
  if (!draft.status.ok()) return false;
  index::Command command;
  command.header.request_id = draft.task.request_id;
  command.operations = draft.task.operations;
  index::Seal(command);
  Demand(index::IsWellFormed(command), "a request that passed is not well formed");
  for (const index::PreparedOperation& operation : command.operations) {
    Demand(index::DecodeOperation(operation.bytes).has_value(), "an operation cannot be replayed");
  }
  return true;
}

bool JsonFilter(std::string_view bytes) {
  return cli::ParseFilter({bytes.data(), bytes.size()}, "fuzz").ok();
}

// Reads all records of an import file.
bool Import(std::string_view bytes, const char* format) {
  cli::SourceOptions options;
  options.path = TemporaryFile(bytes, format);
  options.format = format;
  auto source = cli::RecordSource::Open(options);
  if (!source.ok()) return false;
  for (int rows = 0; rows < 1000; ++rows) {
    const auto record = (*source)->Next();
    if (!record.ok()) return false;
    if (!record->has_value()) return rows > 0;
  }
  return true;
}

bool Jsonl(std::string_view bytes) { return Import(bytes, "jsonl"); }
bool Npy(std::string_view bytes) { return Import(bytes, "npy"); }
bool Fvecs(std::string_view bytes) { return Import(bytes, "fvecs"); }

bool NpyHeader(std::string_view bytes) {
  return cli::ParseNpyHeader({bytes.data(), bytes.size()}).ok();
}

bool ResumeFile(std::string_view bytes) {
  return cli::LoadResumeFile(TemporaryFile(bytes, "resume")).ok();
}

bool Config(std::string_view bytes) {
  const std::string path = TemporaryFile(bytes, "toml");
  return server::ParseCommandLine({"--config", path, "--data-dir", "d"},
                                  [](const char*) -> const char* { return nullptr; })
      .ok();
}

bool Keys(std::string_view bytes) {
  return server::KeyRing::Load(TemporaryFile(bytes, "keys")).ok();
}

bool Address(std::string_view bytes) {
  const auto address = server::ParseAddress(bytes);
  if (!address.ok()) return false;
  const auto again = server::ParseAddress(address->ToString());
  Demand(again.ok() && again->ToString() == address->ToString(), "address");
  return true;
}

// A folder that goes with the process.
struct Folder {
  Folder() {
    const char* const place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path = absl::StrCat(place, "/stele-fuzz-", getpid());
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

constexpr Target kTargets[] = {
    {"page_token", PageToken, 1},
    {"write_request", WriteRequest, 4},
    {"json_filter", JsonFilter, 20},
    {"jsonl", Jsonl, 100},
    {"npy", Npy, 100},
    {"fvecs", Fvecs, 100},
    {"npy_header", NpyHeader, 4},
    {"resume_file", ResumeFile, 100},
    {"config", Config, 400},
    {"keys", Keys, 100},
    {"address", Address, 4},
};

}  // namespace

std::span<const Target> DoorTargets() { return kTargets; }

std::string TemporaryFile(std::string_view bytes, std::string_view suffix) {
  static const Folder folder;
  const std::string path = absl::StrCat(folder.path, "/file.", std::string(suffix));
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  Demand(file != nullptr, "a temporary file cannot be written");
  std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
  return path;
}

}  // namespace stele::fuzz
