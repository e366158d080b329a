#include "client/cli/log_export.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/files.h"
#include "client/cli/log_replay.h"
#include "index/codec.h"
#include "index/commit_record.h"
#include "index/proof_text.h"

namespace stele::client::cli {
namespace {

namespace fs = std::filesystem;

class Exporter {
 public:
  Exporter(std::string directory, uint64_t base) : directory_(std::move(directory)), base_(base) {}

  uint64_t bytes() const { return bytes_; }

  absl::Status Write(const std::string& name, const std::string& bytes) {
    const fs::path path = fs::path(directory_) / name;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) {
      return absl::PermissionDeniedError(
          absl::StrCat(path.parent_path().string(), ": ", error.message()));
    }
    bytes_ += bytes.size();
    return WriteFile(path.string(), bytes);
  }

  absl::Status Add(const v1::LogEntry& entry) {
    if (entry.index() != base_ + leaves_.size()) {
      return absl::DataLossError(absl::StrCat("the server sent entry ", entry.index(), " where ",
                                              base_ + leaves_.size(), " was due"));
    }
    const std::string& commit = entry.commit_record();
    if (commit.size() > 0xffff) {
      return absl::DataLossError(absl::StrCat("entry ", entry.index(), ": its commit record is ",
                                              commit.size(), " bytes long"));
    }
    // Big-endian there: a length of 16 bits before each.
    bundle_ += static_cast<char>(commit.size() >> 8);
    bundle_ += static_cast<char>(commit.size() & 0xff);
    bundle_ += commit;
    index::Encoder body;
    body.Sized(entry.header()).Sized(entry.effects());
    body.U32(static_cast<uint32_t>(entry.operations_size()));
    for (const std::string& operation : entry.operations()) body.Sized(operation);
    body_ += body.bytes();
    leaves_.push_back(index::LogLeaf(commit));
    const uint64_t next = entry.index() + 1;
    return next % kTileWidth == 0 ? FlushBundle(next) : absl::OkStatus();
  }

  // The last bundle and all tiles.
  absl::Status Finish() {
    const uint64_t size = base_ + leaves_.size();
    absl::Status status = bundle_.empty() ? absl::OkStatus() : FlushBundle(size);
    if (base_ != 0) return status;
    std::vector<index::Hash> nodes = std::move(leaves_);
    for (int level = 0; status.ok() && !nodes.empty(); ++level) {
      std::vector<index::Hash> above;
      for (uint64_t first = 0; status.ok() && first < nodes.size(); first += kTileWidth) {
        const uint64_t width = std::min<uint64_t>(kTileWidth, nodes.size() - first);
        const std::span<const index::Hash> tile(nodes.data() + first, width);
        std::string bytes;
        for (const index::Hash& hash : tile) bytes.append(index::AsBytes(hash));
        status =
            Write(absl::StrCat("tile/", level, "/", TilePath(first / kTileWidth, width)), bytes);
        if (width == kTileWidth) above.push_back(index::MerkleRoot(index::Label::kLogNode, tile));
      }
      nodes = std::move(above);
    }
    return status;
  }

 private:
  absl::Status FlushBundle(uint64_t next) {
    const uint64_t number = (next - 1) / kTileWidth;
    const std::string path = TilePath(number, next - number * kTileWidth);
    absl::Status status = Write(absl::StrCat("tile/entries/", path), bundle_);
    if (status.ok()) status = Write(absl::StrCat("body/", path), body_);
    bundle_.clear();
    body_.clear();
    return status;
  }

  const std::string directory_;
  const uint64_t base_;
  std::string bundle_;
  std::string body_;
  std::vector<index::Hash> leaves_;
  uint64_t bytes_ = 0;
};

// The left siblings of the first entry are the frontier of all that lies before it.
absl::StatusOr<std::string> BaseText(Client& client, uint64_t base) {
  const auto proof = client.ProveEntry(base, base + 1);
  if (!proof.ok()) return proof.status();
  std::string text = absl::StrCat("stele/log-base@v1\nsize ", base, "\n");
  for (int i = proof->hashes_size(); i-- > 0;) {
    absl::StrAppend(&text, index::EncodeBase64(proof->hashes(i)), "\n");
  }
  return absl::StrCat(text, "\n");
}

}  // namespace

absl::StatusOr<LogExport> ExportLog(Client& client, const std::string& directory,
                                    absl::Duration timeout) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return absl::PermissionDeniedError(absl::StrCat(directory, ": ", error.message()));
  if (!fs::is_empty(directory, error) || error) {
    return absl::AlreadyExistsError(absl::StrCat(directory, " is not empty"));
  }
  const auto info = client.ServerInfo();
  if (!info.ok()) return info.status();
  const auto checkpoint = client.GetCheckpoint();
  if (!checkpoint.ok()) return checkpoint.status();
  LogExport made;
  made.base = info->base_index();
  made.size = checkpoint->checkpoint().tree_size();
  Exporter exporter(directory, made.base);
  absl::Status status =
      exporter.Write("key", absl::StrCat(info->checkpoint_key().verifier_key(), "\n"));
  if (status.ok() && made.base != 0) {
    const auto base = BaseText(client, made.base);
    status = base.ok() ? exporter.Write("base", *base) : base.status();
  }
  if (status.ok()) {
    Client::LogOptions options;
    options.first = made.base;
    options.last = made.size - 1;
    options.timeout = timeout;
    status =
        client.ReadLog(options, [&](const v1::LogEntry& entry) { return exporter.Add(entry); });
  }
  if (status.ok()) status = exporter.Finish();
  if (status.ok()) status = exporter.Write("checkpoint", checkpoint->checkpoint().note());
  if (!status.ok()) return status;
  made.bytes = exporter.bytes();
  return made;
}

}  // namespace stele::client::cli
