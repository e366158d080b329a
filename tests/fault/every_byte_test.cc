// If these fail, a byte that changed on disk, a file that was cut, lost, swapped or put back from
// an older day is served as if nothing had happened, or ends the server instead of being named.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "server/data_directory.h"
#include "tests/fault/reader.h"
#include "tests/fault/world.h"
#include "tests/storage/fault_file_system.h"
#include "tests/storage/testing.h"

namespace stele::fault {
namespace {

namespace fs = std::filesystem;
using storage::ReadFile;
using storage::WriteFile;

enum class Fate {
  kNamed,     // refused, and the message says where
  kHarmless,  // everything reads as before
  kSilent,    // something reads differently
  kMute,      // refused, and the message says nothing of the place
  kEnded,     // the process that read it ended
};

struct Case {
  std::string image;
  std::string file;     // below the image
  std::string what;     // for messages
  std::string content;  // of the file
  bool missing = false;
};

struct Tally {
  uint64_t named = 0;
  uint64_t harmless = 0;
};

std::vector<std::string> FilesOf(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), directory).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// "journal/000012.sst" -> "SST".
std::string TypeOf(const std::string& file) {
  const std::string name = fs::path(file).filename().string();
  if (name.ends_with(".sst")) return "SST";
  if (name.ends_with(".log")) return "WAL";
  if (name.ends_with(".stele")) return "snapshot";
  return name.substr(0, name.find('-') == std::string::npos || name.ends_with(".pem")
                            ? name.size()
                            : name.find('-'));
}

// Never read back by anything: a test below shows it.
bool IsNeverRead(const std::string& type) { return type == "OPTIONS" || type.starts_with("LOG"); }

class EveryByteTest : public ::testing::Test {
 protected:
  EveryByteTest() : seed_(Seed()), random_(seed_), script_(seed_, 36) {}

  void SetUp() override {
    MakeImages("one", seed_);
    if (HasFatalFailure()) return;
    MakeImages("other", seed_ + 1);
  }

  absl::StatusOr<std::string> OpenAndRead(const std::string& directory) {
    return reader_.Read(directory);
  }

  // `NAME live`: left by a process that died: the newest requests are in the WAL alone. `NAME
  // closed`: of a server that was stopped. `NAME older`: the same server before.
  void MakeImages(const std::string& name, uint64_t seed) {
    const Script script(seed, 36);
    const std::string data = directory_ / name;
    for (const auto& [image, from, to] :
         {std::tuple{" older", 0, 14}, {" live", 14, 30}, {" closed", 30, 36}}) {
      server::RecoveryReport report;
      auto engine = server::Engine::Open(Options(data, nullptr), &report);
      ASSERT_TRUE(engine.ok()) << engine.status();
      Progress progress;
      ASSERT_TRUE(Drive(**engine, script, static_cast<size_t>(from), static_cast<size_t>(to), seed,
                        &progress)
                      .ok());
      ASSERT_TRUE(TakeSnapshot(**engine).ok());
      // What stands behind the snapshot is its seal, and what comes in the next round.
      if (std::string(image) == " live") storage::CopyDirectory(data, data + image);
      engine->reset();
      if (std::string(image) == " live") continue;
      const auto all = OpenAndRead(data);  // signs
      if (!all.ok()) storage::CopyDirectory(data, "/tmp/faults-long/bad");
      ASSERT_TRUE(all.ok()) << all.status();
      storage::CopyDirectory(data, data + image);
    }
    for (const std::string image : {" live", " older", " closed"}) {
      storage::CopyDirectory(data + image, directory_ / "work");
      const auto all = OpenAndRead(directory_ / "work");
      ASSERT_TRUE(all.ok()) << all.status();
      expected_[name + image] = *all;
    }
  }

  // The image with the one change, under `work`. What a server would not change is linked.
  void MakeWork(const Case& one) {
    const std::string work = directory_ / "work", image = directory_ / one.image;
    fs::remove_all(work);
    fs::create_directories(work + "/journal");
    fs::create_directories(work + "/snapshots");
    for (const std::string& file : FilesOf(image)) {
      if (file == one.file) continue;
      if (file.find('/') != std::string::npos) {
        fs::create_hard_link(image + "/" + file, work + "/" + file);
      } else {
        fs::copy(image + "/" + file, work + "/" + file);
      }
    }
    if (one.missing) return;
    WriteFile(work + "/" + one.file, one.content);
    fs::permissions(work + "/" + one.file, fs::status(image + "/" + one.file).permissions());
  }

