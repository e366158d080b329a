// Exact search in the process beside a float32 scan of the same vectors.
//   knn_bench FILE.f32 ROWS DIMENSION THREADS [KERNELS|auto [filters]]
// FILE holds ROWS vectors and then queries (make_embeddings.py). Prints one JSON object; times are
// medians over queries taken in turn. With `filters` rows carry attributes, and searches that 50 %,
// 5 % and 0.5 % of the rows match are timed beside those without a filter. Fails if an answer is
// not that of brute force.
#if defined(__x86_64__)
// g++ 12 takes the deliberately undefined operands inside its own intrinsics for mistakes of ours
// (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "bench/data.h"
#include "index/area.h"
#include "index/quantize.h"
#include "index/search.h"
#include "index/state_machine.h"
#include "server/parallel_search.h"
#include "server/tile_unit.h"

namespace stele::bench {
namespace {

using std::chrono::steady_clock;

constexpr uint32_t kHits = 10;
constexpr size_t kBatch = 100;
constexpr size_t kBatchRuns = 7;

double Micros(steady_clock::time_point began) {
  return std::chrono::duration<double, std::micro>(steady_clock::now() - began).count();
}

#if defined(__x86_64__)
#define BENCH_AVX512 __attribute__((target("avx512f")))
// Four rows at a time, the next four prefetched: as fast as memory is.
BENCH_AVX512 void FloatRows(const float* query, const float* rows, uint32_t dimension, float* out) {
  __m512 sums[4] = {};
  for (uint32_t i = 0; i + 16 <= dimension; i += 16) {
    const __m512 q = _mm512_loadu_ps(query + i);
    for (size_t r = 0; r < 4; ++r) {
      const float* row = rows + r * dimension + i;
      _mm_prefetch(reinterpret_cast<const char*>(row + 4 * dimension), _MM_HINT_T0);
      const __m512 difference = _mm512_sub_ps(q, _mm512_loadu_ps(row));
      sums[r] = _mm512_fmadd_ps(difference, difference, sums[r]);
    }
  }
  for (size_t r = 0; r < 4; ++r) out[r] = _mm512_reduce_add_ps(sums[r]);
}
#else
void FloatRows(const float* query, const float* rows, uint32_t dimension, float* out) {
  for (size_t r = 0; r < 4; ++r) {
    float sum = 0;
    for (uint32_t i = 0; i < dimension; ++i) {
      const float difference = query[i] - rows[r * dimension + i];
      sum += difference * difference;
    }
    out[r] = sum;
  }
}
#endif

struct Data {
  uint64_t rows = 0;
  uint32_t dimension = 0;
  // Rows, then queries; in huge pages, as the rows of the index are.
  std::optional<index::Area> area;
  float* floats = nullptr;
  size_t queries = 0;

