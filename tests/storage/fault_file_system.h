// FaultFileSystem: a file system for tests that can refuse any operation, and lose power.
//
// Operations go to the real files at once. Beside that it remembers what no sync has covered: bytes
// appended, bytes overwritten, names created, renamed and removed. LosePower takes those away again
// from the real files, as a disk may; CopyTo makes a second disk of the same past, so that one run
// can lose power at each of its operations. Reads can be made to fail or to give other bytes.
//
// Thread safety: all operations, from any thread. The hooks' setters and LosePower: while nothing
// is at work.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "rocksdb/file_system.h"

namespace stele::storage {

enum class FileOperation {
  kCreate,
  kAppend,
  kWriteAt,
  kSync,
  kTruncate,
  kRename,
  kDelete,
  kCreateDirectory,
  kDeleteDirectory,
  kSyncDirectory,
};

// What becomes of bytes and names that were not synced.
enum class PowerLoss {
  kDrop,     // all gone
  kKeep,     // all there: the process died, the disk did not
  kTorn,     // any prefix of a file's bytes, any prefix of the changes of names
  kZeros,    // sizes are there, bytes are zero; any prefix of the changes of names
  kSectors,  // sizes are there, of each 512 bytes the old or the new; any prefix of the changes of
             // names
  kScattered,  // any prefix of a file's bytes, any subset of the changes of names, but the
               // sync of a new file covers its name, as on ext4, XFS and Btrfs; RocksDB relies on
               // it
};

class FaultFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // Called before each operation with its number, counted from 0; an error is returned instead of
  // carrying the operation out.
  using Hook = std::function<rocksdb::IOStatus(uint64_t number, FileOperation operation,
                                               const std::string& path)>;

  // Called after each read with its number, counted from 0, and the bytes read, which it may
  // change; an error is returned in their place.
  using ReadHook = std::function<rocksdb::IOStatus(uint64_t number, const std::string& path,
                                                   char* bytes, size_t size)>;

  // `graveyard`: an existing directory beside the files under test, for what is deleted.
  explicit FaultFileSystem(std::string graveyard);

  const char* Name() const override { return "FaultFileSystem"; }

  void SetHook(Hook hook);
  void SetReadHook(ReadHook hook);
  uint64_t operation_count() const;
  void LosePower(PowerLoss loss, std::mt19937_64& random);
  // Copies the directory `root`, which holds the graveyard and every file under test, to `copy`,
  // and what is not synced with it. REQUIRES: called from the hook, or while nothing is at work.
  std::shared_ptr<FaultFileSystem> CopyTo(const std::string& root, const std::string& copy) const;

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* result,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* result,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions& options,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

  // For the files that this file system hands out.
  rocksdb::IOStatus Enter(FileOperation operation, const std::string& path);
  // `result` comes to lie in `scratch`.
  rocksdb::IOStatus AfterRead(const std::string& path, rocksdb::Slice* result, char* scratch);
  void NoteAppend(const std::string& path, uint64_t size);
  void NoteWriteAt(const std::string& path, uint64_t offset, std::string old_bytes,
                   std::string new_bytes);
  void NoteSync(const std::string& path);
  void NoteTruncate(const std::string& path, uint64_t size);
  void NoteSyncDirectory(const std::string& path);

 private:
  struct Overwrite {
    uint64_t offset;
    std::string old_bytes;
    std::string new_bytes;
  };
  struct File {
    uint64_t synced_size = 0;
    uint64_t size = 0;
    bool synced = false;  // at least once
    std::vector<Overwrite> overwrites;
  };
  struct NameChange {
    FileOperation operation;
    std::string path;   // for a rename, the new name
    std::string from;   // for a rename, the old name
    std::string grave;  // where what stood at `path` went; empty if nothing did
  };

  std::string NextGrave();
  void MoveFiles(const std::string& from, const std::string& to);
  void LoseNames(PowerLoss loss, std::mt19937_64& random);
  void Undo(const NameChange& change);
  static void LoseSectors(const std::string& path, const File& file, std::mt19937_64& random);
  static void LoseBytes(const std::string& path, const File& file, PowerLoss loss,
                        std::mt19937_64& random);

  const std::string graveyard_;
  mutable std::mutex mutex_;
  Hook hook_;
  ReadHook read_hook_;
  uint64_t read_count_ = 0;
  uint64_t operation_count_ = 0;
  uint64_t grave_count_ = 0;
  std::map<std::string, File> files_;
  std::vector<NameChange> changes_;  // oldest first
};

}  // namespace stele::storage
