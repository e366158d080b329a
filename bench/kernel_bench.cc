// How near the exact scan comes to the speed of memory.
//   kernel_bench DIMENSION MEGABYTES THREADS
// Prints {"l2", "dot", "read", "copy"}: median GB/s over the same rows, in turn. "read" folds them
// with xor, "copy" is memcpy, counting the bytes read.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "bench/data.h"
#include "index/kernels.h"

namespace stele::bench {
namespace {

constexpr size_t kBlockRows = 64;  // as the scan does it
constexpr int kRounds = 9;

uint64_t Fold(const int32_t* data, size_t count) {
  uint64_t folded[8] = {};
  for (size_t i = 0; i + 16 <= count; i += 16) {
    uint64_t words[8];
    std::memcpy(words, data + i, sizeof(words));
    for (int j = 0; j < 8; ++j) folded[j] ^= words[j];
  }
  uint64_t word = 0;
  for (const uint64_t part : folded) word ^= part;
  return word;
}

#if defined(__x86_64__)
// One load a cache line keeps more lines under way.
__attribute__((target("avx512f"))) uint64_t FoldAvx512(const int32_t* data, size_t count) {
  __m512i folded[4] = {};
  for (size_t i = 0; i + 64 <= count; i += 64) {
    for (size_t j = 0; j < 4; ++j) {
      folded[j] = _mm512_xor_si512(folded[j], _mm512_loadu_si512(data + i + 16 * j));
    }
  }
  alignas(64) int32_t words[64];
  for (size_t j = 0; j < 4; ++j) _mm512_store_si512(words + 16 * j, folded[j]);
  return Fold(words, 64);
}
#endif

using FoldFunction = uint64_t (*)(const int32_t*, size_t);

FoldFunction BestFold() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return FoldAvx512;
#endif
  return Fold;
}

// GB/s of `work` over all blocks, each thread on a stretch of its own.
double Rate(size_t blocks, size_t block_bytes, size_t threads,
            const std::function<uint64_t(size_t)>& work) {
  std::vector<uint64_t> kept(threads);
  std::vector<std::thread> workers;
  const auto began = std::chrono::steady_clock::now();
  for (size_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      uint64_t sum = 0;
      for (size_t b = blocks * t / threads; b < blocks * (t + 1) / threads; ++b) sum += work(b);
      kept[t] = sum;
    });
  }
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  volatile uint64_t sink = 0;
  for (const uint64_t sum : kept) sink = sink + sum;
  return static_cast<double>(blocks * block_bytes) / 1e9 / took.count();
}

int Main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto dimension = static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10));
  const size_t threads = std::strtoull(argv[3], nullptr, 10);
  const size_t block = kBlockRows * dimension;
  const size_t blocks = std::strtoull(argv[2], nullptr, 10) * 1'000'000 / (block * 4);
  const std::unique_ptr<int32_t[], decltype(&std::free)> rows(
      static_cast<int32_t*>(std::aligned_alloc(64, blocks * block * sizeof(int32_t))), &std::free);
  Random random(1);
  for (size_t i = 0; i < blocks * block; ++i) {
    rows[i] = static_cast<int32_t>(random.Next() % 131072) - 65536;
  }
  const std::vector<int32_t> query(rows.get(), rows.get() + dimension);

  const index::Kernels& kernels = index::BestKernels();
  const auto scan = [&](index::RowsFunction function) {
    return [&, function](size_t b) {
      int64_t out[kBlockRows];
      function(query.data(), rows.get() + b * block, dimension, kBlockRows, dimension, out);
      return static_cast<uint64_t>(*std::min_element(out, out + kBlockRows));
    };
  };
  const FoldFunction fold = BestFold();
  const std::function<uint64_t(size_t)> works[] = {
      scan(kernels.squared_l2_rows), scan(kernels.dot_rows),
      [&](size_t b) { return fold(rows.get() + b * block, block); },
      [&](size_t b) {
        thread_local std::vector<int32_t> copy(block);
        std::memcpy(copy.data(), rows.get() + b * block, block * sizeof(int32_t));
        return static_cast<uint64_t>(copy[b % block]);
      }};
  std::vector<double> rates[4];
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < 4; ++i) {
      rates[i].push_back(Rate(blocks, block * sizeof(int32_t), threads, works[i]));
    }
  }
  std::printf("{\"l2\": %.2f, \"dot\": %.2f, \"read\": %.2f, \"copy\": %.2f, \"kernel\": \"%s\"}\n",
              Median(rates[0]), Median(rates[1]), Median(rates[2]), Median(rates[3]), kernels.name);
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
