// What bare RocksDB does with the same bytes and the same syncs.
//   rocksdb_baseline batches DIRECTORY ROWS DIMENSION BATCH    one synced WriteBatch for each batch
//   rocksdb_baseline writes DIRECTORY ROWS DIMENSION THREADS   one synced Put a row
// Prints rows a second.
#include <rocksdb/db.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/data.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string_view mode = argv[1];
  const uint64_t rows = std::strtoull(argv[3], nullptr, 10);
  const auto dimension = static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10));
  const uint64_t group = std::strtoull(argv[5], nullptr, 10);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  rocksdb::DB* raw = nullptr;
  if (!rocksdb::DB::Open(options, argv[2], &raw).ok()) return 1;
  std::unique_ptr<rocksdb::DB> db(raw);
  const std::vector<std::string> values = stele::bench::VectorBytes(rows, dimension);
  rocksdb::WriteOptions sync;
  sync.sync = true;
  std::atomic<bool> failed{false};
  const auto began = std::chrono::steady_clock::now();
  if (mode == "batches") {
    for (uint64_t row = 0; row < rows;) {
      rocksdb::WriteBatch batch;
      for (uint64_t i = 0; i < group && row < rows; ++i, ++row) {
        batch.Put(stele::bench::UuidLike(row), values[row % values.size()]);
      }
      if (!db->Write(sync, &batch).ok()) failed = true;
    }
  } else {
    std::atomic<uint64_t> next{0};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < group; ++i) {
      threads.emplace_back([&] {
        for (uint64_t row = next++; row < rows; row = next++) {
          if (!db->Put(sync, stele::bench::UuidLike(row), values[row % values.size()]).ok()) {
            failed = true;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (failed) return 1;
  std::printf("%.1f\n", static_cast<double>(rows) / took.count());
  return 0;
}
