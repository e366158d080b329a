#include "server/cosignatures.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/signing.h"
#include "storage/atomic_file.h"

namespace stele::server {
namespace {

// Between two notes of the file; no note holds two empty lines in a row.
constexpr std::string_view kBetween = "\n\n\n";
constexpr size_t kFileBytesMax = 16 << 20;
constexpr size_t kWitnessesMax = 32;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  std::string bytes;
  char chunk[64 * 1024];
  while (bytes.size() < kFileBytesMax && file.read(chunk, sizeof(chunk)).gcount() > 0) {
    bytes.append(chunk, static_cast<size_t>(file.gcount()));
  }
  return bytes;
}

index::NoteSignature LineOf(const index::WitnessKey& witness,
                            const index::Cosignature& cosignature) {
  return {witness.name, witness.key_id, index::EncodeCosignature(cosignature)};
}

}  // namespace

absl::StatusOr<std::vector<index::WitnessKey>> ReadWitnessKeys(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("witness-keys: ", bytes.status().message()));
  }
  std::vector<index::WitnessKey> keys;
  std::istringstream lines(*bytes);
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    std::string error;
    std::optional<index::WitnessKey> key = index::ParseWitnessKey(line, &error);
    const bool twice = key.has_value() &&
                       std::any_of(keys.begin(), keys.end(), [&](const index::WitnessKey& other) {
                         return other.name == key->name && other.key_id == key->key_id;
                       });
    if (twice) error = "the key is there twice";
    if (keys.size() == kWitnessesMax) error = absl::StrCat("more than ", kWitnessesMax, " keys");
    if (!key.has_value() || twice || keys.size() == kWitnessesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("witness-keys ", path, ", line ", number, ": ", error));
    }
    keys.push_back(*std::move(key));
  }
  return keys;
}

absl::StatusOr<Cosignatures> Cosignatures::Open(const std::string& path,
                                                std::vector<index::WitnessKey> witnesses) {
  Cosignatures made(path, std::move(witnesses));
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return made;
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  std::string_view rest = *bytes;
  while (!rest.empty()) {
    const size_t end = rest.find(kBetween);
    const std::string_view note = end == std::string_view::npos ? rest : rest.substr(0, end + 1);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + kBetween.size());
    std::string why;
    const auto parsed = index::ParseNote(note, &why);
    const auto checkpoint =
        parsed.has_value() ? index::ParseCheckpoint(parsed->text, &why) : std::nullopt;
    if (!checkpoint.has_value()) continue;
    Kept kept{*checkpoint, {}};
    for (size_t i = 0; i < made.witnesses_.size(); ++i) {
      const auto found = FindCosignature(*parsed, made.witnesses_[i]);
      if (found.ok()) kept.lines.emplace(i, *found);
    }
    if (!kept.lines.empty()) made.kept_.insert_or_assign(checkpoint->size, std::move(kept));
  }
  return made;
}

absl::StatusOr<uint32_t> Cosignatures::Add(const index::Checkpoint& checkpoint,
                                           const index::SignedNote& note) {
  Lines found;
  for (size_t i = 0; i < witnesses_.size(); ++i) {
    const auto cosignature = FindCosignature(note, witnesses_[i]);
    if (absl::IsDataLoss(cosignature.status())) {
      return BadField("COSIGNATURE_INVALID", "note", std::string(cosignature.status().message()));
    }
    if (cosignature.ok()) found.emplace(i, *cosignature);
  }
  if (found.empty()) {
    return BadField("COSIGNATURE_MISSING", "note",
                    "it carries no cosignature of a witness that this server knows; the setting "
                    "witness-keys names them");
  }
  const auto before = kept_;
  Kept& kept = kept_[checkpoint.size];
  if (!(kept.checkpoint == checkpoint)) kept = {checkpoint, {}};
  uint32_t added = 0;
  for (const auto& [witness, cosignature] : found) {
    const auto [place, is_new] = kept.lines.try_emplace(witness, cosignature);
    if (!is_new && place->second.time >= cosignature.time) continue;
    place->second = cosignature;
    ++added;
  }
  if (added == 0) return added;
  while (kept_.size() > kCosignedKept) kept_.erase(kept_.begin());
  absl::Status status = Store();
  if (status.ok()) return added;
  kept_ = before;
  return status;
}

void Cosignatures::AppendTo(const index::Checkpoint& checkpoint, index::SignedNote* note) const {
  const auto kept = kept_.find(checkpoint.size);
  if (kept == kept_.end() || !(kept->second.checkpoint == checkpoint)) return;
  for (const auto& [witness, cosignature] : kept->second.lines) {
    note->signatures.push_back(LineOf(witnesses_[witness], cosignature));
  }
}

absl::Status Cosignatures::Store() const {
  auto file = storage::AtomicFileWriter::Create(path_);
  if (!file.ok()) return file.status();
  std::string bytes;
  for (const auto& [size, kept] : kept_) {
    index::SignedNote note{index::EncodeCheckpoint(kept.checkpoint), {}};
    AppendTo(kept.checkpoint, &note);
    if (!bytes.empty()) bytes.append(kBetween.substr(1));
    bytes.append(index::EncodeNote(note));
  }
  const absl::Status status = (*file)->Append(bytes);
  return status.ok() ? (*file)->Commit() : status;
}

}  // namespace stele::server