  const float* Row(uint64_t row) const { return floats + row * dimension; }
};

bool Load(const char* path, Data* data) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto bytes = static_cast<size_t>(file.tellg());
  data->area.emplace(bytes);
  data->floats = reinterpret_cast<float*>(data->area->data());
  file.seekg(0);
  file.read(data->area->data(), static_cast<std::streamsize>(bytes));
  data->queries = bytes / sizeof(float) / data->dimension - data->rows;
  return file.good() && data->queries > 0;
}

std::vector<int32_t> Quantized(const float* vector, uint32_t dimension) {
  std::vector<uint32_t> bits(dimension);
  std::memcpy(bits.data(), vector, dimension * sizeof(float));
  std::vector<int32_t> raw(dimension);
  (void)index::QuantizeFloat32(bits, raw);
  return raw;
}

void Apply(index::StateMachine* machine, std::vector<index::Operation> operations) {
  index::Command command;
  for (index::Operation& operation : operations) {
    command.operations.push_back(index::Prepare(std::move(operation)));
  }
  index::Seal(command);
  machine->Apply(machine->next_index(), command);
}

// Attributes that one row in 2, in 20 and in 200 has with the value 0.
constexpr int64_t kShares[] = {2, 20, 200};

std::string AttributesOf(uint64_t row) {
  index::AttributeMap attributes;
  for (const int64_t share : kShares) {
    // Spread, so that neighbours differ.
    const auto value = static_cast<int64_t>(row * 0x9e3779b97f4a7c15u >> 33) % share;
    attributes.emplace_back("in" + std::to_string(share), index::EncodeInt64(value));
  }
  std::sort(attributes.begin(), attributes.end());
  return index::EncodeAttributes(attributes);
}

void Fill(const Data& data, bool with_attributes, index::StateMachine* machine) {
  index::Operation operation;
  operation.kind = index::OperationKind::kGenesis;
  operation.rules_version = 1;
  Apply(machine, {operation});
  operation = {};
  operation.kind = index::OperationKind::kCreateCollection;
  operation.collection = "c";
  operation.config = {data.dimension, index::Metric::kL2, ""};
  Apply(machine, {operation});
  for (uint64_t row = 0; row < data.rows;) {
    std::vector<index::Operation> operations;
    for (; operations.size() < 1024 && row < data.rows; ++row) {
      index::Operation upsert;
      upsert.collection = "c";
      upsert.id = UuidLike(row);
      upsert.vector = Quantized(data.Row(row), data.dimension);
      if (with_attributes) upsert.attributes = AttributesOf(row);
      operations.push_back(std::move(upsert));
    }
    Apply(machine, std::move(operations));
  }
}

// The nearest by float32 distance, on all threads.
double FloatScanMicros(const Data& data, const float* query, server::SearchPool* pool) {
  const auto began = steady_clock::now();
  constexpr uint64_t kChunk = 4096;
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> found{0};
  pool->Run([&] {
    std::vector<std::pair<float, uint64_t>> heap;
    for (;;) {
      const uint64_t begin = next.fetch_add(kChunk);
      if (begin >= data.rows) break;
      for (uint64_t row = begin; row < std::min(begin + kChunk, data.rows); row += 4) {
        float out[4];
        FloatRows(query, data.Row(row), data.dimension, out);
        for (uint64_t r = 0; r < 4; ++r) {
          if (heap.size() == kHits && out[r] >= heap.front().first) continue;
          heap.emplace_back(out[r], row + r);
          std::push_heap(heap.begin(), heap.end());
          if (heap.size() > kHits) {
            std::pop_heap(heap.begin(), heap.end());
            heap.pop_back();
          }
        }
      }
    }
    found += heap.size();
  });
  return found > 0 ? Micros(began) : 0;
}

// Sorts everything, by the integers.
std::vector<std::pair<int64_t, std::string>> BruteForce(
    const std::vector<std::vector<int32_t>>& rows, const std::vector<int32_t>& query) {
  std::vector<std::pair<int64_t, std::string>> all;
  const auto& kernels = index::BestKernels();
  const auto dimension = static_cast<uint32_t>(query.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    all.emplace_back(kernels.squared_l2(query.data(), rows[i].data(), dimension), UuidLike(i));
  }
  std::partial_sort(all.begin(), all.begin() + kHits, all.end());
  all.resize(kHits);
  return all;
}

double BestCodingMicros(const Data& data, uint64_t rows) {
  std::vector<std::vector<int32_t>> vectors;
  for (uint64_t i = 0; i < rows; ++i) vectors.push_back(Quantized(data.Row(i), data.dimension));
  index::VectorStore store(data.dimension);
  const auto began = steady_clock::now();
  for (const auto& vector : vectors) store.Add(vector);
  return Micros(began) / static_cast<double>(rows);
}

int Main(int argc, char** argv) {
  if (argc < 5) return 2;
  Data data;
  data.rows = std::strtoull(argv[2], nullptr, 10);
  data.dimension = static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10));
  const auto threads = static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10));
  const bool named = argc > 5 && std::string_view(argv[5]) != "auto";
  const index::Kernels* kernels = named ? server::KernelsByName(argv[5]) : &server::BestKernels();
  if (kernels == nullptr || !Load(argv[1], &data)) return 1;
  index::StateMachine machine;
  const bool filters = argc > 6 && std::string_view(argv[6]) == "filters";
  Fill(data, filters, &machine);
  const index::LogIndex n = machine.next_index() - 1;
  const index::Collection& collection = *machine.FindCollection("c", n);
  server::SearchPool pool(threads);

  std::vector<std::vector<int32_t>> raw;
  for (size_t i = 0; i < data.queries; ++i) {
    raw.push_back(Quantized(data.Row(data.rows + i), data.dimension));
  }
  std::vector<index::SearchQuery> queries;
  for (const auto& vector : raw) queries.push_back({vector, kHits, nullptr, std::nullopt});

  std::vector<double> exact;
  std::vector<double> flat;
  std::vector<server::SearchAnswer> answers;
  index::SearchCounts counts;
  for (size_t i = 0; i < queries.size(); ++i) {
    flat.push_back(FloatScanMicros(data, data.Row(data.rows + i), &pool));
    const auto began = steady_clock::now();
    const index::SearchScan scan(collection, n, {&queries[i], 1}, *kernels);
    answers.push_back(*server::ParallelSearch(&pool, scan, nullptr));
    exact.push_back(Micros(began));
    counts.Add(answers.back().counts[0]);
  }
  std::vector<std::vector<double>> filtered(std::size(kShares));
  for (size_t f = 0; filters && f < std::size(kShares); ++f) {
    index::Filter filter;
    filter.kind = index::Filter::Kind::kCondition;
    filter.attribute = "in" + std::to_string(kShares[f]);
    filter.literals = {index::EncodeInt64(0)};
    for (size_t i = 0; i < queries.size(); ++i) {
      // The other rows are read between, as for the searches above.
      FloatScanMicros(data, data.Row(data.rows + i), &pool);
      index::SearchQuery query = queries[i];
      query.filter = &filter;
      const auto began = steady_clock::now();
      const index::SearchScan scan(collection, n, {&query, 1}, *kernels);
      const auto answer = server::ParallelSearch(&pool, scan, nullptr);
      filtered[f].push_back(Micros(began));
      if (answer->hits[0].size() != kHits) return 3;
    }
  }
  std::vector<double> batch;
  const size_t batches = queries.size() / kBatch;
  for (size_t turn = 0; turn < kBatchRuns * std::min<size_t>(batches, 1); ++turn) {
    const size_t i = turn % batches * kBatch;
    const auto began = steady_clock::now();
    const index::SearchScan scan(collection, n, {&queries[i], kBatch}, *kernels);
    const auto answer = server::ParallelSearch(&pool, scan, nullptr);
    batch.push_back(Micros(began) / kBatch);
    for (size_t j = 0; j < kBatch; ++j) {
      for (size_t h = 0; h < kHits; ++h) {
        if (answer->hits[j][h].version != answers[i + j].hits[0][h].version) return 3;
      }
    }
  }
  {
    std::vector<std::vector<int32_t>> rows;
    for (uint64_t i = 0; i < data.rows; ++i) rows.push_back(Quantized(data.Row(i), data.dimension));
    for (size_t i = 0; i < std::min<size_t>(queries.size(), 10); ++i) {
      const auto expected = BruteForce(rows, raw[i]);
      for (size_t h = 0; h < kHits; ++h) {
        const index::SearchHit& hit = answers[i].hits[0][h];
        if (hit.distance != expected[h].first || hit.version->id() != expected[h].second) return 3;
      }
    }
  }
  const auto each = [&](uint64_t total) {
    return static_cast<double>(total) / static_cast<double>(queries.size());
  };
  std::printf(
      "{\"kernels\": \"%s\", \"exact_micros\": %.1f, \"float_micros\": %.1f, \"batch_micros\": "
      "%.1f, "
      "\"exact_best\": %.1f, \"float_best\": %.1f, "
      "\"rows\": %.0f, \"kept4\": %.1f, \"kept8\": %.1f, \"computed\": %.1f, \"bytes\": %.0f, "
      "\"filter_50_micros\": %.1f, \"filter_5_micros\": %.1f, \"filter_05_micros\": %.1f, "
      "\"coding_micros\": %.2f, \"bytes_per_row\": %.1f}\n",
      kernels->name, Median(exact), Median(flat), batch.empty() ? 0 : Median(batch),
      *std::min_element(exact.begin(), exact.end()), *std::min_element(flat.begin(), flat.end()),
      each(counts.rows), each(counts.kept4), each(counts.kept8), each(counts.computed),
      each(counts.bytes), filters ? Median(filtered[0]) : 0, filters ? Median(filtered[1]) : 0,
      filters ? Median(filtered[2]) : 0,
      BestCodingMicros(data, std::min<uint64_t>(data.rows, 20'000)),
      static_cast<double>(machine.MemoryBytes()) / static_cast<double>(data.rows));
  return 0;
}

}  // namespace
}  // namespace stele::bench

int main(int argc, char** argv) { return stele::bench::Main(argc, argv); }