  Fate FateOf(const Case& one) {
    MakeWork(one);
    const absl::StatusOr<std::string> all = OpenAndRead(directory_ / "work");
    if (all.ok()) return *all == expected_[one.image] ? Fate::kHarmless : Fate::kSilent;
    if (absl::IsAborted(all.status())) return Fate::kEnded;
    const std::string message(all.status().message());
    const bool names = message.find(directory_.path()) != std::string::npos ||
                       message.find("entr") != std::string::npos ||
                       message.find("item") != std::string::npos;
    if (!names) std::fprintf(stderr, "%s\n", message.c_str());
    return names ? Fate::kNamed : Fate::kMute;
  }

  // Every case is named or harmless.
  void Judge(const std::vector<Case>& cases) {
    for (const Case& one : cases) {
      const Fate fate = FateOf(one);
      Tally& tally = tallies_[TypeOf(one.file) + " " + one.what.substr(0, one.what.find(' '))];
      if (fate == Fate::kNamed) ++tally.named;
      if (fate == Fate::kHarmless) ++tally.harmless;
      EXPECT_TRUE(fate == Fate::kNamed || fate == Fate::kHarmless)
          << "STELE_SEED=" << seed_ << ": " << one.image << "/" << one.file << ": " << one.what
          << ": "
          << (fate == Fate::kEnded    ? "the process ended"
              : fate == Fate::kSilent ? "reads differently"
                                      : "the refusal does not say where");
    }
  }

  void Print() const {
    for (const auto& [name, tally] : tallies_) {
      std::printf("%-28s %7llu named %7llu harmless\n", name.c_str(),
                  static_cast<unsigned long long>(tally.named),
                  static_cast<unsigned long long>(tally.harmless));
    }
  }

  // One file of each kind, as it is on most days: WAL and watermark of the process that died, the
  // rest of the server that was stopped.
  std::vector<Case> Originals() {
    std::vector<Case> originals;
    std::map<std::string, int> seen;
    for (const std::string image : {"one live", "one closed"}) {
      for (const std::string& file : FilesOf(directory_ / image)) {
        const std::string type = TypeOf(file);
        const bool live = type == "WAL" || type == "watermark";
        if (live != (image == "one live")) continue;
        if (IsNeverRead(type) && seen[type]++ > 0) continue;
        originals.push_back({image, file, "", ReadFile(directory_ / (image + "/" + file))});
      }
    }
    return originals;
  }

