// What the storage tests share: a directory that goes away, files read and written whole, entries
// that can be told apart.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/journal.h"

namespace stele::storage {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    // In memory where possible: loss of power is simulated, not waited for.
    const std::filesystem::path base = access("/dev/shm", W_OK) == 0
                                           ? std::filesystem::path("/dev/shm")
                                           : std::filesystem::temp_directory_path();
    std::string name = base / "stele-storage-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline void CopyDirectory(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

inline LogId TestLogId(uint8_t first = 0xa0) {
  LogId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(first + i);
  return id;
}

inline std::array<uint8_t, 32> TestRoot(uint64_t index) {
  std::array<uint8_t, 32> root{};
  for (size_t i = 0; i < root.size(); ++i) root[i] = static_cast<uint8_t>(index * 7 + i);
  return root;
}

// Bytes that differ between indices and do not compress.
inline std::string TestBytes(uint64_t seed, size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state >> 56);
  }
  return bytes;
}

// Entry `index` with index % 4 items.
inline EntryWrite TestEntry(uint64_t index, size_t entry_size = 40, size_t item_size = 60) {
  EntryWrite write;
  write.index = index;
  write.entry = TestBytes(index * 100, entry_size);
  for (uint64_t i = 0; i < index % 4; ++i) {
    write.items.push_back(TestBytes(index * 100 + 1 + i, item_size));
  }
  return write;
}

inline std::vector<EntryWrite> TestEntries(uint64_t from, uint64_t count) {
  std::vector<EntryWrite> entries;
  for (uint64_t i = 0; i < count; ++i) entries.push_back(TestEntry(from + i));
  return entries;
}

inline absl::Status AppendTestEntries(Journal& journal, uint64_t from, uint64_t count) {
  return journal.Append(TestEntries(from, count), TestRoot(from + count - 1));
}

// Every entry of the journal from `from` on, with its items, is the one TestEntry makes.
inline void ExpectTestEntries(const Journal& journal, uint64_t from, uint64_t to_inclusive) {
  uint64_t expected = from;
  const absl::Status status = journal.Scan(
      from, to_inclusive,
      [&](uint64_t index, std::string_view entry, std::span<const std::string_view> items) {
        const EntryWrite write = TestEntry(index);
        EXPECT_EQ(index, expected++);
        EXPECT_EQ(entry, write.entry);
        EXPECT_EQ(std::vector<std::string>(items.begin(), items.end()), write.items);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(expected, to_inclusive + 1);
}

// The one file of RocksDB in the data directory that ends with `suffix` and has the highest number.
inline std::string NewestFile(const std::string& directory, const std::string& suffix) {
  std::string newest;
  for (const auto& file : std::filesystem::directory_iterator(directory + "/journal")) {
    const std::string path = file.path().string();
    if (path.ends_with(suffix) && path > newest) newest = path;
  }
  return newest;
}

}  // namespace stele::storage