  // 1 in how many of the file's bytes is changed; what nobody reads is sampled only.
  uint64_t OneIn(const Case& original) const {
    const uint64_t bytes = original.content.size();
    const uint64_t share = FromEnvironment("STELE_BYTES_ONE_IN", 0);
    if (share == 0) return std::max<uint64_t>(1, bytes / 3);
    return IsNeverRead(TypeOf(original.file)) ? share * 32 : share;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  const Script script_;
  storage::TemporaryDirectory directory_;
  Reader reader_;
  std::map<std::string, std::string> expected_;  // by image
  std::map<std::string, Tally> tallies_;
};

// The four bytes before a signature in a note, which name its key; in base64.
std::string KeyId(const std::string& all) { return all.substr(all.rfind(' ') + 1, 5); }

// A key that was changed into another good key cannot be told from one that an operator has put in
// its place; it is not silent, since the signatures are of another name. See the test of it below.
bool IsKey(const Case& one) { return one.file == server::kCheckpointKeyName; }

// The long form: STELE_BYTES_ONE_IN=1.
TEST_F(EveryByteTest, ChangedInTwoWays) {
  for (const Case& original : Originals()) {
    if (IsKey(original)) continue;
    const uint64_t one_in = OneIn(original);
    std::vector<Case> cases;
    for (size_t at = random_() % one_in; at < original.content.size(); at += one_in) {
      const auto first = static_cast<char>(1 << random_() % 8);
      auto second = static_cast<char>(random_() | 1);
      if (second == first) second = static_cast<char>(~first);
      for (const char change : {first, second}) {
        Case one = original;
        one.content[at] = static_cast<char>(one.content[at] ^ change);
        one.what = absl::StrCat("changed at byte ", at, " by ", int(change));
        cases.push_back(std::move(one));
      }
    }
    Judge(cases);
  }
  Print();
}

TEST_F(EveryByteTest, CutAtEveryLength) {
  for (const Case& original : Originals()) {
    if (IsKey(original)) continue;
    const uint64_t one_in = OneIn(original);
    std::vector<Case> cases;
    for (size_t size = random_() % one_in; size < original.content.size(); size += one_in) {
      Case one = original;
      one.content.resize(size);
      one.what = absl::StrCat("cut to ", size, " bytes");
      cases.push_back(std::move(one));
    }
    Judge(cases);
  }
  Print();
}

// Of the same server on an older day, of another server, or of another place in the same directory.
TEST_F(EveryByteTest, MissingSwappedAndOlderFiles) {
  std::vector<Case> cases;
  for (const std::string image : {"one live", "one closed"}) {
    const std::vector<std::string> files = FilesOf(directory_ / image);
    for (const std::string& file : files) {
      if (file == server::kCheckpointKeyName) continue;
      cases.push_back({image, file, "missing", "", true});
      for (const std::string other : {"one older", "one live", "one closed", "other closed"}) {
        const std::string path = directory_ / (other + "/" + file);
        if (other == image || !fs::exists(path)) continue;
        cases.push_back({image, file, absl::StrCat("of ", other), ReadFile(path)});
      }
      for (const std::string& neighbour : files) {
        if (neighbour == file || TypeOf(neighbour) != TypeOf(file)) continue;
        cases.push_back({image, file, absl::StrCat("swapped for ", neighbour),
                         ReadFile(directory_ / (image + "/" + neighbour))});
      }
    }
  }
  Judge(cases);
  Print();
}

// What only somebody who keeps a checkpoint elsewhere can find: the whole directory of an older
// day.
TEST_F(EveryByteTest, AnOlderDirectoryAsAWholeOpensAsWhatItWas) {
  storage::CopyDirectory(directory_ / "one older", directory_ / "work");
  const auto all = OpenAndRead(directory_ / "work");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, expected_["one older"]);
}

// The file of the signing key: it is refused, or the checkpoints bear another key's name.
TEST_F(EveryByteTest, TheKeyIsRefusedOrIsPlainlyAnotherOne) {
  const std::string file(server::kCheckpointKeyName);
  const std::string bytes = ReadFile(directory_ / ("one closed/" + file));
  const uint64_t one_in = FromEnvironment("STELE_BYTES_ONE_IN", 20);
  uint64_t refused = 0, same = 0, another = 0;
  const std::string key_id = KeyId(expected_["one closed"]);
  for (size_t at = random_() % one_in; at < bytes.size(); at += one_in) {
    Case one{"one closed", file, "changed", bytes};
    one.content[at] = static_cast<char>(one.content[at] ^ static_cast<char>(1 << random_() % 8));
    MakeWork(one);
    const auto all = OpenAndRead(directory_ / "work");
    if (!all.ok()) {
      ++refused;
    } else if (*all == expected_["one closed"]) {
      ++same;
    } else {
      ++another;
      EXPECT_NE(KeyId(*all), key_id) << "byte " << at;
    }
  }
  std::printf("key: %llu refused, %llu the same key, %llu another key\n",
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(same),
              static_cast<unsigned long long>(another));
  EXPECT_GT(refused, 0u);
}

// Why a change in them can do no harm.
TEST_F(EveryByteTest, OptionsAndLogsOfAnEarlierOpeningAreNotRead) {
  storage::CopyDirectory(directory_ / "one closed", directory_ / "work");
  std::vector<std::string> before = FilesOf(directory_ / "work");
  fs::create_directories(directory_ / "graveyard");
  const auto disk = std::make_shared<storage::FaultFileSystem>(directory_ / "graveyard");
  std::map<std::string, int> reads;
  disk->SetReadHook([&](uint64_t, const std::string& path, char*, size_t) {
    ++reads[fs::relative(path, directory_ / "work").string()];
    return rocksdb::IOStatus::OK();
  });
  server::RecoveryReport report;
  const auto engine = server::Engine::Open(Options(directory_ / "work", disk), &report);
  ASSERT_TRUE(engine.ok()) << engine.status();
  ASSERT_TRUE(Everything(**engine).ok());
  int never_read = 0, read = 0;
  for (const std::string& file : before) {
    if (IsNeverRead(TypeOf(file))) {
      ++never_read;
      EXPECT_EQ(reads.count(file), 0u) << file;
    } else {
      read += static_cast<int>(reads.count(file));
    }
  }
  EXPECT_GT(never_read, 0);
  EXPECT_GT(read, 3);
}

}  // namespace
}  // namespace stele::fault
